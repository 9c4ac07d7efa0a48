//! Errors are counted exactly by errno. Results that only look like errors at `sys_exit` are not counted.

use crate::harness::{Daemon, KnownCalls, Scrape, TestCgroup, is_short, mount_tracefs};

/// The program's own errors: it opens a missing file, reads without data, and lacks a permission.
const KNOWN: [(&str, &str, u64); 3] = [("openat", "ENOENT", 5000), ("read", "EAGAIN", 3000), ("setuid", "EPERM", 200)];

fn run_failing(cgroup: &TestCgroup) {
    let [missing, empty, forbidden] = KNOWN.map(|(.., count)| count.to_string());
    KnownCalls::run(&[&"failing", &cgroup.path(), &missing, &empty, &forbidden]);
}

/// Makes calls fail, and asserts that their errors were counted. Returns the scrape.
pub(crate) fn assert_counted(daemon: &Daemon) -> Scrape {
    let cgroup = TestCgroup::new("errors");
    run_failing(&cgroup);
    let scrape = daemon.settled_scrape();
    let mut errors = scrape.errors(&cgroup.label());
    errors.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    assert_eq!(errors, KNOWN.map(|(syscall, errno, count)| (syscall.to_owned(), errno.to_owned(), count)));
    for (syscall, _, count) in KNOWN {
        assert!(scrape.calls(&cgroup.label(), syscall) >= count, "those that fail are calls, too: {syscall}");
    }
    scrape
}

#[test]
fn errors_are_counted_by_errno_exactly() {
    assert_counted(&Daemon::start(&[]));
}

#[test]
fn every_implementation_counts_the_same_errors() {
    mount_tracefs();
    for implementation in ["raw_tp", "tracepoint"] {
        let flag = format!("--probe.sys-enter={implementation}");
        let scrape = assert_counted(&Daemon::start(&[&flag]));
        assert_eq!(scrape.implementation("sys_exit").as_deref(), Some(implementation));
    }
}

#[test]
fn signals_and_restarts_are_no_errors() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("noerrors"));
    let seconds = if is_short() { "2" } else { "10" };
    let signals: u64 = KnownCalls::run(&[&"no-failures", &cgroup.path(), &seconds]).trim().parse().unwrap();
    assert!(signals > 100, "too few signals to prove anything: {signals}");
    let scrape = daemon.settled_scrape();
    let calls = |syscall| scrape.calls(&cgroup.label(), syscall);
    assert!(calls("restart_syscall") > 0 && calls("rt_sigreturn") >= signals && calls("rt_sigsuspend") > 0);
    assert_eq!(scrape.errors(&cgroup.label()), [], "of {signals} signals");
}

#[test]
fn calls_of_32_bit_programs_fail_under_their_own_abi() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("errors32"));
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    // The number is unused in the 32-bit table; the 64-bit table has pread64 there.
    KnownCalls::run(&[&"int80", &cgroup.path(), &"17", &"50"]);
    let scrape = daemon.settled_scrape();
    let series = |syscall: &str, abi: &str| {
        let labels = format!(r#"cgroup="{}",syscall="{syscall}",abi="{abi}",errno="ENOSYS""#, cgroup.label());
        scrape.value(&format!("syscallmon_syscall_errors_total{{{labels}}}"))
    };
    assert_eq!((series("break", "ia32"), series("pread64", "x86_64")), (Some(50), None));
}

#[test]
fn beyond_the_cap_errors_are_counted_in_the_remainder_of_their_workload() {
    let (daemon, cgroup) = (Daemon::start_alone(&["--capacity.errors=3"]), TestCgroup::new("manyerrors"));
    // With these arguments, each call fails in its own way and gives its own pair.
    let calls = [libc::SYS_close, libc::SYS_dup, libc::SYS_fchdir, libc::SYS_fsync, libc::SYS_fstat, libc::SYS_lseek];
    let numbers = calls.map(|nr| nr.to_string()).join(",");
    KnownCalls::run(&[&"failing-many", &cgroup.path(), &numbers, &"100"]);
    let errors = daemon.settled_scrape().errors(&cgroup.label());
    let (remainder, by_call): (Vec<_>, Vec<_>) = errors.into_iter().partition(|(syscall, ..)| syscall == "(remainder)");
    assert_eq!((by_call.len(), remainder.len()), (3, 1), "{by_call:?} {remainder:?}");
    let all: u64 = by_call.iter().chain(&remainder).map(|(.., count)| count).sum();
    assert_eq!(all, 100 * calls.len() as u64, "{by_call:?} {remainder:?}");
}

