//! A daemon under test: the real binary, on a separate port.

use std::{
    io::{BufRead, BufReader},
    process::{ChildStderr, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{child::Guarded, network::Network, wait::try_wait_for};

/// Pause between two checks. The time of the start comes from the log, so this pause does not affect it.
const PAUSE: Duration = Duration::from_millis(20);

/// A daemon that listens. Dropping it kills it.
pub struct Daemon {
    child: Guarded,
    log: Log,
    address: String,
    timeout: Duration,
}

impl Daemon {
    /// Wraps a daemon that was started with stderr piped and `--web.listen-address=127.0.0.1:0`, and waits until it
    /// listens.
    ///
    /// # Errors
    ///
    /// If it ends, or does not listen within `timeout`.
    pub fn new(mut child: Guarded, timeout: Duration) -> Result<Self> {
        let log = Log::follow(child.take_stderr().context("the daemon's stderr is not piped")?);
        let address = try_wait_for("an address to be listened on", timeout, PAUSE, || {
            child.ensure_running()?;
            let line = log.first_with(&["message=listening"]);
            Ok(line.and_then(|(_, line)| Some(line.split_once("address=")?.1.to_owned())))
        });
        let address = address.with_context(|| format!("the daemon does not listen; its log: {:#?}", log.lines()))?;
        Ok(Self { child, log, address, timeout })
    }

    /// Waits until it is ready to be scraped.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready within the timeout for listening.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let ready = try_wait_for("readiness", self.timeout, PAUSE, || {
            self.child.ensure_running()?;
            Ok(self.get("/readyz").ok().filter(|(status, _)| *status == 200))
        });
        ready.with_context(|| format!("the daemon is not ready; its log: {:#?}", self.log.lines()))?;
        Ok(())
    }

    /// Returns its address, as `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Returns the first line of its log with all of these texts, and the time at which the line arrived.
    #[must_use]
    pub fn log_line(&self, texts: &[&str]) -> Option<(Instant, String)> {
        self.log.first_with(texts)
    }

    /// Returns its log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Keeps the pipe of its log open, and reads at most one more line from it.
    pub fn stop_reading_log(&self) {
        self.log.is_unread.store(true, Relaxed);
    }

    /// Fetches a page. Returns its status and body.
    ///
    /// # Errors
    ///
    /// If the daemon does not answer, or the answer is not text.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        Network::Host.get(&format!("http://{}{path}", self.address), &[])
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// If the kernel rejects the signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.child.signal(signal)
    }

    /// Waits until it ends.
    ///
    /// # Errors
    ///
    /// If it does not end in time.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.child.wait(timeout)
    }

    /// Kills it, as in a crash.
    pub fn kill(&mut self) {
        self.child.kill();
    }
}

/// A daemon's log, which is read line by line until the daemon ends.
#[derive(Default)]
struct Log {
    /// Lines, with the times at which they arrived.
    lines: Arc<Mutex<Vec<(Instant, String)>>>,
    /// Whether the reader has stopped.
    is_unread: Arc<AtomicBool>,
}

impl Log {
    fn follow(stderr: ChildStderr) -> Self {
        let log = Self::default();
        let (lines, is_unread) = (Arc::clone(&log.lines), Arc::clone(&log.is_unread));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), line));
                while is_unread.load(Relaxed) {
                    thread::park();
                }
            }
        });
        log
    }

    fn first_with(&self, texts: &[&str]) -> Option<(Instant, String)> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(|(_, line)| texts.iter().all(|text| line.contains(text))).cloned()
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|(_, line)| line.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        process::{Command, Stdio},
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Guarded {
        Guarded::spawn(Command::new("sh").args(["-c", script]).stderr(Stdio::piped())).unwrap()
    }

    #[test]
    fn address_is_the_one_in_the_log() {
        let daemon =
            Daemon::new(shell("echo level=info message=listening address=1.2.3.4:5 >&2; exec sleep 100"), TIMEOUT);
        let daemon = daemon.unwrap();
        assert_eq!(daemon.address(), "1.2.3.4:5");
        assert_eq!(daemon.log(), ["level=info message=listening address=1.2.3.4:5"]);
        assert!(daemon.log_line(&["listening", "info"]).is_some());
        assert!(daemon.log_line(&["listening", "error"]).is_none());
    }

    /// Returns a "daemon" that answers requests in sequence with these statuses and bodies.
    fn server(answers: Vec<(u16, String)>) -> Daemon {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (status, body) in answers {
                let mut stream = listener.accept().unwrap().0;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                let head =
                    format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Daemon::new(shell(&format!("echo message=listening address={address} >&2; exec sleep 100")), TIMEOUT).unwrap()
    }

    #[test]
    fn daemon_is_ready_once_it_says_so() {
        let mut daemon = server(vec![(503, "no".to_owned()), (200, "ready".to_owned())]);
        daemon.wait_until_ready().unwrap();
        assert!(daemon.get("/readyz").is_err(), "the third request has no answer");
    }

    #[test]
    fn page_of_any_size_and_status_is_fetched() {
        let large = "x".repeat(11 << 20);
        let daemon = server(vec![(404, "nothing".to_owned()), (200, large.clone())]);
        assert_eq!(daemon.get("/a").unwrap(), (404, "nothing".to_owned()));
        assert!(daemon.get("/b").unwrap() == (200, large));
    }

    #[test]
    fn daemon_that_ends_is_reported_with_its_log() {
        let error = Daemon::new(shell("echo no such file >&2; sleep 0.2; exit 3"), TIMEOUT).err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("no such file") && error.contains("exit status: 3"), "{error}");
    }
}
