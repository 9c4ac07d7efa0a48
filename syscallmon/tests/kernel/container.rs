//! Real containers, run by runc with Docker's configuration.

use crate::harness::{Daemon, Docker, number};

/// Calls that Docker's default seccomp profile denies without privileges, and the number of attempts.
const DENIED: [(&str, i64, u64); 3] =
    [("unshare", libc::SYS_unshare, 11), ("mount", libc::SYS_mount, 70), ("keyctl", libc::SYS_keyctl, 5)];

/// How much runc's own calls may differ between the cgroups of two containers.
///
/// runc begins with two bind mounts of itself while it joins the cgroup, so they are made inside or outside.
const MOUNTS_OF_ITSELF: u64 = 2;

/// Arguments for `known_calls`: makes these calls in its current cgroup, and three times a call that is always allowed.
fn calls(others: &[(&str, i64, u64)]) -> Vec<String> {
    let pairs = others.iter().copied().chain([("getppid", libc::SYS_getppid, 3)]);
    let pairs = pairs.flat_map(|(_, nr, times)| [number(nr), times.to_string()]);
    ["calls", "-"].map(str::to_owned).into_iter().chain(pairs).collect()
}

#[test]
fn what_dockers_seccomp_profile_refuses_is_counted_by_name() {
    let (daemon, docker) = (Daemon::start(&["--names.docker=off"]), Docker::start());
    // runc itself makes all of these calls in the container's cgroup, before it installs the filter.
    let plain = docker.run(&[], &calls(&[]));
    let refused = docker.run(&[], &calls(&DENIED));
    let allowed = docker.run(&["--security-opt=seccomp=unconfined"], &calls(&DENIED));

    let scrape = daemon.settled_scrape();
    let containers = [&plain, &refused, &allowed];
    for (syscall, _, tries) in DENIED {
        let denied = containers.map(|id| scrape.denied_in(id, syscall));
        assert_eq!(denied, [0, tries, 0], "{syscall}: what fails in the kernel is a call like any other");
        let by_runc = scrape.calls_in(&plain, syscall);
        let slack = if syscall == "mount" { MOUNTS_OF_ITSELF } else { 0 };
        for (id, expected) in containers.into_iter().zip([by_runc, by_runc, by_runc + tries]) {
            let called = scrape.calls_in(id, syscall);
            assert!(called.abs_diff(expected) <= slack, "{syscall}: {called}, not {expected}: refused is not called");
        }
    }
    assert_eq!(containers.map(|id| scrape.denied_in(id, "getppid")), [0; 3]);
    let called = scrape.calls_in(&plain, "getppid");
    assert!(called >= 3, "{called}");
    assert_eq!(scrape.calls_in(&refused, "getppid"), called);
}
