//! `syscallmon top` in a real terminal (a pty), beside a real daemon, without one, and from a recording.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::fd::OwnedFd,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};
use serde_json::Value;
use syscallmon_testkit::Guarded;

use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, binary, finished, number, syscallmon, wait_for},
    recording::Recorder,
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// A program in a terminal. What it draws is interpreted as a terminal does.
struct Terminal {
    program: Guarded,
    keys: File,
    user_side: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(command: &mut Command, (rows, columns): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a pty");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let path = ptsname(&master, Vec::new()).expect("ptsname");
        let open =
            || File::options().read(true).write(true).open(path.to_str().expect("a path")).expect("open the pty");
        let user_side = OwnedFd::from(open());
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&user_side, size).expect("set the size");
        command.stdin(open()).stdout(open()).stderr(open()).env("TERM", "xterm-256color");
        let program = Guarded::spawn(command).expect("start top");
        let keys = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let (mut output, shared) = (keys.try_clone().expect("the pty"), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                shared.lock().expect("a screen").process(&bytes[..read]);
            }
        });
        Self { program, keys, user_side, screen }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("press keys");
    }

    fn text(&self) -> String {
        self.screen.lock().expect("a screen").screen().contents()
    }

    /// Waits until the screen has all of these texts.
    fn wait_for(&self, texts: &[&str]) -> String {
        let shown = || Some(self.text()).filter(|screen| texts.iter().all(|text| screen.contains(text)));
        let begin = Instant::now();
        while begin.elapsed() < TIMEOUT {
            if let Some(screen) = shown() {
                return screen;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{texts:?} not on the screen:\n{}", self.text());
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.lock().expect("a screen").screen_mut().set_size(rows, columns);
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.user_side, size).expect("set the size");
        // The terminal is not its controlling one, so the kernel sends none.
        self.program.signal(libc::SIGWINCH).expect("a running program");
    }

    /// Waits for the end, and asserts that the terminal is as before.
    fn ended(mut self) -> ExitStatus {
        let status = self.program.wait(TIMEOUT).expect("top ends");
        wait_for("the terminal to be restored", TIMEOUT, || {
            let screen = self.screen.lock().expect("a screen");
            (!screen.screen().alternate_screen() && !screen.screen().hide_cursor()).then_some(())
        });
        let modes = tcgetattr(&self.user_side).expect("modes").local_modes;
        assert!(modes.contains(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO), "{modes:?}");
        status
    }
}

/// A child that makes calls in the cgroup again and again.
fn busy(cgroup: &TestCgroup) -> Guarded {
    let procs = cgroup.path().join("cgroup.procs");
    let script = format!("echo $$ > {}; while :; do : < /dev/null; read -t 0.001 _ < /dev/zero; done", procs.display());
    Guarded::spawn(Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null()))
        .expect("start a workload")
}

fn top(daemon: &Daemon) -> Command {
    let mut command = syscallmon();
    command.args(["top", "--interval=300ms", "--url", &format!("http://{}", daemon.address())]);
    command
}

