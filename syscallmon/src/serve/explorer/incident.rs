//! `/incident/ID` and `/violation/ID`: what was unexpected, who did it, why it was reported, and what to do.

mod reason;
mod tree;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State as Extract},
    http::{HeaderMap, Uri},
    response::Response,
};

use self::{
    reason::{Group, groups},
    tree::{TreeLine, tree},
};
use super::{
    Asked, Missing, answer, find,
    frame::{Frame, now},
    text::{Moment, Name, times},
    workloads::{calls_in_short, sentence},
};
use crate::{
    detect::{
        BUILT_IN, Incident, IncidentState, Policy, PolicyInForce, Reason, ReportedCall, Severity, Violation,
        exceptions, exceptions_yaml,
    },
    serve::Site,
    stable_id::StableId,
    view::View,
};

const MISSING: Missing = Missing {
    what: "There is no such incident or violation.",
    hint: "This node keeps them for a day, and each node has its own. All that are kept are at",
    list: "/incidents",
};

#[derive(Template)]
#[template(path = "explorer/incident.html")]
pub(super) struct IncidentPage {
    frame: Frame,
    /// `mount, unshare, 3 more`.
    title: String,
    /// Who made how many calls.
    sentence: Name,
    severity: Severity,
    state: &'static str,
    started: Moment,
    seen: Moment,
    count: String,
    workload: Name,
    workload_id: StableId,
    is_workload_there: bool,
    metadata: Vec<(&'static str, Name)>,
    /// The ancestors, the root of the process tree, and the processes that made the calls.
    tree: Vec<TreeLine>,
    groups: Vec<Group>,
    calls: usize,
    calls_omitted: u64,
    /// The exceptions as YAML. The error says what prevents them.
    exception: Result<String, Name>,
    /// Whether the exceptions are a file of their own.
    is_new_file: bool,
    command: String,
    runbook: &'static str,
}

/// Serves an incident.
pub(super) async fn of_incident(
    Extract(site): Extract<Site>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    answer(site, (uri, headers), move |view, asked| {
        let incident = find(&id, view.incidents.iter(), |incident| incident.id).ok_or(MISSING)?;
        Ok(IncidentPage::new(view, incident, None, asked))
    })
    .await
}

/// Serves the incident of a violation.
pub(super) async fn of_violation(
    Extract(site): Extract<Site>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    answer(site, (uri, headers), move |view, asked| {
        let violation = find(&id, view.violations.kept.iter(), |violation| violation.id()).ok_or(MISSING)?;
        let id = violation.id();
        let has_it = |incident: &&Arc<Incident>| {
            incident.workload == violation.workload && incident.calls.iter().any(|call| call.id() == id)
        };
        let incident = view.incidents.iter().filter(has_it).max_by_key(|incident| incident.last_seen);
        let incident = incident.map_or_else(|| Arc::new(alone(violation)), Arc::clone);
        Ok(IncidentPage::new(view, &incident, Some(id), asked))
    })
    .await
}

/// Returns an incident for a violation that no kept incident has.
fn alone(violation: &Arc<Violation>) -> Incident {
    let Violation { workload, metadata, severity, time, last_seen, count, process, .. } = &**violation;
    let root = process.as_ref().map(|process| process.tree.root.as_deref().unwrap_or(process));
    Incident {
        id: violation.id(),
        state: IncidentState::New,
        severity: *severity,
        started: *time,
        last_seen: *last_seen,
        count: *count,
        workload: workload.clone(),
        metadata: metadata.clone(),
        process: root.cloned(),
        calls: vec![Arc::clone(violation)],
        calls_omitted: 0,
    }
}

impl IncidentPage {
    fn new(view: &View, incident: &Incident, chosen: Option<StableId>, asked: Asked) -> Self {
        let Incident { severity, state, workload, metadata, calls, calls_omitted, .. } = incident;
        let [started, seen] = [incident.started, incident.last_seen].map(|time| Moment::new(time, now(view)));
        let ids: Vec<String> = calls.iter().map(|call| call.id().to_string()).collect();
        Self {
            command: format!("syscallmon policy allow{} {}", asked.frame.daemon, ids.join(" ")),
            frame: asked.frame,
            title: calls_in_short(calls.iter().map(AsRef::as_ref), incident.number_of_calls()),
            sentence: sentence(incident),
            severity: *severity,
            state: match state {
                IncidentState::New | IncidentState::Grown | IncidentState::Repeated => "",
                IncidentState::Resolved => "It is over.",
            },
            started,
            seen,
            count: times(incident.count),
            workload: Name::short(&workload.to_string()),
            workload_id: workload.id(),
            is_workload_there: view.model.workloads().any(|(known, _)| known == workload),
            metadata: metadata.iter().map(|(label, value)| (label, Name::whole(value))).collect(),
            tree: tree(incident),
            groups: groups(view, incident, chosen),
            calls: calls.len(),
            calls_omitted: *calls_omitted,
            exception: exception(view, calls),
            is_new_file: calls.iter().all(|call| is_by_built_in(view, call)),
            runbook: Incident::RUNBOOK,
        }
    }
}

/// Whether the built-in policy reported a call, so that its exception is a policy of its own.
fn is_by_built_in(view: &View, violation: &Violation) -> bool {
    let in_force = view.policies.iter().find(|policy| policy.name().as_ref() == BUILT_IN);
    let origin = in_force.map(|policy| policy.origin());
    violation.policy.as_ref() == BUILT_IN && origin == view.policies.built_in().map(Policy::origin)
}

/// Returns the narrowest exception for all of these calls.
fn exception(view: &View, calls: &[Arc<Violation>]) -> Result<String, Name> {
    let reported: Vec<ReportedCall> = calls.iter().map(|call| reported(call)).collect();
    let policy = |policy: &Arc<Policy>| PolicyInForce {
        name: policy.name().to_string(),
        origin: policy.origin().to_string(),
        learns: policy.learn().is_some(),
    };
    let policies: Vec<PolicyInForce> = view.policies.iter().map(policy).collect();
    let exceptions = exceptions(&reported, &policies).map_err(|error| Name::whole(&error.to_string()))?;
    Ok(exceptions_yaml(&exceptions))
}

fn reported(violation: &Violation) -> ReportedCall {
    ReportedCall {
        id: violation.id().to_string(),
        metadata: violation.metadata.clone(),
        abi: violation.call.abi.to_owned(),
        syscall: violation.call.syscall.to_owned(),
        policy: violation.policy.to_string(),
        is_denied: violation.reason == Reason::DenyList,
    }
}
