//! Placeholder until the measured table is merged.
use std::{collections::BTreeSet, fmt, str::FromStr};
/// d
pub const MEASURED_ON: &str = "never";
/// d
#[derive(Clone, Debug)]
pub struct Runtime;
impl FromStr for Runtime {
    type Err = String;
    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self)
    }
}
impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x")
    }
}
/// d
#[must_use]
pub fn base(_: Option<&Runtime>, _: Option<bool>) -> BTreeSet<&'static str> {
    [
        "openat",
        "epoll_ctl",
        "fstatfs",
        "getdents64",
        "fcntl",
        "close",
        "chdir",
        "capget",
        "read",
        "prctl",
        "newfstatat",
        "fstat",
        "setgroups",
        "setgid",
        "setuid",
        "getcwd",
        "capset",
        "getppid",
        "faccessat2",
        "futex",
        "write",
        "getpid",
        "execve",
        "openat2",
        "statx",
    ]
    .into()
}
/// d
#[must_use]
pub fn needed(_: Option<&Runtime>, _: Option<bool>) -> BTreeSet<&'static str> {
    ["execve", "close"].into()
}
