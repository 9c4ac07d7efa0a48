//! Calls with durations, and the exported buckets.

use std::collections::BTreeSet;

use crate::{
    snapshot::Bound,
    syscalls::{CallId, CallTable, sets},
};

/// Calls that wait for disk and network. Calls that wait for any event (poll, futex) are left out: that is idle time.
const DEFAULT: &[&str] = &[
    "accept",
    "accept4",
    "close",
    "connect",
    "copy_file_range",
    "fallocate",
    "fdatasync",
    "fsync",
    "ftruncate",
    "getdents",
    "getdents64",
    "mkdir",
    "mkdirat",
    "msync",
    "open",
    "openat",
    "openat2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "rename",
    "renameat",
    "renameat2",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "splice",
    "sync",
    "sync_file_range",
    "syncfs",
    "unlink",
    "unlinkat",
    "write",
    "writev",
];

/// Calls that end with their thread, or return to a place where another call began.
const NEVER_RETURN: [&str; 4] = ["exit", "exit_group", "rt_sigreturn", "sigreturn"];

/// Calls with durations, and how they are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The calls, in every ABI.
    pub calls: BTreeSet<CallId>,
    /// Upper bounds of the buckets, in order.
    pub bounds: Vec<Bound>,
}

/// A setting that is not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LatencyError {
    /// There is no such call.
    #[error("latency.syscalls: unknown system call {name:?}")]
    Syscall {
        /// The name.
        name: String,
    },
    /// The call cannot be measured.
    #[error("latency.syscalls: {name} does not return and cannot be measured")]
    NeverReturns {
        /// The name.
        name: String,
    },
    /// There is no such set.
    #[error("latency.syscalls: unknown set of system calls {name:?}: expected one of {}", sets::names().collect::<Vec<_>>().join(", "))]
    Set {
        /// The name.
        name: String,
    },
}

impl Latency {
    /// Validates the settings, or takes the defaults.
    ///
    /// # Errors
    ///
    /// When a name is unknown.
    pub(super) fn resolve(syscalls: Option<&[String]>, buckets: &[Bound]) -> Result<Self, LatencyError> {
        let mut bounds = buckets.to_vec();
        bounds.sort_unstable();
        bounds.dedup();
        let names = match syscalls {
            Some(names) => members(names)?,
            None => DEFAULT.to_vec(),
        };
        let table = CallTable::native();
        let measurable = names.into_iter().filter(|name| !NEVER_RETURN.contains(name));
        Ok(Self { calls: measurable.flat_map(|name| table.named(name)).collect(), bounds })
    }
}

/// Returns the calls of names and sets. A call that only another architecture has is skipped, and no mistake: one
/// configuration serves all nodes.
fn members(names: &[String]) -> Result<Vec<&str>, LatencyError> {
    let tables = [CallTable::x86_64(), CallTable::aarch64()];
    let mut members = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        if name.starts_with('@') {
            members.extend(sets::members(name).ok_or_else(|| LatencyError::Set { name: name.to_owned() })?);
        } else if NEVER_RETURN.contains(&name) {
            return Err(LatencyError::NeverReturns { name: name.to_owned() });
        } else if tables.iter().any(|table| table.named(name).next().is_some()) {
            members.push(name);
        } else {
            return Err(LatencyError::Syscall { name: name.to_owned() });
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(settings: &[&str]) -> BTreeSet<&'static str> {
        let settings: Vec<String> = settings.iter().map(|&name| name.to_owned()).collect();
        let table = CallTable::native();
        let latency = Latency::resolve(Some(&settings), &[]).unwrap();
        latency.calls.into_iter().map(|call| table.call(call).syscall).collect()
    }

    #[test]
    fn names_and_sets_can_be_mixed() {
        let calls = names(&["fsync", " @file-system "]);
        assert!(["fsync", "openat", "unlinkat"].iter().all(|name| calls.contains(name)), "{calls:?}");
        assert!(!calls.contains("getppid"));
    }

    #[test]
    fn what_only_another_architecture_has_is_no_mistake() {
        assert!(names(&["mmap", "arm_fadvise64_64", "arch_prctl"]).contains("mmap"));
    }

    #[test]
    fn what_never_returns_is_refused_by_name_and_left_out_of_sets() {
        assert!(!names(&["@default", "@process"]).contains("exit_group"));
        let error = Latency::resolve(Some(&["exit".to_owned()]), &[]).unwrap_err().to_string();
        assert!(error.contains("exit does not return"), "{error}");
    }

    #[test]
    fn every_default_is_a_call_of_some_architecture() {
        let default: Vec<String> = DEFAULT.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(members(&default).map(|members| members.len()), Ok(DEFAULT.len()));
    }

    #[test]
    fn buckets_are_in_order_whatever_the_order_of_the_setting() {
        let bounds = ["1s", "1us", "1s"].map(|text| text.parse().unwrap());
        let latency = Latency::resolve(None, &bounds).unwrap();
        assert_eq!(latency.bounds.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1us", "1s"]);
    }
}
