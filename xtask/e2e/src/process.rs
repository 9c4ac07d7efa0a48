//! A daemon inside an environment. Its log is a file, and dropping it ends it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Maximum time for a clean stop.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// Number of lines that are shown of a log.
const TAIL: usize = 15;

/// A running daemon.
pub(crate) struct Process {
    name: String,
    /// `nsenter`, which waits for the daemon and exits with its status.
    nsenter: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command made by [`Namespaces::command`](super::namespaces::Namespaces::command). Appends its output to
    /// `NAME.log`.
    pub(crate) fn start(name: &str, command: &mut Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let open = || File::options().create(true).append(true).open(&log);
        let output = open().with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        // Uses a separate process group: Ctrl-C then reaches only the parent, which stops the daemon cleanly.
        command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
        let nsenter = command.spawn().with_context(|| format!("cannot start {name}: is util-linux installed?"))?;
        Ok(Self { name: name.to_owned(), nsenter, log })
    }

    /// Fails with the end of the log if the daemon has ended.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        match self.nsenter.try_wait().with_context(|| format!("cannot wait for {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}: see {}\n{}", self.name, self.log.display(), self.tail()),
        }
    }

    /// Returns the end of its log. Each line starts with the daemon's name.
    pub(crate) fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        last_lines(&log, TAIL).flat_map(|line| [&self.name, ": ", line, "\n"]).collect()
    }

    /// Returns its process id on the host.
    pub(crate) fn id(&self) -> Option<Pid> {
        only_child(self.nsenter.id())
    }

    /// Asks the daemon to end, then kills it.
    pub(crate) fn stop(&mut self) {
        self.send(Signal::TERM);
        if wait(&mut self.nsenter, TIMEOUT).is_none() {
            self.send(Signal::KILL);
            let _ = self.nsenter.wait();
        }
    }

    /// Kills the daemon, as in a crash.
    pub(crate) fn kill(&mut self) {
        self.send(Signal::KILL);
        let _ = self.nsenter.wait();
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = self.id() {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            eprint!("{}", self.tail());
        }
    }
}

/// Returns the child of a process that has at most one.
pub(super) fn only_child(pid: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// Waits for a child for a limited time.
pub(super) fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(None) if begin.elapsed() < patience => thread::sleep(PAUSE),
            Ok(status) => return status,
            Err(_) => return None,
        }
    }
}

fn last_lines(text: &str, count: usize) -> impl Iterator<Item = &str> {
    let all = text.lines().count();
    text.lines().skip(all.saturating_sub(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_log_is_its_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(last_lines("a", 2).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn child_is_found_by_its_parent() {
        let mut shell = Command::new("sh").args(["-c", "sleep 60; true"]).spawn().unwrap();
        let child = loop {
            if let Some(child) = only_child(shell.id()) {
                break child;
            }
            thread::sleep(PAUSE);
        };
        kill_process(child, Signal::KILL).unwrap();
        shell.wait().unwrap();
        assert_eq!(only_child(shell.id()), None);
    }
}
