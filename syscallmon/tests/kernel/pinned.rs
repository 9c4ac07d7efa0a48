//! Pinned mode: counting goes on without a daemon, and the next daemon takes the counts over exactly.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use aya::programs::{ProgramInfo, loaded_programs};
use tempfile::TempDir;

use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, is_short, many_calls, number, syscallmon, wait_for},
    incidents::CALLS,
    policies::{Guard, text},
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// A bpf file system for one test. Dropping it removes all pins.
pub(crate) struct Pins(TempDir);

impl Pins {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(directory.path()).status();
        assert!(mounted.expect("run mount").success(), "a bpf file system");
        Self(directory)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("syscallmon")
    }

    pub(crate) fn flag(&self) -> String {
        format!("--pin.directory={}", self.path().display())
    }

    pub(crate) fn unpin(&self) -> (bool, String) {
        let output = syscallmon().arg("unpin").arg(self.flag()).output().expect("run syscallmon");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// The ids of the attached programs.
    fn programs(&self) -> Vec<u32> {
        let entries = fs::read_dir(self.path().join("dispatch")).expect("pins");
        let paths = entries.map(|entry| entry.unwrap().path());
        let programs = paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("prog_"));
        programs.map(|path| ProgramInfo::from_pin(path).expect("a program").id()).collect()
    }

    /// The number of daemons whose tables are pinned.
    fn tables(&self) -> usize {
        let names = fs::read_dir(self.path()).expect("pins").map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("tables_")).count()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // A daemon of a failed test has ended by now.
        self.unpin();
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Returns a call's number in all cgroups with this text in their labels.
fn counted(guard: &Guard, part: &str, syscall: &str) -> u64 {
    let scrape = guard.daemon.settled_scrape();
    let (family, syscall) = ("syscallmon_syscalls_total{", format!("syscall=\"{syscall}\""));
    let lines = scrape.text.lines().filter(|line| line.starts_with(family) && line.contains(&syscall));
    let of_test = lines.filter(|line| line.contains(part));
    of_test.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// Makes a cgroup with the name of a container's cgroup.
fn container(parent: &TestCgroup, number: usize) -> PathBuf {
    parent.child(&format!("{number:064x}"))
}

/// Calls are counted before, between and after two daemons.
pub(crate) fn goes_on_over_a_restart() {
    let (pins, parent, state) = (Pins::new(), TestCgroup::new("goes-on"), tempfile::tempdir().unwrap());
    let flags = [pins.flag(), format!("--state.directory={}", state.path().display())];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let call = |count: &str| KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &count]);
    let mut daemon = Daemon::start(&flags);
    call("100");
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    call("50");
    daemon = Daemon::start(&flags);
    call("7");
    assert_eq!(daemon.settled_scrape().calls(&parent.label(), "getuid"), 157);
}

#[test]
fn no_call_is_lost_or_doubled_and_each_unexpected_one_is_reported_over_restarts() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("pinned"));
    let (busy, label) = (parent.child("busy"), parent.label());
    let flag = pins.flag();
    // Daemons with other tables and other programs take over from each other.
    let usual = [flag.as_str(), "--workload.expire-after=1h"];
    let other = [&usual[..], &["--capacity.series=30000", "--capacity.cgroups=2048", "--probe.latency=true"]].concat();
    let mut guard = Guard::start("  []", &usual);
    let count = 4 * many_calls();
    let mut worker = KnownCalls::start(&[&"threads", &busy, &"2", &number(libc::SYS_getppid), &count.to_string()]);
    let rounds = if is_short() { 3 } else { 9 };
    for round in 0..rounds {
        guard.daemon.signal([libc::SIGTERM, libc::SIGKILL, libc::SIGABRT][round % 3]);
        guard.daemon.wait();
        // Cgroups come and go, and containers make unexpected calls, while no daemon is there.
        let prefix = format!("r{round}-");
        KnownCalls::run(&[&"short-lived", &parent.path(), &prefix, &"20", &number(libc::SYS_getuid), &"7"]);
        let (path, (_, nr)) = (container(&parent, round), CALLS[round % CALLS.len()]);
        KnownCalls::run(&[&"calls", &path, &number(nr), &"3", &number(libc::SYS_getgid), &"5"]);
        guard.start_again(if round % 2 == 0 { &other } else { &usual });
        guard.daemon.wait_for_log("took the counts of pinned programs over");
        let ran = (round + 1) as u64;
        assert_eq!(counted(&guard, &label, "getuid"), ran * 20 * 7, "round {round}");
        assert_eq!(counted(&guard, &label, "getgid"), ran * 5, "round {round}");
    }
    let was_running = worker.is_running();
    worker.finish();
    assert_eq!(counted(&guard, &label, "getppid"), 2 * count, "the worker ran over all restarts: {was_running}");
    guard.wait_until_judged();
    let lines = guard.lines(&label);
    assert_eq!(lines.len(), rounds, "{lines:#?}");
    for line in &lines {
        assert_eq!(text(&line["process"], "comm"), "known_calls", "{line}");
        assert!(text(&line["process"], "exe").ends_with("/known_calls"), "{line}");
    }
    let violations = guard.violations(&label);
    assert!(violations.values().all(|of_call| *of_call == (false, 3)), "counted once each: {violations:?}");
    wait_for("the removal of earlier tables", TIMEOUT, || (pins.tables() == 1).then_some(()));
}

