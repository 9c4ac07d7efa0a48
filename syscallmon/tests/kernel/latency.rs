//! All calls of the configured list are measured, in the right buckets. Calls that never end leave nothing behind.

use std::time::Duration;

use crate::harness::{Daemon, KnownCalls, ONLY_TESTS, TestCgroup, is_short, mount_tracefs, number};

/// Number of sleeps and their duration, between the bounds 8 ms and 16 ms (in steps of 1,024).
const SLEEPS: u64 = 1000;
const SLEEP: Duration = Duration::from_millis(10);

/// The measured calls: sleeps, and some others.
pub(crate) const FLAGS: [&str; 3] =
    ["--probe.latency=true", "--latency.syscalls=nanosleep,@file-system,read", "--latency.buckets=1us,8ms,16ms,16s"];

/// Makes a program sleep, and asserts that each sleep was measured. Returns its cgroup's label.
pub(crate) fn assert_sleeps(daemon: &Daemon, sleeps: u64) -> String {
    let cgroup = TestCgroup::new("sleeps");
    let printed = KnownCalls::run(&[&"sleeps", &cgroup.path(), &sleeps.to_string(), &SLEEP.as_nanos().to_string()]);
    let (truth, short) = printed.trim().split_once(' ').unwrap();
    let (truth, short): (f64, u64) = (truth.parse().unwrap(), short.parse().unwrap());
    let (scrape, label) = (daemon.settled_scrape(), cgroup.label());
    let labels = format!(r#"cgroup="{label}",syscall="nanosleep""#);
    let count = scrape.value(&format!("syscallmon_syscall_duration_seconds_count{{{labels}}}"));
    let at_most =
        |le| scrape.value(&format!(r#"syscallmon_syscall_duration_seconds_bucket{{{labels},le="{le}"}}"#)).unwrap();
    assert_eq!((count, at_most("+Inf")), (Some(sleeps), sleeps));
    assert_eq!((at_most("0.000001"), at_most("0.008192")), (0, 0), "none was shorter");
    // On a machine under load, some sleeps last longer, which the program also sees. Its measurement contains the call.
    assert!(short > sleeps / 2 || is_short(), "{short} of {sleeps} are too few to prove anything");
    assert!((short..=sleeps).contains(&at_most("0.016384")), "{} of {sleeps}, not {short}", at_most("0.016384"));
    assert_eq!(at_most("16.777216"), sleeps);
    let sum = scrape.float(&format!("syscallmon_syscall_duration_seconds_sum{{{labels}}}")).unwrap();
    let ratio = sum * 1e9 / truth;
    // In an emulated machine, the program's work around the call takes long.
    let least = if is_short() { 0.8 } else { 0.95 };
    assert!((least..=1.05).contains(&ratio), "the sum is {ratio} of the program's own");
    label
}

#[test]
fn sleeps_are_all_measured_and_in_the_right_bucket() {
    let daemon = Daemon::start(&FLAGS);
    let label = assert_sleeps(&daemon, if is_short() { 100 } else { SLEEPS });
    let of_ours = format!(r#"syscallmon_syscall_duration_seconds_count{{cgroup="{label}",syscall=""#);
    let scrape = daemon.scrape();
    let measured: Vec<&str> =
        scrape.text.lines().filter_map(|line| line.strip_prefix(&of_ours)?.split('"').next()).collect();
    assert!(measured.contains(&"close") && !measured.contains(&"mmap"), "{measured:?}");
}

#[test]
fn every_implementation_measures_the_same() {
    mount_tracefs();
    for implementation in ["raw_tp", "tracepoint"] {
        let flag = format!("--probe.sys-enter={implementation}");
        assert_sleeps(&Daemon::start(&[&[flag.as_str()], FLAGS.as_slice()].concat()), 100);
    }
}

#[test]
fn threads_that_die_inside_a_call_leave_nothing_behind() {
    // Far more calls than can be under way. On x86, a successful execveat has no visible end, so its entry is removed
    // at the end of its process.
    let daemon = Daemon::start(&[
        FLAGS[0],
        "--latency.syscalls=read,nanosleep,execveat",
        FLAGS[2],
        "--capacity.timed-calls=1000",
        ONLY_TESTS,
    ]);
    let cgroup = TestCgroup::new("dying");
    let (threads, execs) = if is_short() { ("2000", "100") } else { ("20000", "2000") };
    KnownCalls::run(&[&"die-in-a-call", &cgroup.path(), &"200"]);
    let before = daemon.resident_memory();
    KnownCalls::run(&[&"die-in-a-call", &cgroup.path(), &threads]);
    KnownCalls::run(&[&"execveat", &cgroup.path(), &execs]);
    let scrape = daemon.settled_scrape();
    let after = daemon.resident_memory();
    assert!(after < before + (4 << 20), "{before} became {after}");
    assert_eq!(scrape.lost("timed_calls_full"), 0);
    assert_sleeps(&daemon, 100);
}

#[test]
fn calls_that_find_no_histogram_are_counted_as_lost() {
    // No other program makes this call. It fails, because the timer does not exist.
    let flags = ["--probe.latency=true", "--latency.syscalls=timer_getoverrun", "--capacity.histograms=1"];
    let daemon = Daemon::start_alone(&flags);
    let cgroups = ["first", "second"].map(TestCgroup::new);
    for cgroup in &cgroups {
        KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_timer_getoverrun), &"5"]);
    }
    let scrape = daemon.settled_scrape();
    let measured = cgroups.map(|cgroup| {
        let labels = format!(r#"cgroup="{}",syscall="timer_getoverrun""#, cgroup.label());
        scrape.value(&format!("syscallmon_syscall_duration_seconds_count{{{labels}}}"))
    });
    assert_eq!(measured, [Some(5), None]);
    assert_eq!(scrape.lost("histograms_full"), 5);
}

#[test]
fn calls_that_are_too_many_at_once_are_counted_as_lost() {
    let daemon = Daemon::start_alone(&[FLAGS.as_slice(), &["--capacity.timed-calls=1"]].concat());
    KnownCalls::run(&[&"die-in-a-call", &TestCgroup::new("atonce").path(), &"100"]);
    assert!(daemon.settled_scrape().lost("timed_calls_full") >= 90);
}

#[test]
fn a_call_belongs_to_the_cgroup_that_its_task_was_in_when_it_began() {
    let daemon = Daemon::start(&FLAGS);
    let (before, after) = (TestCgroup::new("before"), TestCgroup::new("after"));
    KnownCalls::run(&[&"moved-in-a-call", &before.path(), &after.path()]);
    let scrape = daemon.settled_scrape();
    let count = |cgroup: &TestCgroup| {
        let labels = format!(r#"cgroup="{}",syscall="nanosleep""#, cgroup.label());
        scrape.value(&format!("syscallmon_syscall_duration_seconds_count{{{labels}}}"))
    };
    assert_eq!((count(&before), count(&after)), (Some(1), None));
    assert_eq!(scrape.calls(&before.label(), "nanosleep"), 1);
}
