//! Counts are exactly the true numbers.

use std::{fs, time::Duration};

use crate::harness::{Daemon, KnownCalls, TestCgroup, is_short, many_calls, mount_tracefs, number};

#[test]
fn two_threads_with_a_million_calls_each_are_counted_exactly() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("exact"));
    let calls = [
        ("getppid", libc::SYS_getppid, many_calls()),
        ("getuid", libc::SYS_getuid, 70_001),
        ("getgid", libc::SYS_getgid, 1),
        ("sched_yield", libc::SYS_sched_yield, 12_345),
        ("inotify_init1", libc::SYS_inotify_init1, 17),
    ];
    let mut args = vec!["threads".to_owned(), cgroup.path().display().to_string(), "2".to_owned()];
    args.extend(calls.iter().flat_map(|&(_, nr, count)| [number(nr), count.to_string()]));
    KnownCalls::run(&args.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>).collect::<Vec<_>>());

    let scrape = daemon.settled_scrape();
    for (syscall, _, count) in calls {
        assert_eq!(scrape.calls(&cgroup.label(), syscall), 2 * count, "{syscall}");
    }
    assert_eq!(scrape.skipped(), 0);
}

#[test]
fn nothing_is_lost_or_doubled_while_tasks_move_between_cgroups() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("moving"));
    let (a, b) = (cgroup.child("a"), cgroup.child("b"));
    let count = many_calls();
    let mut worker = KnownCalls::start(&[&"threads", &a, &"2", &number(libc::SYS_getppid), &count.to_string()]);
    let mut moves = 0;
    while worker.is_running() {
        let target = if moves % 2 == 0 { &b } else { &a };
        // The worker may have ended in the meantime.
        if fs::write(target.join("cgroup.procs"), worker.pid().to_string()).is_ok() {
            moves += 1;
        }
    }
    worker.finish();

    let scrape = daemon.settled_scrape();
    let in_a = scrape.calls(&cgroup.label_of(&a), "getppid");
    let in_b = scrape.calls(&cgroup.label_of(&b), "getppid");
    assert_eq!(in_a + in_b, 2 * count, "{in_a} in a, {in_b} in b, {moves} moves");
    assert!(in_a > 0 && in_b > 0, "the worker was moved {moves} times: {in_a} in a, {in_b} in b");
}

#[test]
fn nothing_is_lost_over_a_minute_of_mixed_load_on_every_cpu() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("mixed"));
    let seconds = if is_short() { "3" } else { "60" };
    let printed = KnownCalls::run(&[&"mixed", &cgroup.path(), &seconds, &"4"]);
    let words: Vec<&str> = printed.split_whitespace().collect();
    let scrape = daemon.settled_scrape();
    let counted: Vec<(&str, u64)> =
        words.chunks(2).map(|pair| (pair[0], scrape.calls(&cgroup.label(), pair[0]))).collect();
    let truth: Vec<(&str, u64)> = words.chunks(2).map(|pair| (pair[0], pair[1].parse().unwrap())).collect();
    assert_eq!(counted, truth);
    // Other programs may leave little CPU time to the workers.
    assert!(truth[0].1 > many_calls() / 20, "too little load to prove anything: {truth:?}");
    assert_eq!(scrape.skipped(), 0);
}

#[test]
fn the_raw_tracepoint_counts_as_exactly_or_says_what_it_lost() {
    let (calls, skipped) = counted_by("raw_tp");
    if skipped == 0 {
        assert_eq!(calls, many_calls());
    } else {
        // Forces this implementation on a kernel that preempts such programs (Linux 7.2).
        assert!(calls < many_calls() && calls + skipped >= many_calls(), "{calls} counted, {skipped} skipped");
    }
}

#[test]
fn the_classic_tracepoint_counts_as_exactly() {
    mount_tracefs();
    assert_eq!(counted_by("tracepoint"), (many_calls(), 0));
}

/// Returns how many of [`many_calls`] from two threads an implementation of `sys_enter` counts, and how many the kernel
/// skipped.
fn counted_by(implementation: &str) -> (u64, u64) {
    let flag = format!("--probe.sys-enter={implementation}");
    let (daemon, cgroup) = (Daemon::start(&[&flag]), TestCgroup::new(implementation));
    let half = (many_calls() / 2).to_string();
    KnownCalls::run(&[&"threads", &cgroup.path(), &"2", &number(libc::SYS_getppid), &half]);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.implementation("sys_enter").as_deref(), Some(implementation));
    (scrape.calls(&cgroup.label(), "getppid"), scrape.skipped())
}

#[test]
fn a_scrape_between_two_polls_has_counts_that_are_at_most_a_second_old() {
    let (daemon, cgroup) = (Daemon::start(&["--poll.interval=1h"]), TestCgroup::new("fresh"));
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &"10"]);
    assert_eq!(daemon.settled_scrape().calls(&cgroup.label(), "getppid"), 10);
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &"10"]);
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(daemon.settled_scrape().calls(&cgroup.label(), "getppid"), 20);
}