#[test]
fn keys_sizes_and_a_lost_daemon() {
    let (mut daemon, cgroup) = (Daemon::start(&["--poll.interval=200ms"]), TestCgroup::new("top"));
    let _busy = busy(&cgroup);
    let name = cgroup.label();
    // The end of the name is shown, however short the line.
    let (filter, name) = (name.rsplit('/').next().expect("a name"), &name[name.len() - 8..]);
    let mut terminal = Terminal::start(top(&daemon).args(["--filter", filter]), (24, 80));
    terminal.wait_for(&["CALLS/S", name, "workloads"]);
    terminal.press("?");
    terminal.wait_for(&["reverse the order"]);
    terminal.press("?");
    terminal.press("\r");
    terminal.wait_for(&["openat x86_64", "FIRST"]);
    terminal.resize(60, 200);
    terminal.wait_for(&["syscallmon profile generate --daemon", name]);
    // Escape alone, and then a key.
    terminal.press("\x1b");
    terminal.wait_for(&["ERRORS", "WORKLOAD"]);
    terminal.press("2");
    terminal.wait_for(&["AGE", "FIRST MADE BY", "s show starts"]);
    terminal.press("s");
    terminal.wait_for(&["start openat x86_64", "bash"]);
    terminal.press("3");
    terminal.wait_for(&["SEVERITY"]);
    terminal.press("1f");
    terminal.wait_for(&["frozen"]);
    terminal.press("f");
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    terminal.wait_for(&["no answer, trying again", name]);
    terminal.press("q");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn signals_restore_the_terminal() {
    let daemon = Daemon::start(&[]);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let terminal = Terminal::start(&mut top(&daemon), (24, 80));
        terminal.wait_for(&["CALLS/S"]);
        terminal.program.signal(signal).expect("a running program");
        assert_eq!(terminal.ended().code(), Some(0));
    }
    let mut terminal = Terminal::start(&mut top(&daemon), (24, 80));
    terminal.wait_for(&["CALLS/S"]);
    terminal.press("\x03");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn scripts_get_the_calls_of_a_daemon() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("top-once"));
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &"1234"]);
    let url = format!("http://{}", daemon.address());
    let label = cgroup.label();
    let output = finished(["top", "--once", "--interval=1200ms", "--output=json", "--url", &url, "--filter", &label]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let answer: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let [workload] = answer["workloads"].as_array().expect("workloads").as_slice() else { panic!("{answer}") };
    assert_eq!(workload["workload"]["cgroup"], label.as_str());
    assert!(workload["calls"].as_u64().is_some_and(|calls| calls >= 1234), "{workload}");
    let output = finished(["top", "--once", "--url", "http://127.0.0.1:1"]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("is the daemon running"), "{}", output.stderr);
}

/// Reads samples of a `top` that prints JSON, until one has a workload with so many calls in this cgroup.
fn wait_for_calls(top: &mut Guarded, cgroup: &str, calls: u64) {
    let samples = BufReader::new(top.take_stdout().expect("piped")).lines().map_while(Result::ok);
    let has_calls = |sample: &Value| {
        let mut workloads = sample["workloads"].as_array().expect("workloads").iter();
        workloads.any(|entry| entry["workload"]["cgroup"] == cgroup && entry["calls"].as_u64() >= Some(calls))
    };
    let found = samples.map(|line| serde_json::from_str(&line).expect("JSON")).find(has_calls);
    assert!(found.is_some(), "top ended");
}

#[test]
fn without_a_daemon_it_counts_by_itself() {
    let cgroup = TestCgroup::new("top-alone");
    // No daemon listens in a network namespace of its own.
    let mut command = Command::new("unshare");
    command.arg("--net").arg(binary()).args(["top", "--interval=300ms", "--output=json"]).stdout(Stdio::piped());
    let mut top = Guarded::spawn(&mut command).expect("start top");
    let mut calls = KnownCalls::start(&[&"mixed", &cgroup.path(), &"600", &"1"]);
    wait_for_calls(&mut top, &cgroup.label(), 1000);
    assert!(calls.is_running());
    top.signal(libc::SIGINT).expect("a running top");
    assert_eq!(top.wait(TIMEOUT).expect("top ends").code(), Some(0));
}

#[test]
fn a_recording_is_played() {
    let (cgroup, directory) = (TestCgroup::new("top-recording"), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("host.recording");
    let recorder = Recorder::start(&file, &[]);
    KnownCalls::start(&[&"mixed", &cgroup.path(), &"3", &"1"]).finish();
    assert_eq!(recorder.stop(), Some(0));
    let mut command = syscallmon();
    command.args(["top", "--interval=300ms", "--output=json", "--recording"]).arg(&file).stdout(Stdio::piped());
    let mut top = Guarded::spawn(&mut command).expect("start top");
    wait_for_calls(&mut top, &cgroup.label(), 1);
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let output = finished(["top"]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("--once"), "{}", output.stderr);
}
