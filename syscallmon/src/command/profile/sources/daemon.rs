//! Evidence of a running daemon: the workloads of its host, from its API.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use http::{Method, Uri};
use serde::Deserialize;
use serde_json::Value;

use super::{LOST_ARGUMENTS, LOST_CALLS, NO_NAME, PAUSE, server_url};
use crate::{
    client::http::HttpClientConfig,
    command::daemon::{Daemon, DaemonFlags, escaped},
    process::printable_name,
    profile::{Evidence, Observation, Replica, SourceKind},
    workload::Selector,
};

/// Maximum number of workloads in an answer of the API.
const MAX_WORKLOADS: usize = 10_000;

/// Names of the flags below.
const FLAGS: DaemonFlags = DaemonFlags {
    url: "--daemon",
    username: "--daemon-username",
    password_file: "--daemon-password-file",
    ca_file: "--daemon-ca-file",
};

/// A running daemon, and credentials.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct DaemonSource {
    /// URL of a running daemon. It knows the calls on its host since it started.
    #[arg(long = "daemon", alias = "url", value_name = "URL", id = "daemon_url", value_parser = server_url)]
    pub(in crate::command) url: Option<Uri>,
    /// User name, as in the web.config.file of the daemon.
    #[arg(long = "daemon-username", value_name = "NAME", requires_all = ["daemon_url", "daemon_password_file"])]
    daemon_username: Option<String>,
    /// File with the password for the daemon.
    #[arg(long = "daemon-password-file", value_name = "FILE", requires = "daemon_username")]
    daemon_password_file: Option<PathBuf>,
    /// File with CA certificates (PEM) for the daemon; by default those of the host.
    #[arg(long = "daemon-ca-file", value_name = "FILE", requires = "daemon_url")]
    daemon_ca_file: Option<PathBuf>,
}

/// Fields of the answer that are evidence.
#[derive(Deserialize)]
struct Answer {
    snapshot_time: f64,
    #[serde(default)]
    probes: Vec<Probe>,
    #[serde(default)]
    lost: BTreeMap<String, Option<u64>>,
    total: usize,
    workloads: Vec<Entry>,
}

#[derive(Deserialize)]
struct Probe {
    probe: String,
    implementation: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    workload: BTreeMap<String, String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// When its first cgroup was born, if the daemon saw that.
    #[serde(default)]
    started: Option<f64>,
    syscalls: Vec<Called>,
    #[serde(default)]
    denied: Vec<Denied>,
    #[serde(default)]
    arguments: Vec<Class>,
}

#[derive(Deserialize)]
struct Called {
    abi: String,
    syscall: String,
    calls: u64,
    /// The part of `calls` that the container runtime made.
    #[serde(default)]
    container_init: u64,
}

#[derive(Deserialize)]
struct Denied {
    abi: String,
    syscall: String,
    #[serde(rename = "denied")]
    attempts: u64,
}

/// Calls with arguments of one class.
#[derive(Deserialize)]
struct Class {
    abi: String,
    syscall: String,
    argument: String,
    calls: u64,
    #[serde(default)]
    denied: u64,
}

impl DaemonSource {
    /// Returns the daemon, if one is given.
    pub(in crate::command) fn daemon(&self) -> Option<Daemon> {
        let basic = self.daemon_username.clone().zip(self.daemon_password_file.clone());
        let client_config = HttpClientConfig { ca_file: self.daemon_ca_file.clone(), bearer_token_file: None, basic };
        Some(Daemon { url: self.url.clone()?, client_config, flags: FLAGS })
    }
}

/// Asks a daemon for the calls of the workloads that a selector matches.
pub(in crate::command) async fn evidence(daemon: &Daemon, workload: &Selector) -> Result<Evidence> {
    let path = format!("/api/v1/workloads?match={}&limit={MAX_WORKLOADS}", escaped(workload.text()));
    let answer = daemon.ask(Method::GET, &path).await?;
    of_answer(answer, &daemon.url.to_string(), workload)
}

