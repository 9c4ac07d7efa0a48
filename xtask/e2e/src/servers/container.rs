//! A server in a container of a runtime: started, ready, under load, reloaded, stopped.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::TcpStream,
    process::Stdio,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use serde_json::Value;
use syscallmon_testkit::{Guarded, Network, try_wait_for};

use super::{
    Server,
    load::{Phase, Target},
    machine::{CGROUP, Machine},
};

/// Maximum time until a server is ready, and until it has stopped. The shorter one is for profiles that lack a call.
const TIMEOUT: [Duration; 2] = [Duration::from_mins(1), Duration::from_secs(8)];
const PAUSE: Duration = Duration::from_millis(30);
/// Time for a reload before the server is stopped.
const RELOAD_TIME: Duration = Duration::from_secs(1);
/// Number of lines that are shown of a log.
const TAIL: usize = 8;
/// Makes a network, prints the id of its process, and waits.
const HOLDER: &str = "/busybox ip link set lo up && echo $$ && exec /pause";

/// A container. Dropping it ends and removes it.
pub(crate) struct Container<'a> {
    machine: &'a Machine,
    server: &'a Server,
    id: String,
    /// The runtime, which exits with the status of the container's first process.
    runtime: Guarded,
    /// Keeps the network.
    _holder: Guarded,
    holder: Pid,
    /// Whether to wait long. A server whose profile lacks a call may wait for ever.
    pub(crate) is_patient: bool,
}

impl<'a> Container<'a> {
    /// Starts one. `bundle` returns the directory of the bundle and the specification, for a network namespace.
    pub(crate) fn start(
        machine: &'a Machine,
        server: &'a Server,
        id: String,
        bundle: impl FnOnce(String) -> (String, Value),
    ) -> Result<Self> {
        let mut command = machine.command("/busybox");
        command.args(["unshare", "-n", "/busybox", "sh", "-c", HOLDER]).stdout(Stdio::piped());
        let mut process = Guarded::spawn(&mut command)?;
        let output = process.take_stdout().context("stdout is not piped")?;
        let mut inner = String::new();
        BufReader::new(output).read_line(&mut inner).context("cannot hear from a new network")?;
        let holder = process.only_child().context("cannot make a network: this needs CAP_SYS_ADMIN")?;
        let (dir, spec) = bundle(format!("/proc/{}/ns/net", inner.trim()));
        machine.write(&format!("{dir}/config.json"), spec.to_string())?;
        let log = File::create(machine.log(&id)).context("cannot write a log")?;
        let mut command = machine.runtime_command(&["run", "--bundle", &dir, &id]);
        command.stdout(log.try_clone()?).stderr(log);
        let runtime = Guarded::spawn(&mut command)?;
        Ok(Self { machine, server, id, runtime, _holder: process, holder, is_patient: true })
    }

    /// Returns the path of its cgroup.
    pub(crate) fn cgroup(&self) -> String {
        format!("/{CGROUP}/{}", self.id)
    }

    fn timeout(&self) -> Duration {
        TIMEOUT[usize::from(!self.is_patient)]
    }

    /// Returns what clients need.
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            network: Network::OfProcess(self.holder),
            pid: self.holder.as_raw_nonzero().get().cast_unsigned(),
            port: self.server.port,
            tree: &self.machine.tree,
        }
    }

    /// Waits until the server accepts connections.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let (port, network) = (self.server.port, Network::OfProcess(self.holder));
        let timeout = self.timeout();
        try_wait_for("connections", timeout, PAUSE, || {
            self.runtime.ensure_running()?;
            Ok(network.run(|| TcpStream::connect(("127.0.0.1", port)).is_ok())?.then_some(()))
        })
    }

    /// Sends a load.
    pub(crate) fn load(&mut self, phase: Phase) -> Result<()> {
        (self.server.load)(&self.target(), phase).with_context(|| format!("{phase:?} load"))?;
        self.runtime.ensure_running()
    }

    /// Makes the server read its configuration again.
    pub(crate) fn reload(&mut self) -> Result<()> {
        let Some(signal) = self.server.reload else { return Ok(()) };
        ensure!(self.machine.call(&["kill", &self.id, signal])?, "the runtime cannot send {signal}");
        self.wait_until_ready().context("after the reload")
    }

    /// Stops the server gracefully.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let signal = self.server.stop;
        ensure!(self.machine.call(&["kill", &self.id, signal])?, "the runtime cannot send {signal}");
        let status = self.runtime.wait(self.timeout()).context("graceful stop")?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Does all of it: the server becomes ready, serves these loads with a reload between them, and stops.
    pub(crate) fn exercise(&mut self, loads: &[Phase]) -> Result<()> {
        self.wait_until_ready().context("start")?;
        for (number, &phase) in loads.iter().enumerate() {
            if number > 0 {
                self.reload()?;
            }
            self.load(phase)?;
        }
        if loads.len() == 1 {
            self.reload()?;
            // A server that is asked to stop in the middle of a reload may not finish the reload.
            thread::sleep(RELOAD_TIME);
        }
        self.stop()
    }

    /// Returns the end of its output.
    pub(crate) fn tail(&self) -> String {
        let log = std::fs::read(self.machine.log(&self.id)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines = log.lines().skip(log.lines().count().saturating_sub(TAIL));
        lines.flat_map(|line| ["      ", line, "\n"]).collect()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.runtime.ensure_running().is_ok() {
            // A runtime that waits for its container may not end otherwise.
            let _ = self.machine.call(&["kill", &self.id, "KILL"]);
            if self.runtime.wait(TIMEOUT[1]).is_err() {
                let _ = self.machine.kill_all();
            }
        }
        if let Err(error) = self.machine.remove(&self.id) {
            eprintln!("left behind: {error:#}");
        }
    }
}
