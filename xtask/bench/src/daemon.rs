//! The measured daemon: the release build, on a separate port.

use std::{
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use syscallmon_testkit::{self as testkit, Exposition, Guarded, usage, usage::Memory};

use super::host::Host;

/// A scrape after this time takes a new snapshot, which has all earlier calls.
pub(super) const FRESH: Duration = syscallmon::engine::MAX_SNAPSHOT_AGE.saturating_add(Duration::from_millis(50));

/// A state directory that a daemon cannot create: baselines of other daemons on this host would add series.
const STATELESS: &str = "/nonexistent/syscallmon";

const TIMEOUT: Duration = Duration::from_secs(20);

/// A daemon that has attached and serves. Dropping it kills it.
pub(super) struct Daemon {
    launched: testkit::Daemon,
    started: Instant,
    client: Client,
}

/// A client with a separate connection.
pub(super) struct Client {
    address: String,
    agent: ureq::Agent,
}

impl Client {
    fn new(address: String) -> Self {
        Self { address, agent: ureq::Agent::new_with_defaults() }
    }

    /// Returns the body of a successful response as received, compressed or not.
    pub(super) fn get(&self, path: &str, gzip: bool) -> Result<Vec<u8>> {
        let accepted = if gzip { "gzip" } else { "identity" };
        let request = self.agent.get(format!("http://{}{path}", self.address)).header("accept-encoding", accepted);
        let mut response = request.call().with_context(|| format!("cannot get {path}"))?;
        let mut body = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut body).with_context(|| format!("cannot read {path}"))?;
        Ok(body)
    }
}

impl Daemon {
    /// Starts one with these flags, and waits until it is ready.
    pub(super) fn start(host: &Host, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(&host.syscallmon);
        command.args(["run", "--web.listen-address", "127.0.0.1:0", "--state.directory", STATELESS]).args(flags);
        command.stderr(Stdio::piped());
        let started = Instant::now();
        let mut launched = testkit::Daemon::new(Guarded::spawn_bound(&mut command)?, TIMEOUT)?;
        launched.wait_until_ready()?;
        let client = Client::new(launched.address().to_owned());
        Ok(Self { launched, started, client })
    }

    /// Returns the time from the start to the message that `sys_enter` is attached.
    pub(super) fn attached_after(&self) -> Result<Duration> {
        let (time, _) =
            self.launched.log_line(&["message=attached probe=sys_enter"]).context("the daemon did not attach")?;
        Ok(time.duration_since(self.started))
    }

    /// Returns its CPU time so far.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        usage::cpu_time(self.launched.pid())
    }

    /// Returns its resident memory.
    pub(super) fn memory(&self) -> Result<Memory> {
        Memory::of(self.launched.pid())
    }

    /// Scrapes it without compression.
    pub(super) fn scrape(&self) -> Result<Exposition> {
        Ok(Exposition::new(String::from_utf8(self.client.get("/metrics", false)?)?))
    }

    /// Scrapes it with compression, as Prometheus does. Returns the duration and the size.
    pub(super) fn timed_scrape(&self) -> Result<(Duration, usize)> {
        let begin = Instant::now();
        let body = self.client.get("/metrics", true)?;
        Ok((begin.elapsed(), body.len()))
    }

    /// Returns another client of it.
    pub(super) fn client(&self) -> Client {
        Client::new(self.client.address.clone())
    }
}
