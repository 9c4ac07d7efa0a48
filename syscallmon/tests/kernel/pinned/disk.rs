//! A state directory that is full or broken, and tables that fill while no daemon is there.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{Pins, TIMEOUT, counted, counts};
use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, number, wait_for},
    policies::Guard,
};

#[test]
fn totals_that_cannot_be_read_are_said_and_the_kernels_counts_are_there() {
    let (pins, parent) = (Pins::new(), TestCgroup::new("bad-totals"));
    let mut guard = Guard::start("  []", &pins.flags());
    KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"4"]);
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
    let file = guard.directory.path().join("state/totals/state.jsonl");
    wait_for("the totals", TIMEOUT, || file.exists().then_some(()));
    guard.daemon.signal(libc::SIGKILL);
    guard.daemon.wait();
    fs::write(&file, "no JSON\n").unwrap();
    guard.start_again(&pins.flags());
    guard.daemon.wait_for_log("cannot use the totals of the daemon before");
    assert_eq!(counted(&guard, &parent.label(), "getuid"), 4);
}

/// A small file system for the state of daemons.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(directory.path()).status();
        assert!(mounted.expect("run mount").success(), "a small file system");
        Self(directory)
    }

    fn flag(&self) -> String {
        format!("--state.directory={}", self.0.path().join("state").display())
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 16, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).stderr(Stdio::null()).status();
    }
}

#[test]
fn on_a_full_disk_live_cgroups_are_exact_and_the_loss_is_said() {
    let (pins, parent, disk) = (Pins::new(), TestCgroup::new("full-disk"), Disk::new());
    let (flag, label) = (disk.flag(), parent.label());
    let flags = [&pins.flags()[..], &[&flag]].concat();
    let (live, getuid) = (parent.child("live"), number(libc::SYS_getuid));
    let call = || KnownCalls::run(&[&"calls", &live, &getuid, &"5"]);
    let mut daemon = Daemon::start(&flags);
    call();
    assert_eq!(counts(&daemon, &label, ["getuid"]), [5]);
    let totals = disk.0.path().join("state/totals/state.jsonl");
    wait_for("the totals", TIMEOUT, || fs::read_to_string(&totals).ok()?.contains(&label).then_some(()));
    let restart = |daemon: &mut Daemon, signal| {
        daemon.signal(signal);
        daemon.wait();
        call();
        *daemon = Daemon::start(&flags);
    };
    disk.fill();
    for (round, signal) in (2..5).zip([libc::SIGKILL, libc::SIGTERM, libc::SIGKILL]) {
        restart(&mut daemon, signal);
        daemon.wait_for_log("cannot save totals: a restart loses calls");
        // Their slots are given to others, although no file has their counts.
        KnownCalls::run(&[
            &"short-lived",
            &parent.path(),
            &format!("r{round}-"),
            &"20",
            &number(libc::SYS_geteuid),
            &"7",
        ]);
        let [live, ended] = counts(&daemon, &label, ["getuid", "geteuid"]);
        assert_eq!(live, 5 * round);
        assert!((140..=140 * (round - 1)).contains(&ended), "{ended} in round {round}");
    }
    let [ended] = counts(&daemon, &label, ["geteuid"]);
    disk.empty();
    wait_for("the removal of earlier tables", TIMEOUT, || (pins.tables() == 1).then_some(()));
    restart(&mut daemon, libc::SIGKILL);
    assert_eq!(counts(&daemon, &label, ["getuid", "geteuid"]), [25, ended], "exact again");
}

#[test]
fn tables_of_daemons_that_cannot_save_are_bounded_and_a_failure_is_not_repeated_for_ever() {
    let (pins, parent, directory) = (Pins::new(), TestCgroup::new("bounded"), tempfile::tempdir().unwrap());
    // A file in the place of the directory.
    fs::write(directory.path().join("state"), "").unwrap();
    let flag = format!("--state.directory={}", directory.path().join("state").display());
    let flags = [&pins.flags()[..], &[&flag]].concat();
    for round in 1..=9 {
        let mut daemon = Daemon::start(&flags);
        daemon.wait_for_log("took the counts of pinned programs over");
        KnownCalls::run(&[&"calls", &parent.path(), &number(libc::SYS_getuid), &"5"]);
        let begins_anew = daemon.log_line("daemons ended before they saved totals").is_some();
        assert_eq!((begins_anew, pins.tables()), if round == 9 { (true, 1) } else { (false, round) });
        let expected = if round == 9 { 5 } else { 5 * round as u64 };
        assert_eq!(counts(&daemon, &parent.label(), ["getuid"]), [expected], "round {round}");
        daemon.signal(libc::SIGKILL);
        daemon.wait();
    }
}

#[test]
fn calls_of_more_cgroups_than_slots_are_counted_while_no_daemon_is_there() {
    let (pins, parent, state) = (Pins::new(), TestCgroup::new("fills"), tempfile::tempdir().unwrap());
    let flag = format!("--state.directory={}", state.path().display());
    let flags = [pins.flag.as_str(), "--capacity.cgroups=64", &flag];
    let mut daemon = Daemon::start_alone(&flags);
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    drop(daemon);
    // No other program makes this call.
    let nr = number(libc::SYS_lookup_dcookie);
    KnownCalls::run(&[&"short-lived", &parent.path(), &"s", &"300", &nr, &"3"]);
    let daemon = Daemon::start_alone(&flags);
    daemon.wait_for_log("took the counts of pinned programs over");
    let [of_all, of_test] = ["", &parent.label()].map(|part| counts(&daemon, part, ["lookup_dcookie"])[0]);
    assert_eq!(of_all, 900);
    assert!(of_test < 900, "the others are in the remainder: {of_test}");
    let scrape = daemon.settled_scrape();
    assert!(scrape.text.lines().any(|line| line.starts_with("syscallmon_lost_total{") && !line.ends_with(" 0")));
}
