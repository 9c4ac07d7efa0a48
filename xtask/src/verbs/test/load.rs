//! Load beside the tests: CPU, forks and system calls by stress-ng, a build, and containers that cause violations.
//!
//! The tests must pass on a busy host. Dropping [`Load`] ends everything that was started here.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use syscallmon_testkit::cgroup;
use xtask_support::{
    setup::{self, Purpose},
    workspace,
};

/// The parent of the containers' cgroups.
const CGROUP: &str = "syscallmon-load";

/// Arguments of stress-ng: load by a CPU, forks, system calls of many kinds, and pipes.
const STRESSORS: [&str; 10] = [
    "--quiet",
    "--cpu=1",
    "--fork=1",
    "--get=1",
    "--pipe=1",
    "--timeout=0",
    "--cpu-load=50",
    "--temp-path=/tmp",
    "--seed=1",
    "--oomable",
];

/// Creates containers below `$1` in sequence. Each of them calls mount, unshare and ptrace, makes unknown calls, and
/// ends.
const CONTAINERS: &str = r#"
number=0
while :; do
    number=$((number + 1))
    cgroup=$1/docker/$(printf '%064x' "$number")
    mkdir -p "$cgroup"
    (echo 0 >"$cgroup/cgroup.procs"; unshare --mount sh -c 'mount -t tmpfs none /mnt; umount /mnt'; unshare --uts true)
    until rmdir "$cgroup"; do sleep 0.01; done 2>/dev/null
done
"#;

/// Builds this workspace repeatedly, in a separate directory `$2`.
const BUILDS: &str = r#"while :; do rm -rf "$2"; "$1" build --quiet --locked --package xtask --target-dir "$2"; done"#;

/// The load beside the tests.
pub(crate) struct Load {
    groups: Vec<Child>,
    build: PathBuf,
}

impl Load {
    /// Starts everything.
    ///
    /// # Errors
    ///
    /// If stress-ng cannot be installed, or a program cannot be started.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        setup::ensure(root, Purpose::Load)?;
        let mount = cgroup::mounts().into_iter().next().context("no cgroup hierarchy is mounted")?;
        let build = workspace::target_dir(root).join("load");
        let mut load = Self { groups: Vec::new(), build: build.clone() };
        load.spawn(Command::new("stress-ng").args(STRESSORS))?;
        load.spawn(Command::new("sh").args(["-c", CONTAINERS, "sh"]).arg(mount.join(CGROUP)))?;
        let builds = ["-c", BUILDS, "sh"];
        load.spawn(Command::new("sh").current_dir(root).args(builds).arg(workspace::cargo()).arg(build))?;
        Ok(load)
    }

    fn spawn(&mut self, command: &mut Command) -> Result<()> {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        self.groups.push(child);
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.groups {
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.build);
        if let Err(error) = cgroup::remove(CGROUP) {
            eprintln!("cannot remove the cgroups of the load: {error:#}");
        }
    }
}
