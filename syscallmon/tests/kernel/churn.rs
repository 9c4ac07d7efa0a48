//! Births and deaths of many cgroups: names, counts and memory stay right.

use std::time::Duration;

use crate::harness::{Daemon, KnownCalls, Scrape, TestCgroup, is_short, number, wait_for};

#[test]
fn cgroups_that_live_for_milliseconds_are_named_and_counted_exactly() {
    let (daemon, base) = (Daemon::start(&[]), TestCgroup::new("short"));
    let cgroups = if is_short() { 100 } else { 300 };
    let (count, getppid) = (number(cgroups), number(libc::SYS_getppid));
    let printed = KnownCalls::run(&[&"short-lived", &base.path(), &"s", &count, &getppid, &"100"]);
    println!("lives of the cgroups, median and longest, in us: {printed}");

    let scrape = daemon.settled_scrape();
    for index in 0..cgroups {
        let label = format!("{}/s{index}", base.label());
        assert_eq!(scrape.calls(&label, "getppid"), 100, "{label}, skipped: {}", scrape.skipped());
        assert_eq!(scrape.calls(&label, "exit_group"), 1, "{label}");
    }
}

#[test]
fn more_cgroups_than_the_ring_buffer_holds_do_no_harm() {
    let (daemon, base) = (Daemon::start_alone(&[]), TestCgroup::new("storm"));
    // A stopped daemon reads nothing in the meantime.
    daemon.signal(libc::SIGSTOP);
    let cgroups = 16_500;
    let printed = KnownCalls::run(&[&"mkdir-rmdir", &base.path(), &number(cgroups)]);
    daemon.signal(libc::SIGCONT);
    println!("{cgroups} cgroups made and removed in {} ms", printed.trim());
    let lost = daemon.settled_scrape().lost("cgroup_events");
    assert!(lost > 0, "the ring buffer held all of them");

    // Afterwards, new cgroups have their names, and no cgroup has calls of another.
    let cgroup = base.child("after");
    KnownCalls::run(&[&"calls", &cgroup, &number(libc::SYS_getppid), &"4321"]);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&base.label_of(&cgroup), "getppid"), 4321);
    assert_eq!(scrape.sum_below(&base.label(), "getppid"), 4321);
    println!("lost cgroup events: {lost}");
}

/// Calls that nothing else on the host makes. So the remainder, which is for the whole host, has only calls of the
/// test.
const RARE: [(&str, i64); 3] =
    [("kcmp", libc::SYS_kcmp), ("mbind", libc::SYS_mbind), ("move_pages", libc::SYS_move_pages)];

/// Returns the calls of the first of [`RARE`] that are counted, but not for their cgroup.
fn without_name(scrape: &Scrape) -> u64 {
    ["(remainder)", "(unknown)", "(gone)"].map(|workload| scrape.calls(workload, RARE[0].0)).iter().sum()
}

#[test]
fn twenty_thousand_cgroups_pass_through_a_thousand_slots() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("syscallmon.yaml");
    std::fs::write(&config, "workload:\n  expire_after: 1h\n").unwrap();
    let daemon = Daemon::start_alone(&["--config.file", config.to_str().unwrap()]);
    let base = TestCgroup::new("churn");
    let cgroups = if is_short() { 2_000 } else { 20_000 };
    let churn = |prefix: &str| {
        let count = number(cgroups);
        KnownCalls::run(&[&"short-lived", &base.path(), &prefix, &count, &number(RARE[0].1), &"7"]);
    };

    // All calls of all cgroups are counted, although only 1,024 cgroups have a slot at the same time.
    churn("a");
    let scrape = daemon.settled_scrape();
    let prefix = format!("{}/a", base.label());
    assert_eq!(scrape.sum_below(&prefix, RARE[0].0) + without_name(&scrape), cgroups.unsigned_abs() * 7);
    assert!(scrape.value("syscallmon_cgroups").unwrap() <= 1024);
    println!("without a name of their own: {} of {} calls", without_name(&scrape), 7 * cgroups);

    // Series of dead cgroups expire.
    std::fs::write(&config, "workload:\n  expire_after: 1s\npoll:\n  interval: 500ms\n").unwrap();
    daemon.signal(libc::SIGHUP);
    wait_for("the dead to be forgotten", Duration::from_secs(10), || {
        daemon.settled_scrape().below(&prefix).is_empty().then_some(())
    });

    // Memory does not grow from one churn to the next.
    churn("b");
    let after_one = daemon.resident_memory();
    churn("c");
    let after_two = daemon.resident_memory();
    println!("resident after {} cgroups: {after_one}, after {}: {after_two}", 2 * cgroups, 3 * cgroups);
    assert!(after_two < after_one + (8 << 20), "memory grew from {after_one} to {after_two}");
}

