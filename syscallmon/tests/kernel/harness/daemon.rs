//! A daemon under test: the real binary, on a separate port.

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use syscallmon_testkit::{self as testkit, Guarded, usage::Memory};

use super::{Scrape, wait_for};

/// Path of the binary: the one that cargo built with the tests, or `SYSCALLMON_TEST_BINARY`, as in the VMs.
pub(crate) fn binary() -> PathBuf {
    env::var_os("SYSCALLMON_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_syscallmon").into(), PathBuf::from)
}

/// Returns a command for the binary.
pub(crate) fn syscallmon() -> Command {
    Command::new(binary())
}

/// Returns a command that listens on a free port, with these flags. If they do not say where its state is, it has none:
/// baselines on this host would be those of others.
fn run(flags: &[&str]) -> Command {
    let mut command = syscallmon();
    command.arg("run").args(["--web.listen-address", "127.0.0.1:0"]).args(flags);
    if !flags.iter().any(|flag| flag.starts_with("--state.directory") || flag.starts_with("--config")) {
        command.args(["--state.directory", "/nonexistent/syscallmon"]);
    }
    command
}

/// Daemons with small tables need the host alone, because cgroups of other tests would fill the tables.
///
/// A test may start a second daemon while another test waits to be alone. So claims that are shared are recursive: with
/// the lock of the standard library, both tests would wait for ever.
static HOST: RwLock<()> = RwLock::new(());

/// Locks out daemons that need the host alone, or all other daemons.
#[expect(dead_code, reason = "held, not read")]
enum Claim {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// Locks out daemons that need the host alone, for programs with tables of their own.
#[expect(dead_code, reason = "held, not read")]
pub(crate) struct HostClaim(Claim);

/// Waits until no daemon needs the host alone.
pub(crate) fn claim_host() -> HostClaim {
    HostClaim(Claim::Shared(HOST.read_recursive()))
}

/// A serving daemon. Dropping it kills it.
pub(crate) struct Daemon {
    launched: testkit::Daemon,
    _claim: Claim,
}

impl Daemon {
    /// Starts one with these flags, on a free port, and waits until it is ready.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_command(&mut run(flags))
    }

    /// Starts one while no other test has a daemon: for small tables, and for tests that fill the tables of others.
    pub(crate) fn start_alone(flags: &[&str]) -> Self {
        Self::start_command_alone(&mut run(flags))
    }

    /// Does the same by a command that must listen on a free port.
    pub(crate) fn start_command_alone(command: &mut Command) -> Self {
        Self::start_with(Claim::Alone(HOST.write()), command)
    }

    /// Starts one by a command that must listen on a free port.
    pub(crate) fn start_command(command: &mut Command) -> Self {
        Self::start_with(Claim::Shared(HOST.read_recursive()), command)
    }

    fn start_with(claim: Claim, command: &mut Command) -> Self {
        let mut daemon = Self::start_until_bound(claim, command);
        daemon.launched.wait_until_ready().expect("a daemon that is ready");
        daemon
    }

    /// Starts one with TLS. Waits until it is bound; clients wait for the rest.
    pub(crate) fn start_with_tls(flags: &[&str]) -> Self {
        let claim = Claim::Shared(HOST.read_recursive());
        Self::start_until_bound(claim, &mut run(flags))
    }

    fn start_until_bound(claim: Claim, command: &mut Command) -> Self {
        let child = Guarded::spawn(command.stderr(Stdio::piped())).expect("start the daemon");
        // A small pipe is soon full if the test does not read it.
        let _ = rustix::pipe::fcntl_setpipe_size(child.stderr().expect("piped"), 4096);
        let launched = testkit::Daemon::new(child, Duration::from_secs(90)).expect("a daemon that listens");
        Self { launched, _claim: claim }
    }

    /// The first log line that has this text.
    pub(crate) fn log_line(&self, text: &str) -> Option<String> {
        self.log_line_with(&[text])
    }

    /// Waits for a log line that has this text, because the log arrives after what it tells of.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        wait_for(&format!("a log line with {text:?}"), Duration::from_secs(20), || self.log_line(text))
    }

    /// The first log line that has all of these texts.
    pub(crate) fn log_line_with(&self, texts: &[&str]) -> Option<String> {
        self.launched.log_line(texts).map(|(_, line)| line)
    }

    /// The number of log lines with this text.
    pub(crate) fn log_lines(&self, text: &str) -> usize {
        self.launched.log().iter().filter(|line| line.contains(text)).count()
    }

    /// Keeps the pipe of its log open, and reads at most one more line.
    pub(crate) fn stop_reading_log(&self) {
        self.launched.stop_reading_log();
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.launched.address()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.launched.pid()
    }

    /// Fetches a page: its status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.launched.get(path).expect("an answer")
    }

    /// Scrapes it. Counts may be up to a second old.
    pub(crate) fn scrape(&self) -> Scrape {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        Scrape::new(body)
    }

    /// Waits for a second, then scrapes it. The scrape has all earlier calls.
    pub(crate) fn settled_scrape(&self) -> Scrape {
        thread::sleep(syscallmon::engine::MAX_SNAPSHOT_AGE + Duration::from_millis(50));
        self.scrape()
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_memory(&self) -> u64 {
        Memory::of(self.pid()).expect("a running daemon").resident
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: i32) {
        self.launched.signal(signal).expect("send a signal");
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.launched.wait(Duration::from_secs(20)).expect("the daemon ends")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            self.launched.kill();
            eprintln!("log of the daemon: {:#?}", self.launched.log());
        }
    }
}

/// The result of a finished command.
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs syscallmon until it exits.
pub(crate) fn finished(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let output = syscallmon().args(args).output().expect("run syscallmon");
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}