#[test]
fn outcomes_of_the_dead_stay_theirs_when_others_get_their_numbers() {
    const CGROUPS: usize = 200;
    // The tables are so small that each number is reused several times, and each slot may have two pairs of call and
    // errno.
    let small = ["--capacity.cgroups=40", "--capacity.errors=2", "--capacity.histograms=240", "--poll.interval=100ms"];
    let daemon =
        Daemon::start_alone(&[small.as_slice(), &["--probe.latency=true", "--latency.syscalls=read"]].concat());
    let parent = TestCgroup::new("deadoutcomes");
    for index in 0..CGROUPS {
        let child = parent.child(&format!("c{index}"));
        KnownCalls::run(&[&"failing", &child, &"10", &"5", &"0"]);
        KnownCalls::run(&[&"refused", &child, &"errno", &"3"]);
        std::fs::remove_dir(child).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let scrape = daemon.settled_scrape();
    let mut whole = 0;
    for index in 0..CGROUPS {
        let label = format!("{}/c{index}", parent.label());
        let reads = format!(r#"syscallmon_syscall_duration_seconds_count{{cgroup="{label}",syscall="read"}}"#);
        let (mut errors, denied, reads) = (scrape.errors(&label), scrape.denied(&label), scrape.value(&reads));
        errors.sort();
        let expected = [("openat", "ENOENT", 10), ("read", "EAGAIN", 5)];
        let expected = expected.map(|(syscall, errno, count)| (syscall.to_owned(), errno.to_owned(), count));
        let refused = [("mkdirat".to_owned(), 3)];
        // If cgroups of other programs use all numbers, an outcome is counted in the remainder, never for another
        // cgroup.
        assert!(errors.iter().all(|error| expected.contains(error)), "{label}: {errors:?}");
        assert!(denied.is_empty() || denied == refused, "{label}: {denied:?}");
        assert!(reads.is_none_or(|count| count == 5), "{label}: {reads:?}");
        whole += usize::from(errors == expected && denied == refused && reads == Some(5));
    }
    let lost = ["errors_full", "denied_full", "histograms_full"].map(|reason| scrape.lost(reason));
    assert!(
        whole > CGROUPS / 4 && (whole < CGROUPS || lost == [0; 3]),
        "{whole} cgroups have all of theirs; lost: {lost:?}"
    );
}

#[test]
fn refused_calls_that_find_the_tables_full_are_counted_in_the_remainder() {
    let daemon = Daemon::start_alone(&["--capacity.cgroups=1"]);
    // The first caller gets the only slot.
    let cgroup = TestCgroup::new("deniedfull");
    KnownCalls::run(&[&"refused", &cgroup.path(), &"errno", &"7"]);
    KnownCalls::run(&[&"failing", &cgroup.path(), &"10", &"0", &"0"]);
    let scrape = daemon.settled_scrape();
    // Other programs of the host have no slot either.
    assert!(scrape.denied("(remainder)").contains(&("mkdirat".to_owned(), 7)), "{:?}", scrape.denied("(remainder)"));
    assert!(scrape.lost("denied_full") >= 7);
    let errors = scrape.errors("(remainder)");
    assert!(errors.len() == 1 && errors[0].0 == "(remainder)" && errors[0].2 >= 10, "{errors:?}");
}

#[test]
fn what_is_switched_off_is_not_attached() {
    let daemon = Daemon::start(&["--probe.errors=false", "--probe.denied=false"]);
    let cgroup = TestCgroup::new("off");
    run_failing(&cgroup);
    let scrape = daemon.settled_scrape();
    assert_eq!((scrape.implementation("sys_exit"), scrape.implementation("task")), (None, None));
    assert_eq!(scrape.errors(&cgroup.label()), []);
    assert_eq!(scrape.calls(&cgroup.label(), "openat"), 5000);
}

#[test]
fn a_call_that_a_tracer_takes_away_is_no_error() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("emulated"));
    KnownCalls::run(&[&"emulated", &cgroup.path(), &"1000"]);
    let scrape = daemon.settled_scrape();
    let of_mkdirat = |(syscall, ..): &(String, String, u64)| syscall == "mkdirat";
    let errors: Vec<_> = scrape.errors(&cgroup.label()).into_iter().filter(of_mkdirat).collect();
    assert_eq!(errors, [("mkdirat".to_owned(), "EFAULT".to_owned(), 1)], "the one that the kernel ran");
    assert_eq!(scrape.calls(&cgroup.label(), "mkdirat"), 1);
}
