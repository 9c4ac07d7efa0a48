//! io_uring operations are counted by name, in the cgroup of the submitter.

use std::fs;

use crate::harness::{Daemon, KnownCalls, TestCgroup, is_short, mount_tracefs};

/// Whether this host allows io_uring.
fn is_there() -> bool {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|value| value.trim() == "2");
    if disabled {
        println!("io_uring is disabled here");
    }
    !disabled
}

#[test]
fn operations_count_under_their_own_names_and_are_no_system_calls() {
    if !is_there() {
        return;
    }
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("uring"));
    let count: u64 = if is_short() { 200 } else { 1000 };
    KnownCalls::run(&[&"io-uring", &cgroup.path(), &count.to_string()]);
    KnownCalls::run(&[&"io-uring-thread", &cgroup.path(), &count.to_string()]);

    let (label, scrape) = (cgroup.label(), daemon.settled_scrape());
    let counted = ["openat", "read", "nop"].map(|op| scrape.requests(&label, op));
    assert_eq!(counted, [count; 3], "openat, read, and nop through a submission thread");
    assert_eq!(scrape.calls(&label, "openat"), 0, "the program makes no such system call");
    assert_eq!(scrape.value(r#"syscallmon_probe_up{probe="io_uring"}"#), Some(1));
}

#[test]
fn without_btf_the_classic_tracepoint_reports_operations() {
    if !is_there() {
        return;
    }
    mount_tracefs();
    let nothing = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&["--path.sysfs", nothing.path().to_str().unwrap(), "--cgroup.hierarchy=cgroup2"]);
    let cgroup = TestCgroup::new("uringtp");
    KnownCalls::run(&[&"io-uring", &cgroup.path(), &"100"]);
    let (label, scrape) = (cgroup.label(), daemon.settled_scrape());
    assert_eq!(["openat", "read"].map(|op| scrape.requests(&label, op)), [100; 2]);
    assert_eq!(scrape.implementation("io_uring").as_deref(), Some("tracepoint"));
}

#[test]
fn the_probe_can_be_switched_off() {
    let daemon = Daemon::start(&["--probe.io-uring=false"]);
    assert_eq!(daemon.scrape().value(r#"syscallmon_probe_up{probe="io_uring"}"#), None);
}
