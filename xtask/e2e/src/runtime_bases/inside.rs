//! Mount and process namespaces with a runtime's root as `/`. Nothing inside outlives them.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use syscallmon_testkit::Guarded;

const INIT: &str = include_str!("init.sh");
/// Maximum time until the first process has ended, with all others.
const TIMEOUT: Duration = Duration::from_secs(10);
const NEEDS: &str = "this needs root, CAP_SYS_ADMIN, cgroup2 and util-linux";

/// Namespaces with a first process that only waits.
pub(crate) struct Inside {
    unshare: Guarded,
    pub(crate) init: Pid,
}

impl Inside {
    /// Creates namespaces in this root.
    ///
    /// They end with the calling thread, so it must live as long as they are used.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]);
        command.args(["sh", "-c", INIT, "init"]).arg(root);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut unshare = Guarded::spawn(&mut command).context(NEEDS)?;
        let mut answer = String::new();
        let output = unshare.take_stdout().context("stdout is not piped")?;
        BufReader::new(output).read_line(&mut answer).context("cannot hear from the new namespaces")?;
        match unshare.only_child().filter(|_| answer.trim() == "ready") {
            Some(init) => Ok(Self { unshare, init }),
            None => bail!("cannot make namespaces, {}: {NEEDS}", unshare.wait(TIMEOUT)?),
        }
    }

    /// Returns a command that runs a program inside.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.as_raw_nonzero().to_string(), "--mount", "--pid"]);
        command.arg("--").arg(program).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Returns the path of a file inside, as this program can open it.
    pub(crate) fn file(&self, inside: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.init.as_raw_nonzero()));
        root.join(inside.trim_start_matches('/'))
    }

    /// Reads a file inside.
    pub(crate) fn read(&self, inside: &str) -> Result<Vec<u8>> {
        fs::read(self.file(inside)).with_context(|| format!("cannot read {inside} inside the namespaces"))
    }

    /// Writes a file inside, and creates its directory. Another file of the same inode keeps its content.
    pub(crate) fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.file(inside);
        let cannot = || format!("cannot write {inside} inside the namespaces");
        fs::create_dir_all(file.parent().with_context(cannot)?).with_context(cannot)?;
        let new = file.with_extension("new");
        fs::write(&new, content).with_context(cannot)?;
        fs::rename(&new, &file).with_context(cannot)
    }

    /// Kills all processes inside except the first one.
    pub(crate) fn kill_all(&self) -> Result<()> {
        let mut command = self.command("/busybox");
        let mut child = Guarded::spawn(command.args(["kill", "-KILL", "-1"]))?;
        child.wait(TIMEOUT)?;
        Ok(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The first process ends on request. Once it has ended, all other processes inside have ended, too.
        let _ = kill_process(self.init, Signal::TERM);
        if self.unshare.wait(TIMEOUT).is_err() {
            let _ = kill_process(self.init, Signal::KILL);
            let _ = self.unshare.wait(TIMEOUT);
        }
    }
}
