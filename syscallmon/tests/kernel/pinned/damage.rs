//! Pins that others remove, replace or make read-only. The worst case is a clean start, and a line about what was lost.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Pins, TIMEOUT, counted};
use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, is_short, number, wait_for},
    policies::Guard,
};

/// What a daemon says if it cannot pin.
const OFF: &str = "pinned mode is off";

fn call(parent: &TestCgroup, count: u64) {
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &count.to_string()]);
}

fn kill(guard: &mut Guard) {
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
}

/// A daemon counts, and continues after a crash.
fn assert_continues(guard: &mut Guard, pins: &Pins, parent: &TestCgroup) {
    let before = counted(guard, &parent.label(), "getuid");
    wait_for("the removal of earlier tables", TIMEOUT, || (pins.tables() == 1).then_some(()));
    kill(guard);
    call(parent, 3);
    guard.start_again(&pins.flags());
    assert_eq!(counted(guard, &parent.label(), "getuid"), before + 3);
    assert_eq!(guard.daemon.log_line(OFF), None);
}

#[test]
fn a_directory_elsewhere_is_said_and_the_daemon_counts_without_pins() {
    let (directory, parent) = (tempfile::tempdir().unwrap(), TestCgroup::new("elsewhere"));
    let flag = format!("--pin.directory={}", directory.path().join("pins").display());
    let daemon = Daemon::start(&[&flag, "--capacity.cgroups=8192"]);
    let line = daemon.wait_for_log(OFF);
    assert!(line.contains("is not on a bpf file system"), "{line}");
    call(&parent, 5);
    assert_eq!(daemon.settled_scrape().calls(&parent.label(), "getuid"), 5);
}

#[test]
fn what_is_half_written_is_removed_and_said() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("half-written"));
    let mut guard = Guard::start("  []", &pins.flags());
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    fs::create_dir(pins.path().join("tables_0000000000000001")).unwrap();
    guard.start_again(&pins.flags());
    guard.daemon.wait_for_log("pinned counts cannot be used, and are removed");
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
    wait_for("its removal", TIMEOUT, || (pins.tables() == 1).then_some(()));
}

#[test]
fn on_a_read_only_bpf_file_system_daemons_count_and_later_ones_do_not_count_twice() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("read-only"));
    let mut guard = Guard::start("  []", &pins.flags());
    call(&parent, 5);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 5);
    pins.mount("mount", &["-o", "remount,ro"]);
    call(&parent, 5);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 10);
    kill(&mut guard);
    guard.start_again(&pins.flags());
    let line = guard.daemon.wait_for_log(OFF);
    assert!(line.contains("Read-only file system"), "{line}");
    call(&parent, 7);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 7, "its own counts");
    kill(&mut guard);
    pins.mount("mount", &["-o", "remount,rw"]);
    guard.start_again(&pins.flags());
    guard.daemon.wait_for_log("calls since the last saved totals are lost");
    call(&parent, 2);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 2, "what was exported before does not count again");
    assert_continues(&mut guard, &pins, &parent);
}

#[test]
fn tables_that_could_not_be_removed_do_not_count_again() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("not-removed"));
    let mut guard = Guard::start("  []", &pins.flags());
    call(&parent, 5);
    kill(&mut guard);
    // It takes over, and cannot save: so it does not remove the tables.
    let state = guard.directory.path().join("state");
    fs::rename(&state, state.with_extension("aside")).unwrap();
    fs::write(&state, "").unwrap();
    guard.start_again(&pins.flags());
    guard.daemon.wait_for_log("cannot save totals");
    pins.mount("mount", &["-o", "remount,ro"]);
    fs::remove_file(&state).unwrap();
    fs::rename(state.with_extension("aside"), &state).unwrap();
    guard.daemon.wait_for_log("cannot remove pinned tables");
    // A later state.
    call(&parent, 5);
    counted(&guard, &parent.label(), "getuid");
    guard.daemon.signal(libc::SIGTERM);
    guard.daemon.wait();
    pins.mount("mount", &["-o", "remount,rw"]);
    assert_eq!(pins.tables(), 2);
    guard.start_again(&pins.flags());
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 10);
    assert_continues(&mut guard, &pins, &parent);
}

#[test]
fn a_daemon_whose_pins_are_gone_goes_on_and_says_so() {
    for is_unmounted in [true, false] {
        let (pins, parent) = (Pins::new(), TestCgroup::new("gone"));
        let mut guard = Guard::start("  []", &[&pins.flags()[..], &["--poll.interval=1s"]].concat());
        call(&parent, 5);
        if is_unmounted {
            pins.mount("umount", &["-l"]);
        } else {
            fs::remove_dir_all(pins.path()).unwrap();
        }
        guard.daemon.wait_for_log("a pin was removed: a restart loses calls");
        call(&parent, 5);
        assert_eq!(counted(&guard, &parent.label(), "getuid"), 10, "unmounted: {is_unmounted}");
        guard.daemon.signal(libc::SIGTERM);
        guard.daemon.wait();
        call(&parent, 100);
        if is_unmounted {
            guard.start_again(&pins.flags());
            guard.daemon.wait_for_log(OFF);
            call(&parent, 7);
            assert_eq!(counted(&guard, &parent.label(), "getuid"), 7);
            kill(&mut guard);
            pins.mount("mount", &["-t", "bpf", "bpf"]);
        }
        guard.start_again(&pins.flags());
        guard.daemon.wait_for_log("the pinned counts are gone: calls since the last saved totals are lost");
        call(&parent, 2);
        // The daemon without pins began at 0, and so must the one after it.
        assert_eq!(counted(&guard, &parent.label(), "getuid"), if is_unmounted { 2 } else { 12 });
        assert_continues(&mut guard, &pins, &parent);
    }
}

