//! Pinned mode: counting goes on without a daemon, and the next daemon takes the counts over exactly.

mod crashes;
mod daemon;
mod damage;
mod disk;
mod end;
mod restarts;
mod two;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use syscallmon_testkit::Guarded;
use tempfile::TempDir;

use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, number, syscallmon, wait_for},
    policies::Guard,
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// A bpf file system for one test. Dropping it removes all pins.
struct Pins {
    mount: TempDir,
    flag: String,
}

impl Pins {
    fn new() -> Self {
        let mount = tempfile::tempdir().unwrap();
        let flag = format!("--pin.directory={}", mount.path().join("syscallmon").display());
        let pins = Self { mount, flag };
        pins.mount("mount", &["-t", "bpf", "bpf"]);
        pins
    }

    fn path(&self) -> PathBuf {
        self.mount.path().join("syscallmon")
    }

    /// The usual flags: other programs of the host may have many cgroups.
    fn flags(&self) -> [&str; 4] {
        [&self.flag, "--capacity.cgroups=8192", "--capacity.series=300000", "--workload.expire-after=1h"]
    }

    fn unpin(&self) -> (bool, String) {
        let output = syscallmon().arg("unpin").arg(&self.flag).output().expect("run syscallmon");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// Runs `mount` or `umount` with these arguments and its mount point.
    fn mount(&self, program: &str, args: &[&str]) {
        let status = Command::new(program).args(args).arg(self.mount.path()).status();
        assert!(status.expect("run it").success(), "{program} {args:?}");
    }

    /// The number of daemons whose tables are pinned.
    fn tables(&self) -> usize {
        let names = fs::read_dir(self.path()).expect("pins").map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("tables_")).count()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // A daemon of a failed test has ended by now. A test may have made it read-only, or unmounted it.
        let run = |program: &str, args: &[&str]| {
            Command::new(program)
                .args(args)
                .arg(self.mount.path())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
        };
        run("mount", &["-o", "remount,rw"]);
        self.unpin();
        while run("umount", &["-l"]) {}
    }
}

/// Returns numbers of these calls in all cgroups with this text in their labels.
fn counts<const N: usize>(daemon: &Daemon, part: &str, syscalls: [&str; N]) -> [u64; N] {
    let scrape = daemon.settled_scrape();
    let is_counted = |line: &&str| line.starts_with("syscallmon_syscalls_total{") && line.contains(part);
    let lines: Vec<&str> = scrape.text.lines().filter(is_counted).collect();
    syscalls.map(|syscall| {
        let label = format!("syscall=\"{syscall}\"");
        let of_call = lines.iter().filter(|line| line.contains(&label));
        of_call.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    })
}

/// Returns a call's number in all cgroups with this text in their labels.
fn counted(guard: &Guard, part: &str, syscall: &str) -> u64 {
    let [count] = counts(&guard.daemon, part, [syscall]);
    count
}

/// Makes a cgroup with the name of a container's cgroup.
fn container(parent: &TestCgroup, number: usize) -> PathBuf {
    parent.child(&format!("{number:064x}"))
}

/// Calls are counted before, between and after two daemons.
pub(crate) fn goes_on_over_a_restart() {
    let (pins, parent, state) = (Pins::new(), TestCgroup::new("goes-on"), tempfile::tempdir().unwrap());
    let state = format!("--state.directory={}", state.path().display());
    let flags = [&pins.flags()[..], &[&state]].concat();
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

/// Waits until a daemon saves its totals in this state directory.
fn wait_for_totals(directory: &Path) {
    let modified = || fs::metadata(directory.join("totals/state.jsonl")).and_then(|file| file.modified()).ok();
    let before = modified();
    wait_for("newer totals", TIMEOUT, || (modified() != before).then_some(()));
}

/// A daemon with its state below a directory. Nothing waits until it is ready. Dropping it kills it.
struct Started(Guarded);

impl Started {
    fn new(directory: &Path, log: &Path, flags: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let mut command = syscallmon();
        command.args(["run", "--web.listen-address=127.0.0.1:0"]).args(flags);
        command.arg(format!("--state.directory={}", directory.join("state").display()));
        command.arg(format!("--alert.log={}", directory.join("violations").display()));
        Self(Guarded::spawn(command.stderr(log).stdout(Stdio::null())).expect("start syscallmon"))
    }

    fn is_running(&mut self) -> bool {
        self.0.ensure_running().is_ok()
    }

    fn terminate(&self) {
        self.0.signal(libc::SIGTERM).expect("send a signal");
    }

    /// Kills it, and waits for its end. Returns whether it was still running.
    fn kill(mut self) -> bool {
        let was_running = self.is_running();
        self.0.kill();
        was_running
    }
}
