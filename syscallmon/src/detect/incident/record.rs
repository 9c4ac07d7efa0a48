//! An incident, with its calls and the root of its process tree.

use std::{cmp::Reverse, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize, Serializer};

use super::message;
use crate::{
    clock::unix_seconds,
    detect::{Reason, Severity, Violation},
    fair_share::Tenant,
    process::Process,
    stable_id::StableId,
    syscalls::Call,
    workload::{Labels, Workload},
};

/// Maximum calls that an incident lists.
pub const MAX_CALLS: usize = 64;

/// Unexpected calls of one process tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its id: the same while it lasts, and over a restart as long as the root of the process tree lives.
    pub id: StableId,
    /// Its last change.
    pub state: IncidentState,
    /// The highest severity of its calls.
    pub severity: Severity,
    /// When the first call was made.
    pub started: SystemTime,
    /// When the last call was seen.
    pub last_seen: SystemTime,
    /// Number of calls so far.
    pub count: u64,
    /// The workload, by the labels of its series.
    pub workload: Workload,
    /// All metadata of the workload.
    pub metadata: Labels,
    /// The root of the process tree; absent if only the counters have reported calls.
    pub process: Option<Process>,
    /// The worst calls, at most [`MAX_CALLS`]: by severity, then those that ran, then by time.
    pub calls: Vec<Arc<Violation>>,
    /// Number of lesser calls that are not listed.
    pub calls_omitted: u64,
}

/// The last change of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// It has begun.
    New,
    /// It has new calls.
    Grown,
    /// Known calls were made again.
    Repeated,
    /// No call was made for `alert.resolve_after`.
    Resolved,
}

/// A notice: an incident has changed.
#[derive(Clone, Debug)]
pub struct IncidentNotice {
    /// Its current state.
    pub incident: Arc<Incident>,
    /// Calls since the last notice, the worst first, at most [`MAX_CALLS`].
    pub news: Vec<NewCall>,
}

/// A call that has joined an incident.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// The violation.
    pub violation: Arc<Violation>,
    /// Whether the violation is new. Otherwise the earlier incident is gone.
    pub is_new: bool,
}

/// Order of calls: the worst first.
pub(super) fn order(violation: &Violation) -> impl Ord + use<> {
    (Reverse(violation.severity), Reverse(violation.class().rank()), violation.time)
}

impl Incident {
    /// The section of the documents that helps with an incident.
    pub const RUNBOOK: &str = "https://github.com/syscallmon/syscallmon/blob/main/docs/alerts.md#unexpectedsyscall";

    /// Returns one sentence: the pod or workload, the program, and what it did.
    #[must_use]
    pub fn message(&self) -> String {
        message(self)
    }

    /// Returns its number of different calls.
    #[must_use]
    pub fn number_of_calls(&self) -> u64 {
        self.calls.len() as u64 + self.calls_omitted
    }

    /// Returns its tenant.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant::of(&self.workload, &self.metadata)
    }

    /// Returns its approximate memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let calls: usize = self.calls.iter().map(|call| call.bytes()).sum();
        size_of::<Self>() + calls + self.process.as_ref().map_or(0, Process::bytes)
    }
}

/// The documented JSON object, without what only a record of an alert has.
impl Serialize for Incident {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            id: StableId,
            state: IncidentState,
            message: String,
            severity: Severity,
            #[serde(serialize_with = "unix_seconds")]
            started: SystemTime,
            #[serde(serialize_with = "unix_seconds")]
            last_seen: SystemTime,
            count: u64,
            workload: &'a Workload,
            metadata: &'a Labels,
            #[serde(skip_serializing_if = "Option::is_none")]
            process: Option<&'a Process>,
            #[serde(serialize_with = "calls")]
            calls: &'a [Arc<Violation>],
            calls_omitted: u64,
            runbook_url: &'static str,
        }
        let Self { id, state, severity, started, last_seen, count, workload, metadata, process, calls, .. } = self;
        Flat {
            id: *id,
            state: *state,
            message: self.message(),
            severity: *severity,
            started: *started,
            last_seen: *last_seen,
            count: *count,
            workload,
            metadata,
            process: process.as_ref(),
            calls,
            calls_omitted: self.calls_omitted,
            runbook_url: Self::RUNBOOK,
        }
        .serialize(serializer)
    }
}

/// Writes violations without what the incident has: workload and metadata.
fn calls<S: Serializer>(calls: &[Arc<Violation>], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Flat<'a> {
        violation: StableId,
        #[serde(flatten)]
        call: Call,
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
        denied: bool,
        policy: &'a str,
        severity: Severity,
        reason: Reason,
        runtime_default_allows: bool,
        count: u64,
        #[serde(serialize_with = "unix_seconds")]
        first_seen: SystemTime,
        #[serde(serialize_with = "unix_seconds")]
        last_seen: SystemTime,
        #[serde(skip_serializing_if = "Option::is_none")]
        process: Option<&'a Process>,
    }
    serializer.collect_seq(calls.iter().map(|call| Flat {
        violation: call.id(),
        call: call.call,
        number: call.number,
        denied: call.denied,
        policy: &call.policy,
        severity: call.severity,
        reason: call.reason,
        runtime_default_allows: call.runtime_default_allows,
        count: call.count,
        first_seen: call.time,
        last_seen: call.last_seen,
        process: call.process.as_ref(),
    }))
}
