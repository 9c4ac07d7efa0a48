//! Units with names generated for one session or run form one workload.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use crate::harness::{Daemon, KnownCalls, Scrape, TestCgroup, number, wait_for};

const SESSIONS: u64 = 150;

/// Makes a cgroup named like a session, with calls in it.
fn session(slice: &Path, id: u64, calls: u64) -> PathBuf {
    let path = slice.join(format!("session-{id}.scope"));
    fs::create_dir(&path).expect("make a cgroup");
    KnownCalls::run(&[&"calls", &path, &number(libc::SYS_kcmp), &calls.to_string()]);
    path
}

/// Number of calls in each session.
fn calls_of(id: u64) -> u64 {
    id % 5 + 1
}

fn sessions(slice: &Path) -> (Vec<PathBuf>, u64) {
    let paths = (0..SESSIONS).map(|id| session(slice, id, calls_of(id))).collect();
    (paths, (0..SESSIONS).map(calls_of).sum())
}

fn remove(sessions: &[PathBuf]) {
    for path in sessions {
        fs::remove_dir(path).expect("an empty cgroup");
    }
}

/// Returns the exported cgroups below this one that made the call.
fn exported<'a>(scrape: &'a Scrape, below: &str) -> Vec<&'a str> {
    scrape.below(below).into_iter().filter(|series| series.1 == "kcmp").map(|series| series.0).collect()
}

#[test]
fn sessions_are_one_workload_with_a_total_that_never_falls() {
    let parent = TestCgroup::new("sessions");
    let (slice, other) = (parent.child("user-1000.slice"), parent.child("user-1001.slice"));
    let [below, group] = ["", "/session-*.scope"].map(|name| format!("{}{name}", parent.label_of(&slice)));
    let daemon = Daemon::start(&[]);
    let (paths, total) = sessions(&slice);
    session(&other, 1, 7);
    let scrape = daemon.settled_scrape();
    assert_eq!(exported(&scrape, &below), [&group]);
    assert_eq!(scrape.calls(&group, "kcmp"), total);
    assert_eq!(scrape.calls(&format!("{}/session-*.scope", parent.label_of(&other)), "kcmp"), 7, "another user's");

    let (half, rest) = paths.split_at(75);
    remove(half);
    for _ in 0..2 {
        assert_eq!(daemon.settled_scrape().calls(&group, "kcmp"), total, "half of them are gone");
    }
    remove(rest);
    assert_eq!(daemon.settled_scrape().calls(&group, "kcmp"), total, "all of them are gone");
    session(&slice, SESSIONS, 3);
    let scrape = daemon.settled_scrape();
    assert_eq!(scrape.calls(&group, "kcmp"), total + 3);
    assert_eq!(exported(&scrape, &below), [&group]);
}

#[test]
fn a_container_among_sessions_stays_a_container_and_a_literal_name_is_in_the_group() {
    let parent = TestCgroup::new("session-container");
    let slice = parent.child("user-1000.slice");
    let container = session(&slice, 1, 2).join(format!("libpod-payload-{:064x}", process::id()));
    let literal = slice.join("session-*.scope");
    for path in [&container, &literal] {
        fs::create_dir(path).expect("make a cgroup");
    }
    let daemon = Daemon::start(&[]);
    for (path, calls) in [(&container, "5"), (&literal, "11")] {
        KnownCalls::run(&[&"calls", path, &number(libc::SYS_kcmp), &calls]);
    }
    session(&slice, 2, 3);
    // A container may wait for its name.
    let label = parent.label_of(&container);
    let scrape = wait_for("the container", Duration::from_secs(20), || {
        Some(daemon.settled_scrape()).filter(|scrape| scrape.calls(&label, "kcmp") > 0)
    });
    assert_eq!(scrape.calls(&label, "kcmp"), 5);
    assert_eq!(scrape.calls(&parent.label_of(&literal), "kcmp"), 14);
    assert_eq!(exported(&scrape, &parent.label_of(&slice)).len(), 2);
}

#[test]
fn sessions_are_distinguished_where_that_is_set() {
    let parent = TestCgroup::new("sessions-apart");
    let daemon = Daemon::start(&["--workload.group-transient-units=false"]);
    let (paths, _) = sessions(parent.path());
    let scrape = daemon.settled_scrape();
    assert_eq!(exported(&scrape, &parent.label()).len(), paths.len());
    for (id, path) in paths.iter().enumerate() {
        assert_eq!(scrape.calls(&parent.label_of(path), "kcmp"), calls_of(id as u64), "{}", path.display());
    }
}
