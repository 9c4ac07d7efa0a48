//! The explorer in a real Chromium: a daemon with 1,000 workloads and 100,000 series, and hostile names.

mod browser;
mod workloads;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use syscallmon_testkit::{Cgroup, Daemon, Guarded, cgroup};
use xtask_support::{shell, workspace};

use self::browser::Browser;
use crate::{namespaces::Namespaces, wait::wait_for};

/// The address in an environment.
const ADDRESS: &str = "http://127.0.0.1:9778";

const TIMEOUT: Duration = Duration::from_mins(3);

/// Calls of cgroups with `flagged` in their names are reported, and those of `learning` are learned.
const POLICIES: &str = "\
policies:
- {name: reports, match: ['cgroup=~\"/syscallmon-explorer.*flagged.*\"'], allow: [getppid, exit_group]}
- {name: learns, match: ['cgroup=~\"/syscallmon-explorer.*learning.*\"'], learn: {}}
";

/// Room for the workloads, also beside others of the host, and durations of some of their calls. Others are not shown:
/// in an hour, tests beside this one make thousands.
const OPTIONS: [&str; 5] = [
    "--web.listen-address=127.0.0.1:0",
    "--alert.log=off",
    "--capacity.cgroups=8192",
    "--capacity.series=524288",
    "--latency.syscalls=getppid,openat,fstat",
];

/// A daemon with many workloads, and a browser.
pub(crate) struct Explorer {
    browser: Browser,
    daemon: Daemon,
    work: tempfile::TempDir,
    // Dropped last, with their processes.
    _busy: Guarded,
    _workloads: Cgroup,
}

impl Explorer {
    /// Starts this daemon, and waits until it has counted all workloads.
    pub(crate) fn start(root: &Path, binary: &Path) -> Result<Self> {
        let browser = Browser::installed(root)?;
        let known_calls = example(root)?;
        let work = tempfile::tempdir().context("cannot make a temporary directory")?;
        let daemon = start(binary, work.path())?;
        let mount = cgroup::mounts().into_iter().next().context("no cgroup hierarchy is mounted")?;
        let parent = Cgroup::new(&mount, "syscallmon-explorer", "page")?;
        workloads::populate(&known_calls, &parent)?;
        let busy = workloads::busy(&parent)?;
        wait_for("the series", TIMEOUT, || {
            let (_, metrics) = daemon.get("/metrics")?;
            let series = metrics.lines().find_map(|line| line.strip_prefix("syscallmon_series ")?.parse::<f64>().ok());
            Ok(series.filter(|series| *series >= workloads::SERIES).map(drop))
        })?;
        Ok(Self { browser, daemon, work, _busy: busy, _workloads: parent })
    }

    /// Returns a command that runs a script in Python with the browser, and has the URL as its first argument.
    pub(crate) fn script(&self, text: &str) -> Result<Command> {
        let mut script = self.browser.script(Command::new("python3"), text, self.work.path())?;
        script.arg(self.url());
        Ok(script)
    }

    /// Returns the URL of the explorer.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.daemon.address())
    }

    /// Returns the log of the daemon.
    pub(crate) fn log(&self) -> String {
        self.daemon.log().join("\n") + "\n"
    }
}

fn start(binary: &Path, work: &Path) -> Result<Daemon> {
    let policies = work.join("policies");
    fs::create_dir(&policies).context("cannot make the directory of policies")?;
    fs::write(policies.join("all.yaml"), POLICIES).context("cannot write the policies")?;
    let mut command = Command::new(binary);
    command.arg("run").args(OPTIONS).arg("--policy.directory").arg(&policies);
    command.arg(format!("--workload.keep=cgroup=~\"/syscallmon-explorer-{}-.*\"", std::process::id()));
    command.arg("--state.directory").arg(work.join("state")).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut daemon = Daemon::new(Guarded::spawn_bound(&mut command)?, TIMEOUT)?;
    daemon.wait_until_ready()?;
    Ok(daemon)
}

/// Takes pictures of the explorer of a daemon in these namespaces, at its usual address, into a directory.
///
/// # Errors
///
/// If Chromium cannot be installed or started, or shows an error.
pub fn photograph(root: &Path, namespaces: &Namespaces, directory: &Path) -> Result<()> {
    let browser = Browser::installed(root)?;
    let work = tempfile::tempdir_in(workspace::target_dir(root)).context("cannot make a temporary directory")?;
    let mut script =
        browser.script(namespaces.command("python3"), include_str!("explorer/pictures.py"), work.path())?;
    shell::run(script.arg(ADDRESS).arg(directory), "its message is above")
}

/// Returns the program that makes known calls.
fn example(root: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(workspace::cargo());
    cargo.current_dir(root).args(["build", "--quiet", "--locked", "--package", "syscallmon"]);
    shell::run(cargo.args(["--example", "known_calls"]), "the compiler's message is above")?;
    Ok(workspace::target_dir(root).join("debug/examples/known_calls"))
}
