//! The daemon that observes the servers, and its API.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use syscallmon_testkit::{Network, Process, free_address, try_wait_for};

use super::super::exporter::binary;
use crate::{directories::Directories, servers::machine::Machine};

const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);
const OPTIONS: [&str; 9] = [
    "run",
    "--poll.interval=1s",
    "--cgroup.hierarchy=cgroup2",
    "--names.cri=off",
    "--names.docker=off",
    "--names.podman=off",
    "--names.kubernetes=off",
    "--policy.runtime-default=false",
    "--capacity.denied=1024",
];

/// A daemon.
pub(super) struct Monitor {
    _process: Process,
    address: String,
    binary: PathBuf,
}

/// Calls by name, by cgroup.
pub(super) type CallsByCgroup = BTreeMap<String, BTreeMap<String, u64>>;

/// Calls of a workload by name, in the native ABI.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) calls: BTreeMap<String, u64>,
    /// Calls that only the runtime made.
    pub(super) container_init: BTreeMap<String, u64>,
    /// Refused calls: EPERM.
    pub(super) refused: BTreeMap<String, u64>,
    /// Calls that were answered with ENOSYS.
    pub(super) nonexistent: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    snapshot_time: f64,
    workloads: Vec<Workload>,
}

#[derive(Deserialize)]
struct Workload {
    #[serde(rename = "workload")]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    syscalls: Vec<CallEntry>,
    #[serde(default)]
    denied: Vec<DeniedEntry>,
}

#[derive(Deserialize)]
struct CallEntry {
    syscall: String,
    calls: u64,
    #[serde(default)]
    container_init: u64,
}

#[derive(Deserialize)]
struct DeniedEntry {
    syscall: String,
    #[serde(default)]
    errno: Option<String>,
    denied: u64,
}

impl Monitor {
    /// Starts a daemon in the process namespace of a runtime, so that it distinguishes calls of that runtime.
    pub(super) fn start(root: &Path, machine: &Machine, directories: &Directories) -> Result<Self> {
        let built = binary(root)?;
        let binary = directories.directory("bin")?.join("syscallmon");
        // Another build may replace the file in the meantime.
        fs::copy(&built, &binary).with_context(|| format!("cannot copy {}", built.display()))?;
        let address = free_address();
        let mut command = Command::new("nsenter");
        command.args(["--target", &machine.pid(), "--pid"]).arg(&binary).args(OPTIONS);
        command.arg(format!("--web.listen-address={address}"));
        let mut process = Process::start("syscallmon", &mut command, &directories.logs)?;
        let url = format!("http://{address}/readyz");
        try_wait_for("the daemon", TIMEOUT, PAUSE, || {
            process.ensure_running()?;
            Ok(Network::Host.get(&url, &[]).ok().filter(|(status, _)| *status == 200))
        })?;
        Ok(Self { _process: process, address, binary })
    }

    /// Returns the daemon's URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what a cgroup has called until now.
    pub(super) fn counted(&self, cgroup: &str) -> Result<Counted> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        let data = try_wait_for("new counts", TIMEOUT, PAUSE, || {
            Ok(Some(self.data(&selector(cgroup))?).filter(|data| data.snapshot_time > now))
        })?;
        Self::sums(data.workloads, cgroup)
    }

    /// Returns the time of the newest snapshot in seconds, and the calls of all cgroups below another one until then.
    pub(super) fn latest_below(&self, parent: &str) -> Result<(f64, CallsByCgroup)> {
        let Data { snapshot_time, workloads } = self.data(&format!("cgroup=~\"{parent}/.*\""))?;
        let mut calls = CallsByCgroup::new();
        for workload in workloads {
            let cgroup = workload.labels.get("cgroup").cloned().unwrap_or_default();
            calls.entry(cgroup.clone()).or_default().extend(Self::sums(vec![workload], &cgroup)?.calls);
        }
        Ok((snapshot_time, calls))
    }

    fn data(&self, selector: &str) -> Result<Data> {
        let text = self.get("/api/v1/workloads", &[("match", selector)])?;
        let answer: Answer = serde_json::from_str(&text).with_context(|| format!("the daemon answered {text}"))?;
        Ok(answer.data)
    }

    fn sums(workloads: Vec<Workload>, cgroup: &str) -> Result<Counted> {
        ensure!(!workloads.is_empty(), "the daemon does not know the cgroup {cgroup}");
        let mut counted = Counted::default();
        for workload in workloads {
            for CallEntry { syscall, calls, container_init } in workload.syscalls {
                let only_init = container_init >= calls;
                let map = if only_init { &mut counted.container_init } else { &mut counted.calls };
                *map.entry(syscall).or_default() += if only_init { calls } else { calls - container_init };
            }
            for DeniedEntry { syscall, errno, denied } in workload.denied {
                let map = if errno.is_some() { &mut counted.nonexistent } else { &mut counted.refused };
                *map.entry(syscall).or_default() += denied;
            }
        }
        Ok(counted)
    }

    /// Returns the daemon's profile for a cgroup, in the format of OCI.
    pub(super) fn profile(&self, cgroup: &str) -> Result<Value> {
        // Refreshes the counts.
        self.counted(cgroup)?;
        let text = self.get("/api/v1/profile", &[("match", &selector(cgroup)), ("format", "oci")])?;
        serde_json::from_str(&text).with_context(|| format!("the daemon answered {text}"))
    }

    /// Returns what `syscallmon profile generate` makes with these flags.
    pub(super) fn generate(&self, flags: &[&str]) -> Result<Value> {
        let output = self.syscallmon(&[&["profile", "generate"], flags].concat())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "syscallmon profile generate: {}: {errors}", output.status);
        serde_json::from_slice(&output.stdout).context("the profile is no JSON")
    }

    /// Runs syscallmon with these arguments.
    pub(super) fn syscallmon(&self, args: &[&str]) -> Result<Output> {
        Command::new(&self.binary).args(args).output().context("cannot start syscallmon")
    }

    /// Returns the arguments of `syscallmon profile check` and `generate` that name this daemon and a cgroup.
    pub(super) fn source(&self, cgroup: &str) -> [String; 2] {
        [format!("--daemon={}", self.url()), format!("--workload={}", selector(cgroup))]
    }

    /// Returns the path of the daemon's program.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    fn get(&self, path: &str, args: &[(&str, &str)]) -> Result<String> {
        let (status, text) = Network::Host.get(&format!("{}{path}", self.url()), args)?;
        ensure!(status == 200, "{path} {args:?}: status {status}: {text}");
        Ok(text)
    }
}

/// Returns the selector of a cgroup.
pub(super) fn selector(cgroup: &str) -> String {
    format!("cgroup=\"{cgroup}\"")
}
