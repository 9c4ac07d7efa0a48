//! Violations and incidents in the form in which they outlast the daemon.
//!
//! Texts are owned, names of calls are looked up again, and moments of the monotonic clock are ages. An age is relative
//! to the moment at which the state was taken.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Incident, IncidentState, NewCall, Reason, Severity, Violation};
use crate::{
    process::{Process, ProcessTree},
    stable_id::StableId,
    syscalls::{Call, UNKNOWN, names},
    workload::{Labels, SavedWorkload},
};

/// A call that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown call {syscall:?} of the ABI {abi:?}")]
pub struct UnknownCall {
    abi: String,
    syscall: String,
}

/// Returns how long ago a moment was.
#[must_use]
pub fn age(now: Instant, moment: Instant) -> Duration {
    now.saturating_duration_since(moment)
}

/// Returns the moment this long ago; `now` if the clock does not reach back that far.
#[must_use]
pub fn moment(now: Instant, age: Duration) -> Instant {
    now.checked_sub(age).unwrap_or(now)
}

/// A call by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedCall {
    abi: String,
    syscall: String,
}

impl From<Call> for SavedCall {
    fn from(Call { abi, syscall }: Call) -> Self {
        Self { abi: abi.to_owned(), syscall: syscall.to_owned() }
    }
}

impl TryFrom<SavedCall> for Call {
    type Error = UnknownCall;

    fn try_from(SavedCall { abi, syscall }: SavedCall) -> Result<Self, UnknownCall> {
        if syscall == UNKNOWN
            && let Some(abi) = names::ABIS.into_iter().find(|known| *known == abi)
        {
            return Ok(Self { abi, syscall: UNKNOWN });
        }
        names::call(&abi, &syscall).ok_or(UnknownCall { abi, syscall })
    }
}

/// A process with its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedProcess {
    #[serde(flatten)]
    process: Process,
    tree: ProcessTree,
}

impl From<&Process> for SavedProcess {
    fn from(process: &Process) -> Self {
        let tree = process.tree.clone();
        Self { process: Process { tree: ProcessTree::default(), ..process.clone() }, tree }
    }
}

impl From<SavedProcess> for Process {
    fn from(SavedProcess { process, tree }: SavedProcess) -> Self {
        Self { tree, ..process }
    }
}

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedViolation {
    time: SystemTime,
    last_seen: SystemTime,
    count: u64,
    workload: SavedWorkload,
    metadata: Labels,
    call: SavedCall,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    denied: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<SavedProcess>,
    policy: String,
    severity: Severity,
    reason: Reason,
    runtime_default_allows: bool,
}

impl From<&Violation> for SavedViolation {
    fn from(violation: &Violation) -> Self {
        let Violation { time, last_seen, count, number, denied, severity, reason, runtime_default_allows, .. } =
            *violation;
        Self {
            time,
            last_seen,
            count,
            workload: (&violation.workload).into(),
            metadata: violation.metadata.clone(),
            call: violation.call.into(),
            number,
            denied,
            process: violation.process.as_ref().map(SavedProcess::from),
            policy: violation.policy.to_string(),
            severity,
            reason,
            runtime_default_allows,
        }
    }
}

impl TryFrom<SavedViolation> for Violation {
    type Error = UnknownCall;

    fn try_from(saved: SavedViolation) -> Result<Self, UnknownCall> {
        let SavedViolation { time, last_seen, count, number, denied, severity, reason, runtime_default_allows, .. } =
            saved;
        Ok(Self {
            time,
            last_seen,
            count,
            workload: saved.workload.into(),
            metadata: saved.metadata,
            call: saved.call.try_into()?,
            number,
            denied,
            process: saved.process.map(Process::from),
            policy: saved.policy.into(),
            severity,
            reason,
            runtime_default_allows,
        })
    }
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedIncident {
    id: StableId,
    state: IncidentState,
    severity: Severity,
    started: SystemTime,
    last_seen: SystemTime,
    count: u64,
    workload: SavedWorkload,
    metadata: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<SavedProcess>,
    calls: Vec<SavedViolation>,
    calls_omitted: u64,
}

impl From<&Incident> for SavedIncident {
    fn from(incident: &Incident) -> Self {
        let Incident { id, state, severity, started, last_seen, count, calls_omitted, .. } = *incident;
        Self {
            id,
            state,
            severity,
            started,
            last_seen,
            count,
            workload: (&incident.workload).into(),
            metadata: incident.metadata.clone(),
            process: incident.process.as_ref().map(SavedProcess::from),
            calls: incident.calls.iter().map(|call| (&**call).into()).collect(),
            calls_omitted,
        }
    }
}

impl TryFrom<SavedIncident> for Incident {
    type Error = UnknownCall;

    fn try_from(saved: SavedIncident) -> Result<Self, UnknownCall> {
        let SavedIncident { id, state, severity, started, last_seen, count, calls_omitted, .. } = saved;
        let calls = saved.calls.into_iter().map(|call| Violation::try_from(call).map(Into::into));
        Ok(Self {
            id,
            state,
            severity,
            started,
            last_seen,
            count,
            workload: saved.workload.into(),
            metadata: saved.metadata,
            process: saved.process.map(Process::from),
            calls: calls.collect::<Result<_, _>>()?,
            calls_omitted,
        })
    }
}

/// A call that was not noticed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedNewCall {
    violation: SavedViolation,
    is_new: bool,
}

impl From<&NewCall> for SavedNewCall {
    fn from(NewCall { violation, is_new }: &NewCall) -> Self {
        Self { violation: (&**violation).into(), is_new: *is_new }
    }
}

impl TryFrom<SavedNewCall> for NewCall {
    type Error = UnknownCall;

    fn try_from(SavedNewCall { violation, is_new }: SavedNewCall) -> Result<Self, UnknownCall> {
        Ok(Self { violation: Arc::new(Violation::try_from(violation)?), is_new })
    }
}