/// Returns the last path in a directory whose name begins so: of tables, those of the newest daemon.
fn last(directory: &Path, beginning: &str) -> PathBuf {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort_unstable();
    let is_it = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(beginning);
    paths.iter().rfind(is_it).unwrap_or_else(|| panic!("no {beginning} in {}: {paths:?}", directory.display())).clone()
}

/// Removes a pin or a directory of pins.
fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

/// Puts a directory of others, with something in it, in the place of a pin.
fn replace_by_directory(path: &Path) {
    remove(path);
    fs::create_dir_all(path.join("of_another")).unwrap();
}

/// Pins that are removed, or replaced by a directory.
const REMOVED: [&str; 11] = [
    "dispatch",
    "dispatch/link_sys_enter",
    "dispatch/prog_sys_enter",
    "dispatch/TO_RAW",
    "dispatch/LEASE",
    "tasks_1",
    "tasks_1/TASK_STATE",
    "tables_",
    "tables_/COUNTERS",
    "tables_/DESCRIPTION",
    "tables_/CGROUP_EVENTS",
];

/// Other maps, programs and links, in the place of ours.
const REPLACED: [(&str, &str); 11] = [
    ("dispatch/TO_RAW", "dispatch/LEASE"),
    ("dispatch/LEASE", "tables_/LOST"),
    ("dispatch/TO_ENTER_BTF", "dispatch/TO_EXIT_BTF"),
    ("dispatch/prog_sys_enter", "dispatch/prog_lease"),
    ("dispatch/link_sys_enter", "dispatch/link_lease"),
    ("dispatch/link_sys_enter", "dispatch/LEASE"),
    ("tasks_1/TASK_STATE", "tables_/SLOTS"),
    ("tables_/COUNTERS", "tables_/SERIES_KEYS"),
    ("tables_/DESCRIPTION", "tables_/LOST"),
    ("tables_/FIRST_CALLS", "dispatch/LEASE"),
    ("tables_/SLOTS", "dispatch/prog_lease"),
];

/// Returns a pin by the beginnings of its path. Tables are those of the newest daemon.
fn pin(at: &Pins, name: &str) -> PathBuf {
    match name.split_once('/') {
        None => last(&at.path(), name),
        Some(("tables_", name)) => last(&at.path(), "tables_").join(name),
        Some((directory, name)) => last(&at.path().join(directory), name),
    }
}

/// Something that is done to pins, and its name.
type Damage<'a> = (String, Box<dyn Fn() + 'a>);

/// Each kind of pin, removed, or replaced by a directory or another object.
fn damages(at: &Pins) -> Vec<Damage<'_>> {
    let pin = |name: &str| pin(at, name);
    let mut damages: Vec<Damage<'_>> = Vec::new();
    for name in REMOVED {
        damages.push((format!("{name} removed"), Box::new(move || remove(&pin(name)))));
        damages.push((format!("a directory for {name}"), Box::new(move || replace_by_directory(&pin(name)))));
    }
    for (name, other) in REPLACED {
        let replace = move || {
            let (path, other) = (pin(name), pin(other));
            fs::remove_file(&path).unwrap();
            fs::hard_link(other, path).unwrap();
        };
        damages.push((format!("{other} for {name}"), Box::new(replace)));
    }
    for name in ["dispatch", "tasks_1", "tables_"] {
        let replace = move || {
            let (path, other) = (pin(name), pin("dispatch/LEASE"));
            fs::hard_link(other, at.path().join("other")).unwrap();
            remove(&path);
            fs::rename(at.path().join("other"), path).unwrap();
        };
        damages.push((format!("a map for {name}"), Box::new(replace)));
    }
    damages
}

#[test]
fn pins_that_others_removed_or_replaced_never_keep_a_daemon_from_counting() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("damaged"));
    let mut guard = Guard::start("  []", &pins.flags());
    let damages = damages(&pins);
    let damages = if is_short() { &damages[..4] } else { &damages[..] };
    for (number, (what, damage)) in damages.iter().enumerate() {
        call(&parent, 5);
        let before = counted(&guard, &parent.label(), "getuid");
        // Under a running daemon, or between two.
        if number % 2 == 0 {
            damage();
            kill(&mut guard);
        } else {
            kill(&mut guard);
            damage();
        }
        guard.start_again(&pins.flags());
        let taken = counted(&guard, &parent.label(), "getuid");
        call(&parent, 7);
        let after = counted(&guard, &parent.label(), "getuid");
        assert!(taken <= before && after == taken + 7, "{what}: {before}, {taken}, {after}");
        assert_eq!(guard.daemon.log_line(OFF), None, "{what}");
        let is_said = ["level=warn", "level=error"].iter().any(|level| guard.daemon.log_line(level).is_some());
        assert!(is_said || taken == before, "{what}: a loss is said");
        println!("{what}: {before} before, {taken} taken over");
    }
    assert_continues(&mut guard, &pins, &parent);
}