#[test]
fn the_dead_cannot_make_series_without_limit() {
    let series = if is_short() { 400 } else { 2000 };
    let cgroups = series * 3 / 2;
    let daemon = Daemon::start_alone(&[&format!("--capacity.series={series}")]);
    let base = TestCgroup::new("graves");
    KnownCalls::run(&[&"short-lived", &base.path(), &"g", &cgroups.to_string(), &number(RARE[0].1), &"5"]);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.sum_below(&base.label(), RARE[0].0) + without_name(&scrape), cgroups * 5);
    let exported = scrape.below("").len() as u64;
    assert!(exported < series * 9 / 4, "{exported} series");
    assert!(scrape.lost("workloads_folded") > series / 2);
}

#[test]
fn cgroups_beyond_the_capacity_are_counted_in_the_remainder_exactly() {
    let (daemon, base) = (Daemon::start_alone(&["--capacity.cgroups=20"]), TestCgroup::new("full"));
    let numbers = RARE.map(|(_, nr)| number(nr)).join(",");
    KnownCalls::run(&[&"populate", &base.path(), &"100", &numbers]);

    let scrape = daemon.settled_scrape();
    for (syscall, _) in RARE {
        let named = scrape.sum_below(&base.label(), syscall);
        assert!(named < 20, "a table of 20 cgroups cannot hold {named} and the rest of the host");
        assert_eq!(named + scrape.calls("(remainder)", syscall), 100, "{syscall}");
    }
    assert!(scrape.lost("cgroups_full") >= 3 * 80);
    daemon.wait_for_log("every cgroup slot is taken");
}

#[test]
fn slots_that_become_free_are_given_out_again() {
    let (daemon, base) = (Daemon::start_alone(&["--capacity.cgroups=20"]), TestCgroup::new("again"));
    let kcmp = number(libc::SYS_kcmp);
    {
        let full = TestCgroup::new("filler");
        KnownCalls::run(&[&"populate", &full.path(), &"40", &kcmp]);
        assert!(daemon.settled_scrape().lost("cgroups_full") > 0);
    }
    // Other cgroups of the host take slots, too, but one of these finds a free one.
    let mut attempts = 0;
    wait_for("a slot for a new cgroup", Duration::from_mins(1), || {
        attempts += 1;
        let cgroup = base.child(&format!("late{attempts}"));
        KnownCalls::run(&[&"calls", &cgroup, &kcmp, &"9"]);
        (daemon.settled_scrape().calls(&base.label_of(&cgroup), "kcmp") == 9).then_some(())
    });
}

#[test]
fn series_beyond_the_capacity_are_counted_in_the_remainder_exactly() {
    // The host's own processes and the start of the test's programs need more than 30 series.
    let (daemon, cgroup) = (Daemon::start_alone(&["--capacity.series=30"]), TestCgroup::new("series"));
    for _ in 0..5 {
        KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &"1"]);
    }
    for (_, nr) in RARE {
        KnownCalls::run(&[&"calls", &cgroup.path(), &number(nr), &"11"]);
    }
    let scrape = daemon.settled_scrape();
    for (syscall, _) in RARE {
        let total = scrape.calls(&cgroup.label(), syscall) + scrape.calls("(remainder)", syscall);
        assert_eq!(total, 11, "{syscall}");
    }
    assert!(scrape.lost("series_full") > 0);
    daemon.wait_for_log("every series is taken");
}
