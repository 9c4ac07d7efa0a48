//! The end of pinned programs: by `unpin`, or after their lease.

use std::{collections::BTreeSet, fs, process::Command, thread, time::Duration};

use aya::{
    maps::loaded_maps,
    programs::{loaded_links, loaded_programs},
};

use super::{Pins, TIMEOUT, counted};
use crate::{
    harness::{KnownCalls, TestCgroup, binary, number, wait_for},
    policies::{self, Guard},
};

/// Returns the ids of the kernel's BPF objects that a process has open: programs, maps and links.
fn objects(pid: u32) -> BTreeSet<(&'static str, u32)> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("a running daemon").map(|file| file.unwrap().path());
    let texts: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    let id = |line: &str| {
        let (name, id) = line.split_once(':')?;
        let kind = ["prog_id", "map_id", "link_id"].into_iter().find(|kind| *kind == name)?;
        Some((kind, id.trim().parse().ok()?))
    };
    texts.iter().flat_map(|text| text.lines()).filter_map(id).collect()
}

/// Returns the ids of the kernel's programs and links.
fn programs_and_links() -> BTreeSet<(&'static str, u32)> {
    let programs = loaded_programs().filter_map(Result::ok).map(|program| ("prog_id", program.id()));
    let links = loaded_links().filter_map(Result::ok).map(|link| ("link_id", link.id()));
    programs.chain(links).collect()
}

/// Returns the ids of the kernel's maps. It opens each of them. A map of programs that is opened and closed while the
/// kernel removes it may stay for ever: `prog_array_map_clear` takes a reference for each of its works, and a work that
/// already waits releases one (`kernel/bpf/arraymap.c`, Linux 6.18).
fn maps() -> BTreeSet<(&'static str, u32)> {
    loaded_maps().filter_map(Result::ok).map(|map| ("map_id", map.id())).collect()
}

#[test]
fn everything_of_ours_is_gone_after_unpin() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("unpinned"));
    let mut guard = Guard::start("  []", &pins.flags());
    let ours = objects(guard.daemon.pid());
    for kind in ["prog_id", "map_id", "link_id"] {
        assert!(ours.iter().filter(|object| object.0 == kind).count() > 5, "{kind}: {ours:?}");
    }
    let all: BTreeSet<_> = programs_and_links().union(&maps()).copied().collect();
    assert!(ours.is_subset(&all));
    let (is_done, message) = pins.unpin();
    assert!(!is_done && message.contains("another syscallmon uses"), "{message}");
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"1"]);
    fs::create_dir(pins.path().join("of_another")).unwrap();
    let (is_done, message) = pins.unpin();
    assert!(!is_done && message.contains("not empty"), "what is not ours stays, and is said: {message}");
    fs::remove_dir(pins.path().join("of_another")).unwrap();
    let (is_done, message) = pins.unpin();
    assert!(is_done && message.starts_with("removed "), "{message}");
    assert!(!pins.path().exists());
    // The kernel frees them a moment after the last reference to them.
    wait_for("the end of programs and links", TIMEOUT, || ours.is_disjoint(&programs_and_links()).then_some(()));
    wait_for("the end of maps", TIMEOUT, || {
        thread::sleep(Duration::from_secs(2));
        ours.is_disjoint(&maps()).then_some(())
    });
    let (is_done, message) = pins.unpin();
    assert!(is_done && message.starts_with("nothing is pinned"), "{message}");
}

#[test]
fn programs_stop_after_their_lease_and_the_next_daemon_says_so() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("lease"));
    let flags = [&pins.flags()[..], &["--pin.lease=10s", "--poll.interval=1s"]].concat();
    let mut guard = Guard::start("  []", &flags);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    thread::sleep(Duration::from_secs(11));
    // The end of this process ends the lease.
    KnownCalls::run(&[&"nothing"]);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"100"]);
    guard.start_again(&flags);
    guard.daemon.wait_for_log("the lease of the pinned programs had ended");
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4, "nobody counted");
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"3"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 7);
}

#[test]
fn programs_of_a_daemon_that_polls_rarely_go_on() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("rarely"));
    let guard = Guard::start("  []", &[&pins.flags()[..], &["--pin.lease=10s", "--poll.interval=1h"]].concat());
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 0);
    thread::sleep(Duration::from_secs(11));
    // The end of this process would end the lease.
    KnownCalls::run(&[&"nothing"]);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"5"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 5);
}

#[test]
fn a_daemon_in_a_time_namespace_has_the_lease_that_it_asks_for() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("time-namespace"));
    let flags = [&pins.flags()[..], &["--pin.lease=1m", "--poll.interval=1s"]].concat();
    let mut guard = Guard::start("  []", &flags);
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let half: f64 = uptime.split(' ').next().unwrap().parse::<f64>().unwrap() / 2.0;
    let mut made = 0;
    // Before the lease's end as this clock has it, and long after it.
    for offset in [-half.floor(), 1_000_000.0] {
        guard.daemon.signal(libc::SIGKILL);
        guard.daemon.wait();
        let mut command = Command::new("unshare");
        command.args(["--time", &format!("--monotonic={offset}"), &format!("--boottime={offset}")]).arg(binary());
        guard.daemon = policies::daemon(command, guard.directory.path(), &flags);
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/time")).unwrap();
        assert_ne!(namespace(&guard.daemon.pid().to_string()), namespace("self"));
        // The end of this process would end the lease.
        KnownCalls::run(&[&"nothing"]);
        KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"5"]);
        made += 5;
        assert_eq!(counted(&guard, &parent.label(), "getuid"), made, "{offset}");
    }
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"5"]);
    guard.start_again(&flags);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), made + 5);
}
