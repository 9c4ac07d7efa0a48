//! The program that makes the measured calls (`syscallmon/examples/known_calls.rs`).

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use syscallmon_testkit::{Cgroup, Guarded, interrupt};

use super::host::Host;

/// Maximum time until a worker ends after the end of its stdin.
const END: Duration = Duration::from_secs(2);

/// A worker that measures on request.
pub(super) struct Worker {
    child: Guarded,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// A worker, its cgroup, and its calls. The fields are dropped in this order.
pub(super) struct Workload {
    pub(super) worker: Worker,
    pub(super) cgroup: Cgroup,
    pub(super) scenario: &'static str,
    /// The name and number of a call. The worker makes it at least `calls` times in a measurement.
    pub(super) syscall: (&'static str, i64),
    pub(super) calls: u64,
}

impl Workload {
    /// Starts a mode of `known_calls` that repeats one call, on the measured CPU.
    pub(super) fn timed(
        host: &Host,
        cgroup: Cgroup,
        scenario: &'static str,
        mode: &str,
        syscall: (&'static str, i64),
        calls: u32,
    ) -> Result<Self> {
        Self::with_arguments(host, cgroup, scenario, (mode, &[]), syscall, calls)
    }

    /// Starts a mode that has more arguments after the number of calls.
    pub(super) fn with_arguments(
        host: &Host,
        cgroup: Cgroup,
        scenario: &'static str,
        (mode, extra): (&str, &[&str]),
        syscall: (&'static str, i64),
        calls: u32,
    ) -> Result<Self> {
        let texts = [host.cpu.to_string(), syscall.1.to_string(), calls.to_string()];
        let path = cgroup.path();
        let mut args: Vec<&dyn AsRef<OsStr>> = vec![&mode, &path, &texts[0], &texts[1], &texts[2]];
        args.extend(extra.iter().map(|argument| argument as &dyn AsRef<OsStr>));
        let worker = Worker::start(host, &args)?;
        Ok(Self { worker, cgroup, scenario, syscall, calls: calls.into() })
    }
}

impl Worker {
    /// Starts a mode of `known_calls` that makes one measurement for each line of stdin.
    pub(super) fn start(host: &Host, args: &[&dyn AsRef<OsStr>]) -> Result<Self> {
        let mut command = Command::new(&host.known_calls);
        command.args(args.iter().map(AsRef::as_ref)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Guarded::spawn_bound(&mut command)?;
        let stdin = child.take_stdin();
        let stdout = BufReader::new(child.take_stdout().context("known_calls has no stdout")?);
        Ok(Self { child, stdin, stdout })
    }

    /// Makes one measurement. Returns its result in ns.
    pub(super) fn measure(&mut self) -> Result<f64> {
        let stdin = self.stdin.as_mut().context("known_calls has no stdin")?;
        stdin.write_all(b"go\n").context("cannot talk to known_calls")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line).context("cannot hear known_calls")?;
        // Ctrl-C in a terminal also ends the worker. Then the error is the interruption.
        interrupt::check()?;
        if line.is_empty() {
            self.child.ensure_running()?;
        }
        line.trim().parse().with_context(|| format!("known_calls said {line:?}, not a number"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Lets a ring of processes end cleanly. Processes that do not end are killed with their cgroup.
        self.stdin = None;
        let _ = self.child.wait(END);
    }
}