fn of_answer(answer: Value, url: &str, workload: &Selector) -> Result<Evidence> {
    let Answer { snapshot_time, probes, lost, total, workloads } =
        serde_json::from_value(answer).context("the daemon has another version than this command")?;
    if workloads.is_empty() && total == 0 {
        bail!(
            "no workload of the daemon at {url} matches {}; to see all: curl -s {}/api/v1/workloads",
            printable_name(workload.text()),
            url.trim_end_matches('/')
        );
    }
    if workloads.len() < total {
        bail!(
            "{total} workloads of the daemon at {url} match {}, and its answer has only {}: use a narrower --workload",
            printable_name(workload.text()),
            workloads.len()
        );
    }
    let mut evidence = Evidence::new(SourceKind::Daemon, url);
    let count = |reason: &str| lost.get(reason).copied().flatten().unwrap_or_default();
    let lost = LOST_CALLS.into_iter().map(count).fold(0, u64::saturating_add);
    if lost > 0 {
        evidence.warn(format!("{lost} calls of all workloads of the host have no workload or no name"));
    }
    let knows_arguments = count(LOST_ARGUMENTS) == 0;
    if !knows_arguments {
        evidence.warn("classes of arguments were lost, so profiles allow all arguments: raise capacity.series");
    }
    for Probe { probe, .. } in probes.iter().filter(|probe| probe.implementation.is_none()) {
        evidence.warn(format!("the probe {} is not attached", printable_name(probe)));
    }
    let to = time(snapshot_time);
    let (mut merged, mut other_denied) = (0, 0);
    for entry in &workloads {
        if let Some(cgroup) = entry.workload.get("cgroup").filter(|cgroup| cgroup.starts_with(NO_NAME)) {
            // Every pod has a container that only waits, and it is no container of the workload.
            merged += u32::from(cgroup != PAUSE);
            continue;
        }
        let replica = add(&mut evidence, entry, to, lost)?;
        other_denied += add_denied(&mut evidence, entry, replica);
        if knows_arguments {
            add_arguments(&mut evidence, &entry.arguments, replica);
        }
    }
    if merged > 0 {
        evidence.warn(format!("{merged} matches such as (remainder) stand for several workloads, and were left out"));
    }
    if other_denied > 0 {
        evidence.warn(format!("{other_denied} denied calls have no name: more than capacity.denied"));
    }
    Ok(evidence)
}

/// Returns a time that is given in seconds since 1970.
fn time(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// Adds a workload as a replica, and its calls. Returns its index.
fn add(evidence: &mut Evidence, entry: &Entry, to: Option<SystemTime>, lost: u64) -> Result<u32> {
    let labels = entry.workload.values().map(|value| printable_name(value)).collect::<Vec<_>>();
    // As syscallmon orders labels.
    let order = ["namespace", "pod", "container", "cgroup"];
    let is_default = entry.workload.keys().all(|label| order.contains(&label.as_str()));
    let ordered = order.iter().filter_map(|label| entry.workload.get(*label)).map(|value| printable_name(value));
    let name = if is_default { ordered.collect::<Vec<_>>() } else { labels }.join("/");
    let replica = evidence.add_replica(Replica {
        name,
        image: entry.metadata.get("image").map(|image| printable_name(image)),
        from: entry.started.and_then(time),
        to,
        saw_start: entry.started.is_some(),
        lost,
        windows: 0,
        window: Duration::ZERO,
    })?;
    for Called { abi, syscall, calls, container_init } in &entry.syscalls {
        let count = calls.saturating_sub(*container_init);
        if count == 0 {
            continue;
        }
        let observation = Observation { count, replicas: [replica].into(), ..Observation::default() };
        evidence.add(abi, syscall, &observation);
    }
    Ok(replica)
}

/// Adds the denied calls of a replica. Returns the number of those without a name.
fn add_denied(evidence: &mut Evidence, entry: &Entry, replica: u32) -> u64 {
    let mut without_name = 0_u64;
    for Denied { abi, syscall, attempts } in entry.denied.iter().filter(|denied| denied.attempts > 0) {
        if syscall.starts_with(NO_NAME) {
            without_name = without_name.saturating_add(*attempts);
            continue;
        }
        let observation =
            Observation { denied: *attempts, denied_replicas: [replica].into(), ..Observation::default() };
        evidence.add(abi, syscall, &observation);
    }
    without_name
}

/// Adds the classes of arguments of a replica, if each has a name.
fn add_arguments(evidence: &mut Evidence, classes: &[Class], replica: u32) {
    if classes.iter().any(|class| class.abi.starts_with(NO_NAME)) {
        return;
    }
    let name = |class: &Class| format!("{}({})", class.syscall, class.argument);
    let named: Vec<_> = classes.iter().map(|class| (class, name(class))).collect();
    let replicas = |count: u64| if count > 0 { [replica].into() } else { [].into() };
    evidence.add_arguments(named.iter().map(|(class, name)| {
        let &Class { calls: count, denied, .. } = *class;
        let (replicas, denied_replicas) = (replicas(count), replicas(denied));
        let seen = Observation { count, denied, replicas, denied_replicas, ..Observation::default() };
        (class.abi.as_str(), name.as_str(), seen)
    }));
}

#[cfg(test)]
mod tests;
