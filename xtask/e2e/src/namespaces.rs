//! Mount, network and process namespaces of an environment. Nothing of the environment outlives them.
//!
//! Programs inside use their usual paths (`/run/containerd`, `/var/lib/kubelet`), and files that they write there do
//! not reach the host. All processes end with the first one. Mounts and the network end with the last process. The
//! kernel does both, even when this program is killed. There is no cgroup namespace here, so code that creates cgroups
//! removes them (see [`cgroup`](syscallmon_testkit::cgroup)).

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use syscallmon_testkit::{Guarded, Network};
use xtask_support::{shell, workspace};

use super::programs;

const INIT: &str = include_str!("init.sh");
const INIT_TREE: &str = include_str!("init_tree.sh");
/// Search path in a file system of its own.
const TREE_PATH: &str = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Maximum time until the first process has ended, with all others.
const TIMEOUT: Duration = Duration::from_secs(10);
const NEEDS: &str =
    "this needs root, CAP_SYS_ADMIN, overlayfs and tmpfs; `cargo xtask setup --for e2e` installs the programs";

/// Namespaces with a first process that only waits.
pub struct Namespaces {
    /// Ends with them. A container has none: its engine ends it.
    unshare: Option<Guarded>,
    init: Pid,
    /// The process whose namespaces commands enter, and what enters the container from there.
    entrance: Pid,
    enter: Vec<OsString>,
    path: OsString,
}

impl Namespaces {
    /// Creates namespaces, and mounts directories of the host at these paths inside.
    ///
    /// The namespaces end with the calling thread, so it must live as long as they are used.
    pub(crate) fn start(root: &Path, binds: &[(&Path, &str)]) -> Result<Self> {
        let path = path(root)?;
        let mut command = unshare();
        command.args(["--mount-proc", "sh", "-c", INIT, "init"]).arg(programs::pause()?).env("PATH", &path);
        Self::spawn(command, binds, path)
    }

    /// Does the same with this file system instead of the host's. It has `/busybox`, `/pause` and an empty `/old`.
    pub(crate) fn start_in_tree(tree: &Path, binds: &[(&Path, &str)]) -> Result<Self> {
        let mut command = unshare();
        command.args(["sh", "-c", INIT_TREE, "init"]).arg(tree);
        Self::spawn(command, binds, TREE_PATH.into())
    }

    fn spawn(mut command: Command, binds: &[(&Path, &str)], path: OsString) -> Result<Self> {
        for (source, target) in binds {
            command.arg(source).arg(target);
        }
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut unshare = Guarded::spawn(&mut command).context(NEEDS)?;
        let mut answer = String::new();
        let output = unshare.take_stdout().expect("it is piped");
        BufReader::new(output).read_line(&mut answer).context("cannot hear from the new namespaces")?;
        match unshare.only_child().filter(|_| answer.trim() == "ready") {
            Some(init) => Ok(Self { unshare: Some(unshare), init, entrance: init, enter: Vec::new(), path }),
            None => bail!("cannot make namespaces, {}: {NEEDS}", unshare.wait(TIMEOUT)?),
        }
    }

    /// Returns the namespaces of a container with this first process. The command runs programs in it, and is inside
    /// these namespaces itself. Processes end with the container.
    pub(crate) fn of_container(&self, init: Pid, command: &[&str]) -> Self {
        let enter = self.enter.iter().cloned().chain(command.iter().map(OsString::from)).collect();
        Self { unshare: None, init, entrance: self.entrance, enter, path: self.path.clone() }
    }

    /// Returns a command that runs a program inside.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let entrance = self.entrance.as_raw_nonzero().to_string();
        command.args(["--target", &entrance, "--mount", "--net", "--pid", "--wdns=/"]);
        // Ctrl-C does not reach programs inside. They end with the namespaces.
        command.arg("--").args(&self.enter).arg(program).env("PATH", &self.path).process_group(0);
        command
    }

    /// Runs a program inside that makes a small change. Returns its output.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        shell::query(self.command(program).args(args), "its message says what it lacks")
    }

    /// Returns the path of a file inside, as this program can open it.
    pub(crate) fn file(&self, inside: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.init.as_raw_nonzero()));
        root.join(inside.trim_start_matches('/'))
    }

    /// Writes a file inside, and creates its directory.
    pub(crate) fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.file(inside);
        let cannot = || format!("cannot write {inside} inside the namespaces");
        fs::create_dir_all(file.parent().with_context(cannot)?).with_context(cannot)?;
        fs::write(&file, content).with_context(cannot)
    }

    /// Returns the id of the first process inside, as this program sees it.
    pub(crate) fn pid(&self) -> u32 {
        self.init.as_raw_nonzero().get().cast_unsigned()
    }

    /// Returns the network inside, for requests to servers there.
    pub(crate) fn network(&self) -> Network {
        Network::OfProcess(self.init)
    }

    /// Returns the command to enter the namespaces from outside, with the same programs.
    pub(crate) fn how_to_enter(&self) -> String {
        let (init, path) = (self.init.as_raw_nonzero(), self.path.to_string_lossy());
        let tools = path.split(':').next().unwrap_or_default();
        format!("nsenter --target {init} --mount --net --pid env PATH={tools}:$PATH")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let Some(unshare) = &mut self.unshare else { return };
        // The first process ends on request. Once it has ended, all other processes inside have ended, too.
        let _ = kill_process(self.init, Signal::TERM);
        if unshare.wait(TIMEOUT).is_err() {
            let _ = kill_process(self.init, Signal::KILL);
            let _ = unshare.wait(TIMEOUT);
        }
    }
}

/// Returns the beginning of a command that creates namespaces.
fn unshare() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]);
    command
}

/// Returns the search path for programs inside: private tools first, and directories that a user's PATH may lack.
fn path(root: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![workspace::tools_dir(root).join("bin")];
    dirs.extend(env::split_paths(&path));
    dirs.extend(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
    let is_odd = dirs.iter().any(|dir| dir.as_os_str().is_empty());
    ensure!(!is_odd, "PATH has an empty entry: set it to directories only");
    env::join_paths(dirs).context("PATH is odd")
}
