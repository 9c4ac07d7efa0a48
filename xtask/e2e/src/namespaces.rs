//! Mount, network and process namespaces that an environment lives in, so that nothing of it outlives them.
//!
//! Inside, the usual places can be used (`/run/containerd`, `/var/lib/kubelet`): what is written there does
//! not reach the host. All processes end with the first one, mounts and network with the last; the kernel
//! does both, even when this program is killed. cgroups have no namespace here: whoever makes some removes
//! them (see [`cgroup`](syscallmon_testkit::cgroup)).

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use xtask_support::{shell, workspace};

use super::{process, programs};

const INIT: &str = include_str!("init.sh");
/// How long the first process may take to end, with all others.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server inside may take to answer.
const REQUEST: Duration = Duration::from_mins(1);
const NEEDS: &str =
    "this needs root, CAP_SYS_ADMIN, overlayfs and tmpfs; `cargo xtask setup --for e2e` installs the programs";

/// Namespaces with a first process that only waits.
pub(crate) struct Namespaces {
    unshare: Child,
    init: Pid,
    path: OsString,
}

impl Namespaces {
    /// Makes them; directories of the host are mounted inside at the places that go with them.
    ///
    /// The thread that calls this must live as long as they shall: with it, they end.
    pub(crate) fn start(root: &Path, binds: &[(&Path, &str)]) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--mount-proc", "--fork"]);
        command.args(["--kill-child", "sh", "-c", INIT, "init"]).arg(programs::pause()?);
        for (source, target) in binds {
            command.arg(source).arg(target);
        }
        let path = path(root)?;
        command.env("PATH", &path).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut unshare = command.spawn().with_context(|| format!("cannot start setpriv: {NEEDS}"))?;
        let mut answer = String::new();
        let output = unshare.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut answer).context("cannot hear from the new namespaces")?;
        let init = process::only_child(unshare.id()).filter(|_| answer.trim() == "ready");
        if let Some(init) = init {
            return Ok(Self { unshare, init, path });
        }
        let _ = unshare.kill();
        let status = unshare.wait().context("cannot wait for unshare")?;
        bail!("cannot make namespaces, {status}: {NEEDS}")
    }

    /// A command that runs a program inside.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.as_raw_nonzero().to_string(), "--mount", "--net", "--pid", "--wd=/"]);
        command.arg("--").arg(program).env("PATH", &self.path);
        command
    }

    /// Runs a program inside that changes something small, and returns what it printed.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        shell::query(self.command(program).args(args), "its message says what it lacks")
    }

    /// A file inside, as this program reaches it.
    pub(crate) fn file(&self, inside: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.init.as_raw_nonzero()));
        root.join(inside.trim_start_matches('/'))
    }

    /// Writes a file inside, with its directory.
    pub(crate) fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.file(inside);
        let cannot = || format!("cannot write {inside} inside the namespaces");
        fs::create_dir_all(file.parent().with_context(cannot)?).with_context(cannot)?;
        fs::write(&file, content).with_context(cannot)
    }

    /// Does something in the network inside, such as a request to what listens there.
    pub(crate) fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = format!("/proc/{}/ns/net", self.init.as_raw_nonzero());
        let namespace = fs::File::open(&namespace).with_context(|| format!("cannot open {namespace}"))?;
        thread::scope(|scope| {
            let visitor = scope.spawn(move || {
                use std::os::fd::AsFd;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("cannot enter the network namespace: this needs CAP_SYS_ADMIN")?;
                Ok(work())
            });
            visitor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What a server inside answers to a request with these arguments, whatever its status.
    pub(crate) fn get(&self, url: &str, args: &[(&str, &str)]) -> Result<String> {
        self.in_network(|| {
            let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(REQUEST)).build();
            let request = agent.new_agent().get(url).query_pairs(args.iter().copied());
            let answer = request.call().with_context(|| format!("no answer from {url}"));
            answer?.body_mut().read_to_string().with_context(|| format!("cannot read the answer of {url}"))
        })?
    }

    /// The command to enter it from outside, with the same programs.
    pub(crate) fn how_to_enter(&self) -> String {
        let (init, path) = (self.init.as_raw_nonzero(), self.path.to_string_lossy());
        let tools = path.split(':').next().unwrap_or_default();
        format!("nsenter --target {init} --mount --net --pid env PATH={tools}:$PATH")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // It ends when asked; all other processes inside have ended when it has.
        let _ = kill_process(self.init, Signal::TERM);
        if process::wait(&mut self.unshare, TIMEOUT).is_none() {
            let _ = kill_process(self.init, Signal::KILL);
            let _ = self.unshare.wait();
        }
    }
}

/// Where programs are looked for inside: private tools first, and where PATH may not lead a plain user.
fn path(root: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![workspace::tools_dir(root).join("bin")];
    dirs.extend(env::split_paths(&path));
    dirs.extend(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
    let is_odd = dirs.iter().any(|dir| dir.as_os_str().is_empty());
    ensure!(!is_odd, "PATH has an empty entry: set it to directories only");
    env::join_paths(dirs).context("PATH is odd")
}
