//! A container runtime of one Debian suite, with the file system of the servers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask_support::{apt::Suite, shell};

use super::{
    Server,
    container::Container,
    spec::{self, Settings},
};
use crate::{
    directories::Directories,
    runtime_bases::{inside::Inside, roots::Root, runtime::Program},
};

/// The cgroup of all containers of this environment, below the root of cgroup2.
pub(crate) const CGROUP: &str = "syscallmon-profiles";
/// Where a runtime keeps its files.
pub(crate) const STATE: &str = "/run/runtime";
/// Where the file system of the servers is, inside.
const SERVERS: &str = "/servers";

/// A runtime in namespaces of its own.
pub(crate) struct Machine {
    inside: Inside,
    program: Program,
    /// Suite, runtime and version.
    pub(crate) name: String,
    /// Runtime and version, as `syscallmon profile generate --runtime` has them.
    pub(crate) runtime: String,
    /// File system of the servers, outside.
    pub(crate) tree: PathBuf,
    logs: PathBuf,
    next: AtomicU32,
    prefix: String,
}

impl Machine {
    /// Enters a root with runtimes, in which the file system of the servers is.
    ///
    /// The machine ends with the calling thread.
    pub(crate) fn start(root: &Root, suite: Suite, program: Program, number: usize, logs: &Path) -> Result<Self> {
        let suite = format!("{suite:?}").to_lowercase();
        let package = root.package(program)?;
        let version = package.split(['+', '~', '-']).next().unwrap_or(&package);
        let (name, runtime) = (format!("{suite} {version}"), version.replace(' ', "-"));
        let prefix = format!("{suite}-{}-{number}", program.name());
        let inside = Inside::start(&root.path)?;
        let tree = root.path.join(SERVERS.trim_start_matches('/'));
        Ok(Self { inside, program, name, runtime, tree, logs: logs.to_owned(), next: AtomicU32::new(0), prefix })
    }

    /// Returns a process of its namespaces.
    pub(crate) fn pid(&self) -> String {
        self.inside.init.as_raw_nonzero().to_string()
    }

    /// Starts a server in a container, without waiting for the server.
    pub(crate) fn run<'a>(
        &'a self,
        server: &'a Server,
        no_new_privileges: bool,
        seccomp: Option<&Value>,
    ) -> Result<Container<'a>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", self.prefix);
        let dir = format!("/tmp/{id}");
        self.mount(&dir)?;
        let cgroup = format!("/{CGROUP}/{id}");
        Container::start(self, server, id, |network| {
            let settings = Settings { no_new_privileges, network, rootfs: format!("{dir}/rootfs") };
            let spec = spec::container(&cgroup, server, &settings, seccomp);
            (dir, spec)
        })
    }

    /// Mounts a file system for a container: the servers' below, changes in memory.
    fn mount(&self, dir: &str) -> Result<()> {
        const SCRIPT: &str = r#"set -e; /busybox mkdir -p "$1/upper" "$1/work" "$1/rootfs"
            /busybox mount -t overlay -o "lowerdir=/servers,upperdir=$1/upper,workdir=$1/work" none "$1/rootfs""#;
        let mut command = self.inside.command("/busybox");
        shell::query(command.args(["sh", "-c", SCRIPT, "sh", dir]), "this needs overlayfs").map(drop)
    }

    /// Ends a container, if it exists, and removes its files.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        const SCRIPT: &str = r#"/busybox umount "$1/rootfs"; /busybox rm -r "$1""#;
        self.call(&["delete", "--force", id])?;
        let mut command = self.inside.command("/busybox");
        shell::query(command.args(["sh", "-c", SCRIPT, "sh", &format!("/tmp/{id}")]), "which process uses it?")?;
        Ok(())
    }

    /// Returns a command that runs a program inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.inside.command(program)
    }

    /// Returns a command of the runtime.
    pub(crate) fn runtime_command(&self, args: &[&str]) -> Command {
        let mut command = self.inside.command(self.program.name());
        command.args(["--root", STATE]).args(args);
        command
    }

    /// Calls the runtime. Returns whether it succeeds.
    pub(crate) fn call(&self, args: &[&str]) -> Result<bool> {
        let mut command = self.runtime_command(args);
        let status = command.stderr(Stdio::null()).status();
        Ok(status.with_context(|| format!("cannot start {}", self.program.name()))?.success())
    }

    /// Writes a file inside.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.inside.write(path, content)
    }

    /// Returns the log of a container.
    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.logs.join(format!("{id}.log"))
    }

    /// Kills all processes of its namespaces but the first.
    pub(crate) fn kill_all(&self) -> Result<()> {
        self.inside.kill_all()
    }
}

/// Fetches the runtimes of a suite, and links the file system of the servers into their root.
pub(crate) fn prepare(suite: Suite, servers: &Path, directories: &Directories) -> Result<Root> {
    let root = Root::fetch(suite, directories)?;
    let to = root.path.join(SERVERS.trim_start_matches('/'));
    // Hard links: containers change only what is mounted above.
    shell::query(Command::new("cp").arg("-al").arg(servers).arg(&to), "the disk may be full")?;
    ensure!(fs::exists(to.join("srv"))?, "{} has no files of the servers", to.display());
    Ok(root)
}
