//! A daemon under test: the real binary, on a port of its own.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::{Scrape, wait_for};

/// Path of the binary: the one that cargo built with the tests, or `SYSCALLMON_TEST_BINARY`, as in the VMs.
pub(crate) fn binary() -> PathBuf {
    env::var_os("SYSCALLMON_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_syscallmon").into(), PathBuf::from)
}

/// Returns a command for the binary.
pub(crate) fn syscallmon() -> Command {
    Command::new(binary())
}

/// Daemons with small tables need the host alone, because cgroups of other tests would fill the tables.
static HOST: RwLock<()> = RwLock::new(());

/// Locks out daemons that need the host alone, or all other daemons.
#[expect(dead_code, reason = "held, not read")]
enum Claim {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// A serving daemon. Dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    _claim: Claim,
    log: Arc<Mutex<Vec<String>>>,
    /// Whether the test stopped reading its log.
    is_unread: Arc<AtomicBool>,
    address: String,
}

impl Daemon {
    /// Starts one with these flags, on a free port, and waits until it is ready.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_command(syscallmon().arg("run").args(["--web.listen-address", "127.0.0.1:0"]).args(flags))
    }

    /// Starts one while no other test has a daemon.
    pub(crate) fn start_alone(flags: &[&str]) -> Self {
        let claim = Claim::Alone(HOST.write().unwrap_or_else(PoisonError::into_inner));
        Self::start_with(claim, syscallmon().arg("run").args(["--web.listen-address", "127.0.0.1:0"]).args(flags))
    }

    /// Starts one by a command that must listen on a free port.
    pub(crate) fn start_command(command: &mut Command) -> Self {
        Self::start_with(Claim::Shared(HOST.read().unwrap_or_else(PoisonError::into_inner)), command)
    }

    fn start_with(claim: Claim, command: &mut Command) -> Self {
        let mut daemon = Self::start_until_bound(claim, command);
        wait_for("readiness", Duration::from_secs(90), || {
            daemon.assert_running();
            daemon.try_get("/readyz").filter(|response| response.status() == 200)
        });
        daemon
    }

    /// Starts one with TLS. Waits until it is bound; clients wait for the rest.
    pub(crate) fn start_with_tls(flags: &[&str]) -> Self {
        let claim = Claim::Shared(HOST.read().unwrap_or_else(PoisonError::into_inner));
        let mut command = syscallmon();
        Self::start_until_bound(claim, command.arg("run").args(["--web.listen-address", "127.0.0.1:0"]).args(flags))
    }

    fn start_until_bound(claim: Claim, command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("start the daemon");
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        // Makes the pipe small, so that little fills it when nothing reads it.
        let _ = rustix::pipe::fcntl_setpipe_size(&stderr, 4096);
        let (lines, is_unread) = (Arc::clone(&log), Arc::<AtomicBool>::default());
        let stops = Arc::clone(&is_unread);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
                while stops.load(Relaxed) {
                    thread::park();
                }
            }
        });
        let mut daemon = Self { child, _claim: claim, log, is_unread, address: String::new() };
        daemon.address = wait_for("an address to be listened on", Duration::from_secs(90), || {
            daemon.assert_running();
            daemon.log_line("message=listening")?.split_once("address=").map(|(_, address)| address.to_owned())
        });
        daemon
    }

    fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("wait for the daemon") {
            panic!("the daemon ended with {status}: {:#?}", self.log.lock().unwrap());
        }
    }

    /// The first log line that has this text.
    pub(crate) fn log_line(&self, text: &str) -> Option<String> {
        self.log_line_with(&[text])
    }

    /// The first log line that has all of these texts.
    pub(crate) fn log_line_with(&self, texts: &[&str]) -> Option<String> {
        self.log.lock().unwrap().iter().find(|line| texts.iter().all(|text| line.contains(text))).cloned()
    }

    /// Keeps the pipe of its log open, and reads at most one more line.
    pub(crate) fn stop_reading_log(&self) {
        self.is_unread.store(true, Relaxed);
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn try_get(&self, path: &str) -> Option<http::Response<ureq::Body>> {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        agent.get(format!("http://{}{path}", self.address)).call().ok()
    }

    /// Fetches a page: its status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut response = self.try_get(path).expect("an answer");
        let mut body = String::new();
        response.body_mut().as_reader().read_to_string(&mut body).expect("a body");
        (response.status().as_u16(), body)
    }

    /// Scrapes it. Counts may be up to a second old.
    pub(crate) fn scrape(&self) -> Scrape {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        Scrape::new(body)
    }

    /// Waits for a second, then scrapes it. The scrape has all earlier calls.
    pub(crate) fn settled_scrape(&self) -> Scrape {
        thread::sleep(syscallmon::engine::FRESH + Duration::from_millis(50));
        self.scrape()
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running daemon");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: kill takes integers; the process is our child and was not reaped.
        assert_eq!(unsafe { libc::kill(self.pid().cast_signed(), signal) }, 0);
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the daemon to end", Duration::from_secs(20), || self.child.try_wait().expect("wait"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("log of the daemon: {:#?}", self.log.lock().unwrap_or_else(PoisonError::into_inner));
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
