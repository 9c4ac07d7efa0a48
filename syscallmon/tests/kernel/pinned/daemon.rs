//! Pinned mode and the daemon's own process: the programs of the daemon before see its start, and outlive it.

use std::{process::Command, time::Duration};

use serde_json::Value;

use super::Pins;
use crate::{
    harness::{KnownCalls, TestCgroup, number, syscallmon},
    policies::{Guard, text},
};

#[test]
fn the_start_of_a_daemon_is_not_reported_by_the_programs_of_the_one_before() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("own-start"));
    let flag = pins.flag.clone();
    let mut guard = Guard::start("  []", &[&flag]);
    // Cgroups with the names of containers', as in a pod. The built-in policy does not allow `bpf` there.
    let containers = [1, 2].map(|number| parent.child(&format!("{number:064x}")));
    for container in &containers {
        guard.daemon.signal(libc::SIGKILL);
        guard.daemon.wait();
        guard.start_again_in(container, &[&flag]);
        guard.daemon.wait_for_log("took the counts of pinned programs over");
        let scrape = guard.daemon.settled_scrape();
        assert!(scrape.calls_in(&parent.label(), "bpf") > 0, "they were counted: {}", scrape.text);
        guard.wait_until_judged();
        assert!(guard.lines(&parent.label()).is_empty(), "{:#?}", guard.lines(&parent.label()));
    }
    // Others in the container of the daemon are judged.
    KnownCalls::run(&[&"calls", &containers[1], &number(libc::SYS_keyctl), &"1"]);
    assert_eq!(guard.wait_for_lines(&parent.label(), 1)[0]["syscall"], "keyctl");
}

#[test]
fn a_process_that_gets_the_id_of_a_daemon_that_ended_is_judged() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("same-id"));
    let container = parent.child(&format!("{:064x}", 1));
    let mut guard = Guard::start("  []", &[&pins.flag]);
    let id = guard.daemon.pid();
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    KnownCalls::run(&[&"with-id", &id.to_string(), &container, &number(libc::SYS_keyctl), &"3"]);
    guard.start_again(&[&pins.flag]);
    let line = &guard.wait_for_lines(&parent.label(), 1)[0];
    assert_eq!((&line["syscall"], &line["process"]["pid"]), (&"keyctl".into(), &id.into()), "{line:#}");
}

#[test]
fn two_capabilities_are_enough() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("capabilities"));
    let flag = pins.flag.clone();
    let mut guard = Guard::start("  []", &[&flag]);
    for daemon in 1..=3 {
        KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"5"]);
        guard.daemon.signal(libc::SIGKILL);
        guard.daemon.wait();
        // As in the systemd unit and in the chart.
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps=-all,+bpf,+perfmon", "--bounding-set=-all,+bpf,+perfmon"]);
        guard.start_again_by(command, &[&flag]);
        let scrape = guard.daemon.settled_scrape();
        assert_eq!(scrape.calls(&parent.label(), "getuid"), daemon * 5);
        assert!(scrape.text.contains(r#"syscallmon_lost_total{reason="recursion"} "#), "{}", scrape.text);
        assert_eq!(guard.daemon.log_line("another dispatcher was pinned"), None);
    }
}

#[test]
fn check_says_who_uses_the_pins() {
    let pins = Pins::new();
    let check = || {
        let command = ["check", "--output=json", "--names.cri=off", "--state.directory=/nonexistent/syscallmon"];
        let output = syscallmon().args(command).arg(&pins.flag).output().expect("run syscallmon");
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let pinned = findings.into_iter().find(|finding| finding["name"] == "pinned mode").expect("a line about it");
        (text(&pinned, "state").to_owned(), text(&pinned, "text").to_owned())
    };
    let is = |(state, text): (String, String), wanted, part: &str| {
        assert!(state == wanted && text.contains(part), "{state}: {text}");
    };
    is(check(), "ok", "/syscallmon");
    assert!(!pins.path().exists(), "it changes nothing");
    let mut guard = Guard::start("  []", &[&pins.flag]);
    is(check(), "remark", "another syscallmon uses");
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    is(check(), "ok", "the next daemon takes the counts there over");
}

#[test]
fn a_daemon_that_was_stopped_for_longer_than_the_lease_says_so() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("stopped"));
    let guard = Guard::start("  []", &[&pins.flag, "--pin.lease=10s", "--poll.interval=1s"]);
    guard.daemon.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(12));
    // The end of this process ends the lease.
    KnownCalls::run(&[&"nothing"]);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"100"]);
    guard.daemon.signal(libc::SIGCONT);
    guard.daemon.wait_for_log("the lease of the pinned programs had ended");
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"3"]);
    assert_eq!(guard.daemon.settled_scrape().calls(&parent.label(), "getuid"), 3, "nobody counted the others");
}
