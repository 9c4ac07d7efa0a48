//! What the tests share: a daemon under test, cgroups that clean up after themselves, ground truth.

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

/// Whether `SYSCALLMON_TEST_SHORT` asks for less of everything: emulated CPUs are slow.
pub(crate) fn is_short() -> bool {
    std::env::var_os("SYSCALLMON_TEST_SHORT").is_some()
}

/// How many calls prove that counts are exact.
pub(crate) fn many_calls() -> u64 {
    if is_short() { 50_000 } else { 1_000_000 }
}

/// Exports the tests' cgroups alone: what other programs of the host do takes no memory, and none of the room for first calls.
pub(crate) const ONLY_TESTS: &str = r#"--workload.keep=cgroup=~"/syscallmon-test.*""#;

/// Mounts tracefs, which classic tracepoints are looked up in; where it is mounted, this fails and does nothing.
pub(crate) fn mount_tracefs() {
    let _ = Command::new("mount").args(["-t", "tracefs", "nodev", "/sys/kernel/tracing"]).output();
}

/// Waits until something is there; panics with `what` after `timeout`.
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
