//! Servers that a test started. Their logs are files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};

use crate::child::Guarded;

/// Maximum time for a clean stop.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Number of lines that are shown of a log.
const TAIL: usize = 15;

/// A running server. Dropping it ends it.
pub struct Process {
    name: String,
    /// The server, or a program such as `nsenter` that waits for the server and exits with its status.
    child: Guarded,
    log: PathBuf,
}

impl Process {
    /// Starts a command. Appends its output to `NAME.log` in a directory.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or the log cannot be written.
    pub fn start(name: &str, command: &mut Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let open = || File::options().create(true).append(true).open(&log);
        let output = open().with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        let child = Guarded::spawn(command.stdin(Stdio::null()).stdout(output).stderr(errors))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Returns the process id of the command.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Fails with the end of the log if the server has ended.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        let running = self.child.ensure_running();
        running.with_context(|| format!("{} does not run: see {}\n{}", self.name, self.log.display(), self.tail()))
    }

    /// Returns the end of its log. Each line starts with the server's name.
    #[must_use]
    pub fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        last_lines(&log, TAIL).flat_map(|line| [&self.name, ": ", line, "\n"]).collect()
    }

    /// Kills the server, as in a crash.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Sends the server a signal, and waits for its end.
    fn end(&mut self, signal: Signal) {
        if self.child.ensure_running().is_ok() {
            let _ = kill_process(self.child.only_child().unwrap_or(self.child.id()), signal);
            let _ = self.child.wait(TIMEOUT);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Signal::TERM);
        self.end(Signal::KILL);
        if thread::panicking() {
            eprint!("{}", self.tail());
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
}
