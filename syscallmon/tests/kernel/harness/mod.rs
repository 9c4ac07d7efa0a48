//! What the tests share: the daemon under test, cgroups that clean up after themselves, ground truth.

mod cgroup;
mod daemon;
mod docker;
mod ground_truth;
mod scrape;

pub(crate) use self::{
    cgroup::TestCgroup,
    daemon::{Daemon, Output, binary, finished, syscallmon},
    docker::Docker,
    ground_truth::{KnownCalls, example, number},
    scrape::Scrape,
};

use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Whether `SYSCALLMON_TEST_SHORT` requests smaller tests, for slow emulated CPUs.
pub(crate) fn is_short() -> bool {
    std::env::var_os("SYSCALLMON_TEST_SHORT").is_some()
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

/// Waits until a value is there. Panics with `what` after `timeout`.
pub(crate) fn wait_for<T>(what: &str, timeout: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < timeout, "{what}: not within {timeout:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
