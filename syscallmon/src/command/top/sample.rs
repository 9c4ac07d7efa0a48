//! What `top` shows, as the API of a daemon answers it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{process::printable, view::Sums};

/// Labels of a workload.
pub(super) type Labels = BTreeMap<String, String>;

/// The state of a daemon at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// When its newest snapshot was taken, in seconds since 1970.
    pub(super) time: f64,
    /// All workloads.
    pub(super) workloads: Vec<WorkloadEntry>,
    /// Probes that are not attached and calls that were lost, a sentence each.
    pub(super) problems: Vec<String>,
    /// Calls that workloads have made for the first time, the newest first.
    pub(super) new_calls: Vec<NewCallEntry>,
    /// Incidents, the newest first.
    pub(super) incidents: Vec<IncidentEntry>,
    /// The calls of the workload that is open.
    pub(super) open: Option<OpenWorkload>,
}

/// A page of `/api/v1/workloads?detail=rates`.
#[derive(Debug, Deserialize)]
pub(super) struct WorkloadsPage {
    pub(super) snapshot_time: f64,
    #[serde(default)]
    pub(super) probes: Vec<ProbeEntry>,
    #[serde(default)]
    pub(super) lost: BTreeMap<String, Option<u64>>,
    pub(super) next: Option<String>,
    pub(super) workloads: Vec<WorkloadEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ProbeEntry {
    probe: String,
    problem: Option<String>,
}

impl WorkloadsPage {
    /// Returns what is wrong with the daemon.
    pub(super) fn problems(&self) -> Vec<String> {
        let probes = self.probes.iter().filter_map(|ProbeEntry { probe, problem }| {
            let problem = problem.as_ref()?;
            Some(format!("probe {}: {}", printable(probe), printable(problem)))
        });
        let lost = self.lost.iter().filter_map(|(reason, count)| {
            let count = count.filter(|count| *count > 0)?;
            Some(format!("lost {count} ({})", printable(reason)))
        });
        probes.chain(lost).collect()
    }
}

/// A workload with its totals and rates.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WorkloadEntry {
    pub(super) id: String,
    pub(super) workload: Labels,
    #[serde(default)]
    pub(super) metadata: Labels,
    pub(super) gone: bool,
    pub(super) totals: Sums,
    #[serde(default)]
    pub(super) rates: RatesEntry,
}

/// Rates per second, the newest last.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RatesEntry {
    pub(super) calls: Vec<f64>,
    pub(super) errors: Vec<f64>,
    pub(super) denied: Vec<f64>,
}

/// A call of a workload, of `/api/v1/calls`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NewCallEntry {
    pub(super) workload_id: String,
    pub(super) workload: Labels,
    pub(super) abi: String,
    pub(super) syscall: String,
    pub(super) calls: u64,
    pub(super) first_seen: f64,
}

/// An incident, of `/api/v1/incidents`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct IncidentEntry {
    pub(super) id: String,
    pub(super) message: String,
    pub(super) severity: String,
    pub(super) started: f64,
    pub(super) last_seen: f64,
    pub(super) count: u64,
    pub(super) workload: Labels,
    #[serde(default)]
    pub(super) process: Option<ProcessEntry>,
    #[serde(default)]
    pub(super) calls: Vec<UnexpectedCall>,
    #[serde(default)]
    pub(super) runbook_url: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ProcessEntry {
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) comm: String,
    #[serde(default)]
    pub(super) exe: Option<String>,
    /// A list of arguments, or a text, as `alert.command-line` allows.
    #[serde(default)]
    pub(super) command_line: Option<Value>,
    #[serde(default)]
    pub(super) parents: Vec<ParentEntry>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ParentEntry {
    pub(super) pid: u32,
    pub(super) comm: String,
    #[serde(default)]
    pub(super) exe: Option<String>,
}

/// An unexpected call of an incident.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct UnexpectedCall {
    pub(super) violation: String,
    pub(super) abi: String,
    pub(super) syscall: String,
    pub(super) denied: bool,
    pub(super) policy: String,
    pub(super) severity: String,
    pub(super) reason: String,
    pub(super) count: u64,
}

/// A workload with each of its calls, of `/api/v1/workloads/ID`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OpenWorkload {
    pub(super) id: String,
    #[serde(default)]
    pub(super) syscalls: Vec<CallEntry>,
    #[serde(default)]
    pub(super) errors: Vec<ErrorEntry>,
    #[serde(default)]
    pub(super) denied: Vec<DeniedEntry>,
    #[serde(default)]
    pub(super) io_uring: Vec<OperationEntry>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CallEntry {
    pub(super) abi: String,
    pub(super) syscall: String,
    pub(super) calls: u64,
    pub(super) first_seen: Option<f64>,
    pub(super) last_seen: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ErrorEntry {
    pub(super) abi: String,
    pub(super) syscall: String,
    pub(super) errno: String,
    pub(super) errors: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct DeniedEntry {
    pub(super) abi: String,
    pub(super) syscall: String,
    pub(super) denied: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct OperationEntry {
    pub(super) op: String,
    pub(super) requests: u64,
}

/// Returns a workload's name: `namespace/pod/container`, or its cgroup. Safe to show.
pub(super) fn name(labels: &Labels) -> String {
    let parts = ["namespace", "pod", "container"].map(|label| labels.get(label).map_or("", String::as_str));
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let name = if parts.is_empty() { labels.get("cgroup").cloned().unwrap_or_default() } else { parts.join("/") };
    printable(&name)
}

/// Returns a selector that only this workload matches.
pub(super) fn selector(labels: &Labels) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let parts = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value)));
    printable(&parts.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_container_is_called_by_its_pod_and_what_a_terminal_obeys_is_escaped() {
        let pod = labels(&[("namespace", "shop"), ("pod", "web-1"), ("container", "httpd")]);
        assert_eq!(name(&pod), "shop/web-1/httpd");
        assert_eq!(selector(&pod), r#"container="httpd",namespace="shop",pod="web-1""#);
        assert_eq!(name(&labels(&[("container", "web")])), "web");
        assert_eq!(name(&labels(&[("cgroup", "/a\u{1b}[2J\u{202e}b")])), "/a\\u{1b}[2J\\u{202e}b");
    }

    #[test]
    fn problems_are_probes_that_failed_and_calls_that_were_lost() {
        let page: WorkloadsPage = serde_json::from_value(serde_json::json!({
            "snapshot_time": 1.5, "workloads": [],
            "probes": [{"probe": "sys_enter", "problem": null}, {"probe": "cgroup", "problem": "not permitted"}],
            "lost": {"recursion": 0, "series_full": 7, "reclaim": null},
        }))
        .unwrap();
        assert_eq!(page.problems(), ["probe cgroup: not permitted", "lost 7 (series_full)"]);
    }
}
