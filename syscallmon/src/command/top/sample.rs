//! What `top` shows, as the API of a daemon answers it.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use crate::{process::printable, snapshot::LOSS_REASONS, view::Sums};

/// Labels of a workload.
pub(super) type Labels = BTreeMap<String, String>;

/// The state of a daemon at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// When its newest snapshot was taken, in seconds since 1970.
    pub(super) time: f64,
    /// When it began to count, if it says so.
    pub(super) counting_since: Option<f64>,
    /// All workloads.
    pub(super) workloads: Vec<WorkloadEntry>,
    /// Probes that are not attached and calls that were lost, a sentence each.
    pub(super) problems: Vec<String>,
    /// Calls that workloads have made for the first time, the newest first; `None` if nobody asked.
    pub(super) new_calls: Option<Vec<NewCallEntry>>,
    /// Incidents, the newest first.
    pub(super) incidents: Vec<IncidentEntry>,
    /// The calls of the workload that is open.
    pub(super) open: Option<OpenWorkload>,
}

/// A page of `/api/v1/workloads?detail=rates`.
#[derive(Debug, Deserialize)]
pub(super) struct WorkloadsPage {
    #[serde(default)]
    pub(super) counting_since: Option<f64>,
    pub(super) snapshot_time: f64,
    #[serde(default)]
    pub(super) probes: Vec<ProbeEntry>,
    #[serde(default)]
    pub(super) lost: BTreeMap<String, Option<u64>>,
    pub(super) next: Option<String>,
    pub(super) workloads: Vec<WorkloadEntry>,
    /// First calls with their processes, the newest first; only on the first page.
    #[serde(default)]
    pub(super) first_calls: Vec<FirstCallEntry>,
}

/// A first call of a cgroup.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FirstCallEntry {
    workload: Labels,
    abi: String,
    syscall: String,
    pid: u32,
    comm: String,
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
            let help = LOSS_REASONS.iter().find(|known| known.name == reason).map_or("", |known| known.help);
            Some(if help.is_empty() {
                format!("lost {count}: {}", printable(reason))
            } else {
                format!("lost {count}: {help}")
            })
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
    /// When it started, if the daemon saw that.
    #[serde(default)]
    pub(super) started: Option<f64>,
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
    /// Whether it belongs to the start of its workload, or of the daemon.
    #[serde(default)]
    pub(super) during_start: bool,
    /// The process that made it first, if that is known.
    #[serde(skip)]
    pub(super) process: Option<FirstProcess>,
}

/// A process that made a call first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FirstProcess {
    pub(super) pid: u32,
    /// Safe to show.
    pub(super) comm: String,
}

impl NewCallEntry {
    /// Returns the calls of single workloads, with their processes.
    pub(super) fn completed(calls: Vec<Self>, first_calls: &[FirstCallEntry]) -> Vec<Self> {
        // The oldest is the last, and replaces the others.
        let processes: HashMap<_, _> =
            first_calls.iter().map(|first| ((&first.workload, &*first.abi, &*first.syscall), first)).collect();
        let is_one = |call: &Self| !call.workload.get("cgroup").is_some_and(|cgroup| cgroup.starts_with('('));
        let complete = |call: Self| {
            let first = processes.get(&(&call.workload, &*call.abi, &*call.syscall));
            let process = first.map(|first| FirstProcess { pid: first.pid, comm: printable(&first.comm) });
            Self { process, ..call }
        };
        calls.into_iter().filter(is_one).map(complete).collect()
    }

    /// Returns the worst severity with which incidents have this call.
    pub(super) fn severity<'a>(&self, incidents: &'a [IncidentEntry]) -> Option<&'a str> {
        let calls = incidents.iter().filter(|incident| incident.workload == self.workload);
        let calls = calls.flat_map(|incident| &incident.calls);
        let same = calls.filter(|call| call.abi == self.abi && call.syscall == self.syscall);
        same.map(|call| call.severity.as_str()).max_by_key(|severity| rank(severity))
    }
}

/// Returns the order of severities. Those that this version does not know are the lowest.
pub(super) fn rank(severity: &str) -> usize {
    ["info", "warning", "critical"].iter().position(|known| *known == severity).map_or(0, |position| position + 1)
}

/// Incidents of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flagged {
    pub(super) number: usize,
    /// The worst severity.
    pub(super) severity: String,
}

impl Flagged {
    /// Returns the incidents of each workload.
    pub(super) fn by_workload(incidents: &[IncidentEntry]) -> HashMap<&Labels, Self> {
        let mut flagged: HashMap<&Labels, Self> = HashMap::new();
        for incident in incidents {
            let new = || Self { number: 0, severity: incident.severity.clone() };
            let known = flagged.entry(&incident.workload).or_insert_with(new);
            known.number += 1;
            if rank(&incident.severity) > rank(&known.severity) {
                known.severity.clone_from(&incident.severity);
            }
        }
        flagged
    }
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
    #[serde(default)]
    pub(super) argument: String,
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
    use serde_json::json;

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
        let page: WorkloadsPage = serde_json::from_value(json!({
            "snapshot_time": 1.5, "workloads": [],
            "probes": [{"probe": "sys_enter", "problem": null}, {"probe": "cgroup", "problem": "not permitted"}],
            "lost": {"recursion": 0, "series_full": 7, "reclaim": null},
        }))
        .unwrap();
        let lost = "lost 7: ".to_owned() + LOSS_REASONS.iter().find(|known| known.name == "series_full").unwrap().help;
        assert_eq!(page.problems(), ["probe cgroup: not permitted", &lost]);
    }

    #[test]
    fn a_new_call_has_its_process_and_the_worst_severity_of_its_incidents() {
        let first = |pid, comm: &str| {
            let entry =
                json!({"workload": {"cgroup": "/a"}, "abi": "x86_64", "syscall": "mount", "pid": pid, "comm": comm});
            serde_json::from_value::<FirstCallEntry>(entry).unwrap()
        };
        let call = |id: &str, cgroup: &str| {
            let entry = json!({
                "workload_id": id, "workload": {"cgroup": cgroup}, "abi": "x86_64", "syscall": "mount", "calls": 1,
                "first_seen": 1.0, "during_start": false,
            });
            serde_json::from_value::<NewCallEntry>(entry).unwrap()
        };
        let first_calls = [first(8, "newer"), first(7, "sh\u{1b}")];
        let calls = NewCallEntry::completed(vec![call("a", "/a"), call("b", "/b"), call("g", "(gone)")], &first_calls);
        let process = Some(FirstProcess { pid: 7, comm: "sh\\u{1b}".to_owned() });
        assert_eq!(calls.iter().map(|call| &call.process).collect::<Vec<_>>(), [&process, &None]);
        let incident = |severity: &str, syscall: &str| {
            let entry = json!({
                "id": severity, "message": "", "severity": severity, "started": 1.0, "last_seen": 1.0, "count": 1,
                "workload": {"cgroup": "/a"},
                "calls": [{"violation": "v", "abi": "x86_64", "syscall": syscall, "denied": false, "policy": "p",
                           "severity": severity, "reason": "deny_list", "count": 1}],
            });
            serde_json::from_value::<IncidentEntry>(entry).unwrap()
        };
        let incidents = [incident("warning", "mount"), incident("critical", "mount"), incident("info", "bpf")];
        let severities = calls.iter().map(|call| call.severity(&incidents)).collect::<Vec<_>>();
        assert_eq!(severities, [Some("critical"), None]);
    }
}
