//! Requirements for every kernel, with few daemons: these tests also run in emulated machines, where a start takes
//! seconds.

use std::{fs, path::Path};

use crate::{
    abi, arguments, denied, errors,
    harness::{Daemon, KnownCalls, Scrape, TestCgroup, is_short, many_calls, mount_tracefs, number},
    latency, pinned,
};

/// Numbers of short-lived cgroups, of calls in each, and of io_uring operations.
const SHORT_LIVES: u64 = 30;
const CALLS: u64 = 100;
const OPERATIONS: u64 = 100;

/// Numbers of denied calls in each way, of tasks created in each way, and of measured sleeps.
const DENIALS: u64 = 20;
const LIVES: u64 = 20;
const SLEEPS: u64 = 20;

/// Whether the daemon is expected to distinguish 32-bit calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Abis {
    Distinguished,
    Untold,
}

#[test]
fn by_default_everything_counts_exactly() {
    mount_tracefs();
    let mut daemon = Daemon::start(&latency::FLAGS);
    let scrape = count_everything(&daemon, Abis::Distinguished);
    assert_eq!(scrape.skipped(), 0);
    see_every_end(&daemon);
    assert!(scrape.value(r#"syscallmon_workloads{state="gone"}"#) >= Some(SHORT_LIVES), "they died");
    let cgroups = scrape.value("syscallmon_cgroups");
    assert!(cgroups < Some(SHORT_LIVES), "their slots were freed: {cgroups:?} are in use");
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn in_pinned_mode_counting_goes_on_over_a_restart() {
    mount_tracefs();
    pinned::goes_on_over_a_restart();
}

#[test]
fn on_the_classic_tracepoint_everything_counts_exactly() {
    mount_tracefs();
    let daemon = Daemon::start(&[&["--probe.sys-enter=tracepoint"], latency::FLAGS.as_slice()].concat());
    assert_eq!(count_everything(&daemon, Abis::Distinguished).skipped(), 0);
    see_every_end(&daemon);
}

#[test]
fn without_btf_everything_but_the_abi_counts_exactly() {
    mount_tracefs();
    if fs::read_to_string("/proc/self/cgroup").is_ok_and(|own| !own.lines().any(|line| line.starts_with("0::"))) {
        println!("this host has no cgroup2");
        return;
    }
    let nothing = tempfile::tempdir().unwrap();
    let flags = ["--path.sysfs", nothing.path().to_str().unwrap(), "--cgroup.hierarchy=cgroup2"];
    let daemon = Daemon::start(&[flags.as_slice(), &latency::FLAGS].concat());
    let scrape = count_everything(&daemon, Abis::Untold);
    latency::assert_sleeps(&daemon, SLEEPS);
    errors::assert_counted(&daemon);
    let used = ["sys_enter", "sys_exit", "cgroup", "io_uring"].map(|probe| scrape.implementation(probe).unwrap());
    let line = daemon.wait_for_log("32-bit calls are counted as");
    let preempted = daemon.log_line("preempts raw tracepoint programs").is_some();
    let sys_enter = if preempted { "tracepoint" } else { "raw_tp" };
    assert_eq!(used, [sys_enter, "tracepoint", "tracepoint", "tracepoint"]);
    assert!(line.contains("cannot read kernel BTF"), "{line}");
}

/// Makes calls fail, be denied and take long, and asserts that each was counted.
fn see_every_end(daemon: &Daemon) {
    errors::assert_counted(daemon);
    arguments::assert_counted(daemon);
    for action in ["errno", "trap", "kill-inherited", "kill-thread"] {
        denied::assert_counted(daemon, action, DENIALS, DENIALS);
    }
    denied::assert_lives_are_none(daemon, LIVES);
    let supervised = [("notify-refuse", DENIALS), ("notify-answer", 0), ("notify-continue", 0)];
    for (action, denied) in supervised {
        denied::assert_counted(daemon, action, DENIALS, denied);
    }
    latency::assert_sleeps(daemon, SLEEPS);
}

/// Makes all kinds of calls in separate cgroups, and asserts the exact counts. If the kernel reports that it skipped
/// the program, as many may be missing.
fn count_everything(daemon: &Daemon, abis: Abis) -> Scrape {
    let base = TestCgroup::new("kernels");
    let [threads, moved, numbers, births, compat] =
        ["threads", "moved", "numbers", "births", "compat"].map(|name| base.child(name));
    let getppid = number(libc::SYS_getppid);
    let many = many_calls() / 2;

    KnownCalls::run(&[&"threads", &threads, &"2", &getppid, &many.to_string(), &number(libc::SYS_getuid), &"1001"]);
    move_while_calling(&moved, many);
    KnownCalls::run(&[&"calls", &numbers, &"-1", &"100", &"9999", &"10", &getppid, &"1"]);
    KnownCalls::run(&[&"range", &numbers, &"1000", &"2000"]);
    let (lives, calls) = (SHORT_LIVES.to_string(), CALLS.to_string());
    KnownCalls::run(&[&"short-lived", &births, &"s", &lives, &getppid, &calls]);
    KnownCalls::run(&[&"io-uring", &numbers, &OPERATIONS.to_string()]);
    KnownCalls::run(&[&"io-uring-thread", &numbers, &OPERATIONS.to_string()]);
    let compat_calls = abi::run_32_bit_program(&compat, 1234);

    let scrape = daemon.settled_scrape();
    let label = |cgroup: &Path| base.label_of(cgroup);
    let mut missing = 0;
    let mut expect = |cgroup: &str, syscall: &str, calls: u64| {
        let counted = scrape.calls(cgroup, syscall);
        assert!(counted <= calls, "{syscall} of {cgroup}: {counted} of {calls}");
        missing += calls - counted;
    };
    expect(&label(&threads), "getppid", 2 * many);
    expect(&label(&threads), "getuid", 2 * 1001);
    expect(&label(&numbers), "unknown", 100 + 10 + 1000);
    expect(&label(&numbers), "getppid", 1);
    for index in 0..SHORT_LIVES {
        expect(&format!("{}/s{index}", label(&births)), "getppid", CALLS);
    }
    let in_both = ["a", "b"].map(|name| scrape.calls(&label(&moved.join(name)), "getppid"));
    missing += 2 * many - in_both.iter().sum::<u64>();
    let (unnamed, snapshots) = (scrape.calls("(unknown)", "getppid"), scrape.value("syscallmon_snapshots_total"));
    assert!(
        missing <= scrape.skipped(),
        "{missing} calls are missing, {} were skipped; {unnamed} getppid have no name; snapshots: {snapshots:?}",
        scrape.skipped()
    );
    assert!(is_short() || in_both.iter().all(|&calls| calls > 0), "{in_both:?}");

    let operations = ["openat", "read", "nop"].map(|op| scrape.requests(&label(&numbers), op));
    assert_eq!(operations, [OPERATIONS; 3], "openat, read, and nop through a submission thread");
    if abis == Abis::Distinguished && compat_calls {
        assert_eq!(scrape.calls_of(&label(&compat), "getpid", abi::COMPAT), 1234);
    }
    scrape
}

/// Two threads make calls while their process moves between the cgroups `a` and `b`.
fn move_while_calling(base: &Path, calls: u64) {
    let cgroups = ["a", "b"].map(|name| base.join(name));
    for cgroup in &cgroups {
        fs::create_dir(cgroup).unwrap();
    }
    let calls = calls.to_string();
    let mut worker = KnownCalls::start(&[&"threads", &cgroups[0], &"2", &number(libc::SYS_getppid), &calls]);
    for target in cgroups.iter().rev().cycle() {
        if !worker.is_running() {
            break;
        }
        // The worker may have ended in the meantime.
        let _ = fs::write(target.join("cgroup.procs"), worker.pid().to_string());
    }
    worker.finish();
}
