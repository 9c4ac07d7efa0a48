//! Shared code of the tests: a daemon under test, cgroups that are removed when dropped, and programs with known calls.
//! Code that benchmarks and real environments also use is in the crate `syscallmon-testkit` (`xtask/kit`).

mod alert_log;
mod cgroup;
mod daemon;
mod docker;
mod ground_truth;

pub(crate) use self::{
    alert_log::{lines, reported},
    cgroup::{TestCgroup, cgroup2},
    daemon::{Daemon, HostClaim, Output, binary, claim_host, finished, syscallmon},
    docker::Docker,
    ground_truth::{KnownCalls, example, number},
};
pub(crate) use syscallmon_testkit::{Exposition as Scrape, wait_for};

use std::process::Command;

/// Whether `SYSCALLMON_TEST_SHORT` requests smaller tests, for slow emulated CPUs.
pub(crate) fn is_short() -> bool {
    std::env::var_os("SYSCALLMON_TEST_SHORT").is_some()
}

/// Whether `SYSCALLMON_TEST_LONG` requests longer tests (`cargo xtask test --long`).
pub(crate) fn is_long() -> bool {
    std::env::var_os("SYSCALLMON_TEST_LONG").is_some()
}

/// The number of calls that proves exactness.
pub(crate) fn many_calls() -> u64 {
    if is_short() { 50_000 } else { 1_000_000 }
}

/// Exports only the tests' cgroups, so other programs of the host use no memory and no room for first calls.
pub(crate) const ONLY_TESTS: &str = r#"--workload.keep=cgroup=~"/syscallmon-test.*""#;

/// Mounts tracefs, where classic tracepoints are looked up. Fails harmlessly if it is mounted.
pub(crate) fn mount_tracefs() {
    let _ = Command::new("mount").args(["-t", "tracefs", "nodev", "/sys/kernel/tracing"]).output();
}