#[test]
fn everything_of_ours_is_gone_after_unpin() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("unpinned"));
    let mut guard = Guard::start("  []", &[&pins.flag()]);
    let programs = pins.programs();
    assert!(programs.len() > 5, "{programs:?}");
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
    // The kernel frees programs a moment after the last reference to them.
    wait_for("the end of the programs", TIMEOUT, || {
        let loaded: Vec<u32> = loaded_programs().filter_map(Result::ok).map(|info| info.id()).collect();
        programs.iter().all(|program| !loaded.contains(program)).then_some(())
    });
    let (is_done, message) = pins.unpin();
    assert!(is_done && message.starts_with("nothing is pinned"), "{message}");
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("second"));
    let guard = Guard::start("  []", &[&pins.flag()]);
    let second = syscallmon()
        .args(["run", "--web.listen-address=127.0.0.1:0", "--state.directory=/nonexistent/syscallmon"])
        .arg(pins.flag())
        .output()
        .expect("run syscallmon");
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && message.contains("another syscallmon uses"), "{message}");
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
}

#[test]
fn totals_that_cannot_be_read_are_said_and_the_kernels_counts_are_there() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("bad-totals"));
    let mut guard = Guard::start("  []", &[&pins.flag()]);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
    let file = guard.directory.path().join("state/totals/state.jsonl");
    wait_for("the totals", TIMEOUT, || file.exists().then_some(()));
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    fs::write(&file, "no JSON\n").unwrap();
    guard.start_again(&[&pins.flag()]);
    guard.daemon.wait_for_log("cannot use the totals of the daemon before");
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
}

#[test]
fn what_is_half_written_is_removed_and_said() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("half-written"));
    let mut guard = Guard::start("  []", &[&pins.flag()]);
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    fs::create_dir(pins.path().join("tables_0000000000000001")).unwrap();
    guard.start_again(&[&pins.flag()]);
    guard.daemon.wait_for_log("pinned counts cannot be used, and are removed");
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
    wait_for("its removal", TIMEOUT, || (pins.tables() == 1).then_some(()));
}

#[test]
fn programs_stop_after_their_lease_and_the_next_daemon_says_so() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("lease"));
    let flags = [pins.flag(), "--pin.lease=10s".to_owned(), "--poll.interval=1s".to_owned()];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut guard = Guard::start("  []", &flags);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    std::thread::sleep(Duration::from_secs(11));
    // The end of this process ends the lease.
    KnownCalls::run(&[&"nothing"]);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"100"]);
    guard.start_again(&flags);
    guard.daemon.wait_for_log("the lease of the pinned programs had ended");
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4, "nobody counted");
    let mark = pins.path().join("gap");
    wait_for("totals that know of the gap", TIMEOUT, || (!mark.exists()).then_some(()));
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"3"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 7);
}

#[test]
fn programs_of_a_daemon_that_polls_rarely_go_on() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("rarely"));
    let guard = Guard::start("  []", &[&pins.flag(), "--pin.lease=10s", "--poll.interval=1h"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 0);
    std::thread::sleep(Duration::from_secs(11));
    // The end of this process would end the lease.
    KnownCalls::run(&[&"nothing"]);
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"5"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 5);
}

#[test]
fn a_directory_elsewhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = syscallmon()
        .args(["run", "--web.listen-address=127.0.0.1:0", "--state.directory=/nonexistent/syscallmon"])
        .arg(format!("--pin.directory={}", directory.path().join("pins").display()))
        .output()
        .expect("run syscallmon");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("is not on a bpf file system"), "{message}");
}
