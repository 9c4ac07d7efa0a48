//! Programs that run beside the measurement, and end with it whatever happens.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use xtask_support::interrupt;

/// A running program; killed when dropped, and by the kernel when this process dies.
///
/// A killed program leaves no eBPF program behind: those of the daemon and of bpftrace live by their descriptors.
pub(super) struct Guarded {
    child: Child,
    name: String,
}

impl Guarded {
    /// Starts it. Must be called on the main thread: the kernel kills the program when the calling thread ends.
    pub(super) fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        // SAFETY: runs between fork and exec, where a plain system call is allowed; it touches no memory.
        unsafe { command.pre_exec(die_with_parent) };
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The other end of its stdin, if piped and not taken before.
    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The other end of its stdout, if piped and not taken before.
    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The other end of its stderr, if piped and not taken before.
    pub(super) fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// Fails when it has ended.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        let status = self.child.try_wait().context("cannot wait for a child")?;
        ensure!(status.is_none(), "{} ended: {}", self.name, status.unwrap_or_default());
        Ok(())
    }

    /// Asks it to end, as Ctrl-C does.
    pub(super) fn interrupt(&self) {
        // SAFETY: kill takes integers; the process is our child and was not reaped, so the id is its.
        unsafe { libc::kill(self.pid().cast_signed(), libc::SIGINT) };
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        interrupt::wait_for(&what, timeout, || Ok(self.child.try_wait()?))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only when it has been reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    use super::*;

    #[test]
    fn dropped_program_is_gone() {
        let child = Guarded::spawn(Command::new("sleep").arg("1000")).unwrap();
        let entry = format!("/proc/{}", child.pid());
        assert!(std::fs::exists(&entry).unwrap());
        drop(child);
        assert!(!std::fs::exists(&entry).unwrap());
    }

    #[test]
    fn program_that_ended_is_noticed() {
        let mut child = Guarded::spawn(&mut Command::new("false")).unwrap();
        assert_eq!(child.wait(Duration::from_secs(9)).unwrap().code(), Some(1));
        assert_eq!(child.ensure_running().unwrap_err().to_string(), "false ended: exit status: 1");
    }
}
