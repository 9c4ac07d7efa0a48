//! The daemon beside a container runtime, as on a plain host, and a Prometheus that scrapes it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use syscallmon_testkit::{Process, Prometheus};
use xtask_support::{shell, workspace};

use super::{TIMEOUT, expect_count, expect_nothing};
use crate::{directories::Directories, namespaces::Namespaces, prometheus, wait::wait_for};

const ADDRESS: &str = "127.0.0.1:9778";
/// Containers with this name learn. All others have the built-in policy.
const POLICIES: &str = "policies: [{name: learned, match: [{container: side}], learn: {}}]\n";
const CONFIG: &str = "/etc/syscallmon.yaml";
/// Series of ended workloads expire soon.
const OPTIONS: [&str; 6] = [
    "--workload.expire-after=5s",
    "--probe.latency=true",
    "--config.file",
    CONFIG,
    "--state.directory",
    "/run/syscallmon",
];

/// The daemon and its Prometheus.
pub(crate) struct Exporter<'a> {
    namespaces: &'a Namespaces,
    logs: PathBuf,
    binary: PathBuf,
    options: Vec<String>,
    daemon: Process,
    pub(crate) prometheus: Prometheus,
}

impl<'a> Exporter<'a> {
    /// Starts both. The daemon finds runtimes at their usual paths. Series of ended workloads expire after some
    /// seconds.
    pub(super) fn start(root: &Path, namespaces: &'a Namespaces, directories: &Directories) -> Result<Self> {
        Self::start_with(root, namespaces, directories, &[])
    }

    /// Starts both, with more flags for the daemon.
    pub(super) fn start_with(
        root: &Path,
        namespaces: &'a Namespaces,
        directories: &Directories,
        flags: &[&str],
    ) -> Result<Self> {
        namespaces.write(CONFIG, POLICIES)?;
        Self::with_options(root, namespaces, &directories.logs, &[&OPTIONS, flags].concat())
    }

    /// Starts both, with only these options for the daemon.
    pub(crate) fn with_options(root: &Path, namespaces: &'a Namespaces, logs: &Path, options: &[&str]) -> Result<Self> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let (binary, logs) = (binary(root)?, logs.to_owned());
        let daemon = run(namespaces, &binary, &options, &logs)?;
        let scrape = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nscrape_configs:\n\
             - {{job_name: syscallmon, static_configs: [{{targets: [\"{ADDRESS}\"], labels: {{cluster: e2e, instance: node1}}}}]}}\n"
        );
        let prometheus = prometheus::start(namespaces, &logs, &scrape)?;
        let exporter = Self { namespaces, logs, binary, options, daemon, prometheus };
        exporter.expect_count(r#"up{job="syscallmon"}"#, 1)?;
        Ok(exporter)
    }

    /// Kills the daemon and starts it again, as after a crash.
    pub(super) fn crash(&mut self) -> Result<()> {
        self.daemon.kill();
        self.daemon = run(self.namespaces, &self.binary, &self.options, &self.logs)?;
        wait_for("the daemon", TIMEOUT, || Ok(self.get("/readyz", &[]).ok().filter(|answer| answer.contains("ready"))))
            .map(drop)
    }

    /// Returns a response of the daemon's API, as a page or as JSON.
    pub(crate) fn get(&self, path: &str, args: &[(&str, &str)]) -> Result<String> {
        Ok(self.namespaces.network().get(&format!("http://{ADDRESS}{path}"), args)?.1)
    }

    /// Runs `syscallmon` with these arguments beside the daemon. Returns its output.
    pub(super) fn syscallmon(&self, args: &[&str]) -> Result<String> {
        let mut command = self.namespaces.command(&self.binary);
        shell::query(command.args(args), "its message is above")
    }

    /// Path of the daemon's log, which also has the lines of JSON.
    pub(super) fn log(&self) -> PathBuf {
        self.logs.join("syscallmon.log")
    }

    pub(crate) fn expect_count(&self, promql: &str, count: u64) -> Result<()> {
        expect_count(&self.prometheus, promql, count).with_context(|| self.daemon.tail())
    }

    pub(crate) fn expect_nothing(&self, promql: &str) -> Result<()> {
        expect_nothing(&self.prometheus, promql).with_context(|| self.daemon.tail())
    }

    /// Returns the daemon's CPU time so far, in seconds.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        Ok(super::value(&self.prometheus, "process_cpu_seconds_total")?.unwrap_or_default())
    }
}

fn run(namespaces: &Namespaces, binary: &Path, options: &[String], logs: &Path) -> Result<Process> {
    let mut command = namespaces.command(binary);
    command.args(["run", "--web.listen-address", ADDRESS]).args(options);
    Process::start("syscallmon", &mut command, logs)
}

/// Returns the path of the daemon's binary: the build of the tests, or `SYSCALLMON_TEST_BINARY`, such as a release to
/// measure.
pub(crate) fn binary(root: &Path) -> Result<PathBuf> {
    if let Some(binary) = env::var_os("SYSCALLMON_TEST_BINARY") {
        return Ok(binary.into());
    }
    let mut cargo = Command::new(workspace::cargo());
    cargo.current_dir(root).args(["build", "--quiet", "--locked", "--package", "syscallmon", "--bin", "syscallmon"]);
    shell::run(&mut cargo, "the compiler's message is above")?;
    Ok(workspace::target_dir(root).join("debug/syscallmon"))
}
