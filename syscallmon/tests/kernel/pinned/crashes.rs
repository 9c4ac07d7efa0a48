//! Daemons that are killed at any moment: while they take over, hand over, and write their state.

use std::{
    collections::HashMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    Pins, Started, TIMEOUT, counts,
    restarts::{LOAD, Load},
    wait_for_totals,
};
use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, is_long, is_short, number, reported, wait_for},
    incidents::CALLS,
};

/// Returns a random time up to this one.
fn random(most: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or_default();
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[test]
fn no_call_is_lost_or_doubled_whenever_daemons_are_killed() {
    let (pins, parent, state) = (Pins::new(), TestCgroup::new("killed"), tempfile::tempdir().unwrap());
    let (label, begin, log) = (parent.label(), Instant::now(), state.path().join("log"));
    let said = |text: &str| fs::read_to_string(&log).unwrap_or_default().matches(text).count();
    let flags = pins.flags();
    let rounds = if is_long() {
        200
    } else if is_short() {
        6
    } else {
        24
    };
    // The first daemon shows how long a start takes.
    let mut first = Started::new(state.path(), &log, &flags);
    wait_for_totals(&state.path().join("state"));
    let most = begin.elapsed().mul_f64(1.5);
    assert!(first.is_running());
    let load = Load::start(parent.child("busy"));
    assert!(first.kill());
    let mut moments = Vec::new();
    for round in 0..rounds {
        come_and_go(parent.path(), 2 * round);
        let mut daemon = Started::new(state.path(), &log, &flags);
        let moment = random(most);
        let (path, pause) = (parent.path().to_owned(), random(moment));
        let beside = thread::spawn(move || {
            thread::sleep(pause);
            come_and_go(&path, 2 * round + 1);
        });
        thread::sleep(moment);
        if round % 4 == 3 {
            // Some daemons save their totals. After too many that did not, one begins anew.
            wait_for_totals(&state.path().join("state"));
        }
        assert!(daemon.is_running(), "no daemon ends by itself: {}", fs::read_to_string(&log).unwrap());
        if round % 3 == 0 {
            daemon.terminate();
            thread::sleep(random(Duration::from_millis(300)));
        }
        daemon.kill();
        beside.join().expect("no panic");
        moments.push(moment);
    }
    let directory = format!("--state.directory={}", state.path().join("state").display());
    let alerts = state.path().join("violations");
    let daemon = Daemon::start(&[&flags[..], &[&directory, &format!("--alert.log={}", alerts.display())]].concat());
    let made = load.finish();
    let ran = 2 * rounds as u64;
    let [lives, containers, of_load @ ..] =
        counts(&daemon, &label, ["geteuid", "getgid", LOAD[0], LOAD[1], LOAD[2], LOAD[3]]);
    assert_eq!((lives, containers, of_load), (ran * 5 * 7, ran * 5, made), "{moments:?}");
    let taken = (said("took the counts of pinned programs over"), said("begins anew"));
    assert!(taken.0 > 0 && taken.1 == 0, "{taken:?}");
    let repeated = assert_reported(&alerts, &label, 2 * rounds);
    println!(
        "{rounds} kills within {most:?} of the start, calls {made:?}, {} take-overs, {repeated} repeated alerts, in {:?}",
        taken.0,
        begin.elapsed()
    );
}

/// Each of so many containers is reported. Returns the number of those that were reported more than once. A daemon may
/// be killed between the delivery of an alert and its note of it.
fn assert_reported(alerts: &Path, label: &str, containers: usize) -> usize {
    let reports = || {
        let mut reports = HashMap::<String, usize>::new();
        for workload in reported(alerts).iter().map(|line| line["workload"].to_string()) {
            if workload.contains(label) {
                *reports.entry(workload).or_default() += 1;
            }
        }
        reports
    };
    wait_for("a report of each unexpected call", TIMEOUT, || (reports().len() == containers).then_some(()));
    reports().values().filter(|count| **count > 1).count()
}

/// Short-lived cgroups, and a container with an unexpected call. Every second container ends.
fn come_and_go(parent: &Path, number_of_it: usize) {
    let prefix = format!("r{number_of_it}-");
    KnownCalls::run(&[&"short-lived", &parent, &prefix, &"5", &number(libc::SYS_geteuid), &"7"]);
    let (path, (_, nr)) = (parent.join(format!("{number_of_it:064x}")), CALLS[number_of_it % CALLS.len()]);
    fs::create_dir(&path).expect("make a cgroup");
    KnownCalls::run(&[&"calls", &path, &number(nr), &"3", &number(libc::SYS_getgid), &"5"]);
    if (number_of_it / 2).is_multiple_of(2) {
        fs::remove_dir(&path).expect("remove the container");
    }
}
