//! Programs that run beside a test or a measurement, and end with it.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

use crate::wait::try_wait_for;

/// Pause between two checks whether a program has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// A running program. Dropping it kills it.
///
/// A killed program leaves no eBPF program behind, because the kernel unloads programs of the daemon and of bpftrace
/// with their descriptors.
pub struct Guarded {
    child: Child,
    name: String,
}

impl Guarded {
    /// Starts the program.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// Starts the program. The kernel kills it when this process dies.
    ///
    /// Must be called on the main thread: the kernel kills the program when the calling thread ends.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn_bound(command: &mut Command) -> Result<Self> {
        // SAFETY: runs between fork and exec, where a plain system call is allowed. It touches no memory.
        unsafe { command.pre_exec(die_with_parent) };
        Self::spawn(command)
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the same as rustix has it.
    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Returns the child of a program that has at most one, such as `nsenter`.
    #[must_use]
    pub fn only_child(&self) -> Option<Pid> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
    }

    /// Takes the other end of its stdin, if piped and not taken before.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Takes the other end of its stdout, if piped and not taken before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Returns the other end of its stderr, if piped and not taken before.
    #[must_use]
    pub fn stderr(&self) -> Option<&ChildStderr> {
        self.child.stderr.as_ref()
    }

    /// Takes the other end of its stderr, if piped and not taken before.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Fails if the program has ended.
    ///
    /// # Errors
    ///
    /// If it has ended, with its status.
    pub fn ensure_running(&mut self) -> Result<()> {
        let status = self.child.try_wait().context("cannot wait for a child")?;
        ensure!(status.is_none(), "{} ended: {}", self.name, status.unwrap_or_default());
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// If the kernel rejects the signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        // SAFETY: kill takes integers; the process is our child and was not reaped, so the id is its.
        let sent = unsafe { libc::kill(self.pid().cast_signed(), signal) };
        ensure!(sent == 0, "cannot signal {}: {}", self.name, io::Error::last_os_error());
        Ok(())
    }

    /// Waits until it ends.
    ///
    /// # Errors
    ///
    /// If it does not end in time.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        try_wait_for(&what, timeout, PAUSE, || Ok(self.child.try_wait()?))
    }

    /// Kills it, as in a crash.
    pub fn kill(&mut self) {
        // Both fail only after the process was reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes integers.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, kill_process};

    use super::*;
    use crate::wait::wait_for;

    #[test]
    fn dropped_program_is_gone() {
        for spawn in [Guarded::spawn, Guarded::spawn_bound] {
            let child = spawn(Command::new("sleep").arg("1000")).unwrap();
            let entry = format!("/proc/{}", child.pid());
            assert!(fs::exists(&entry).unwrap());
            drop(child);
            assert!(!fs::exists(&entry).unwrap());
        }
    }

    #[test]
    fn program_gets_signals() {
        let mut child = Guarded::spawn(Command::new("sleep").arg("1000")).unwrap();
        child.signal(libc::SIGTERM).unwrap();
        let status = child.wait(Duration::from_secs(9)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
    }

    #[test]
    fn child_is_found_by_its_parent() {
        let mut shell = Guarded::spawn(Command::new("sh").args(["-c", "sleep 60; true"])).unwrap();
        let child = wait_for("a child", Duration::from_secs(9), || shell.only_child());
        kill_process(child, Signal::KILL).unwrap();
        shell.wait(Duration::from_secs(9)).unwrap();
        assert_eq!(shell.only_child(), None);
    }

    #[test]
    fn program_that_ended_is_noticed() {
        let mut child = Guarded::spawn(&mut Command::new("false")).unwrap();
        assert_eq!(child.wait(Duration::from_secs(9)).unwrap().code(), Some(1));
        assert_eq!(child.ensure_running().unwrap_err().to_string(), "false ended: exit status: 1");
    }
}
