//! `/incident/ID` and `/violation/ID`: what was unexpected, who did it, why it was reported, and what to do.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State as Extract},
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{
    Asked, Missing, answer, find,
    frame::{Frame, now},
    text::{Moment, Name, times},
    workload::program,
    workloads::{calls_in_short, program_in_short},
};
use crate::{
    detect::{
        Incident, IncidentState, PolicyInForce, Reason, ReportedCall, Severity, Violation, call_text, exceptions,
        exceptions_yaml,
    },
    process::Process,
    serve::Site,
    stable_id::StableId,
    syscalls::{Call, IO_URING},
    view::View,
    workload::{Labels, Workload},
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
    program: Option<Name>,
    severity: Severity,
    state: &'static str,
    started: Moment,
    seen: Moment,
    count: String,
    workload: Name,
    workload_id: StableId,
    is_workload_there: bool,
    metadata: Vec<(&'static str, Name)>,
    /// The ancestors, the oldest first, and the process itself.
    tree: Vec<TreeLine>,
    groups: Vec<Group>,
    calls: usize,
    calls_omitted: u64,
    /// The exceptions as YAML. The error says what prevents them.
    exception: Result<String, Name>,
    command: String,
    runbook: &'static str,
}

/// A process of the tree.
struct TreeLine {
    depth: usize,
    program: Name,
    pid: u32,
    uid: Option<u32>,
    command_line: Option<Name>,
}

/// Calls that were reported for the same reason.
struct Group {
    severity: Severity,
    why: Name,
    meaning: &'static str,
    decision: Option<Name>,
    runtime_default: &'static str,
    calls: Vec<CallLine>,
}

/// An unexpected call.
struct CallLine {
    id: StableId,
    is_chosen: bool,
    call: String,
    count: String,
    first: Moment,
    /// Its process, if that is another one than the incident's, or that it is not known.
    by: Option<Name>,
}

/// What is reported: an incident, or a violation alone.
struct Reported<'a> {
    severity: Severity,
    state: &'static str,
    times: [std::time::SystemTime; 2],
    count: u64,
    workload: &'a Workload,
    metadata: &'a Labels,
    process: Option<&'a Process>,
    calls: Vec<&'a Violation>,
    calls_omitted: u64,
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
        Ok(IncidentPage::new(view, &Reported::incident(incident), None, asked))
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
        let reported = incident.map_or_else(|| Reported::violation(violation), |incident| Reported::incident(incident));
        Ok(IncidentPage::new(view, &reported, Some(id), asked))
    })
    .await
}

impl<'a> Reported<'a> {
    fn incident(incident: &'a Incident) -> Self {
        Self {
            severity: incident.severity,
            state: match incident.state {
                IncidentState::New | IncidentState::Grown | IncidentState::Repeated => "",
                IncidentState::Resolved => "It is over.",
            },
            times: [incident.started, incident.last_seen],
            count: incident.count,
            workload: &incident.workload,
            metadata: &incident.metadata,
            process: incident.process.as_ref(),
            calls: incident.calls.iter().map(AsRef::as_ref).collect(),
            calls_omitted: incident.calls_omitted,
        }
    }

    fn violation(violation: &'a Violation) -> Self {
        Self {
            severity: violation.severity,
            state: "",
            times: [violation.time, violation.last_seen],
            count: violation.count,
            workload: &violation.workload,
            metadata: &violation.metadata,
            process: violation.process.as_ref(),
            calls: vec![violation],
            calls_omitted: 0,
        }
    }
}

impl IncidentPage {
    fn new(view: &View, reported: &Reported, chosen: Option<StableId>, asked: Asked) -> Self {
        let [started, seen] = reported.times.map(|time| Moment::new(time, now(view)));
        let number = reported.calls.len() as u64 + reported.calls_omitted;
        let ids: Vec<String> = reported.calls.iter().map(|call| call.id().to_string()).collect();
        Self {
            command: format!("syscallmon policy allow{} {}", asked.frame.daemon, ids.join(" ")),
            frame: asked.frame,
            title: calls_in_short(reported.calls.iter().copied(), number),
            program: reported.process.map(program_in_short),
            severity: reported.severity,
            state: reported.state,
            started,
            seen,
            count: times(reported.count),
            workload: Name::short(&reported.workload.to_string()),
            workload_id: reported.workload.id(),
            is_workload_there: view.model.workloads().any(|(workload, _)| workload == reported.workload),
            metadata: reported.metadata.iter().map(|(label, value)| (label, Name::whole(value))).collect(),
            tree: tree(reported.process),
            groups: groups(view, reported, chosen),
            calls: reported.calls.len(),
            calls_omitted: reported.calls_omitted,
            exception: exception(view, &reported.calls),
            runbook: Incident::RUNBOOK,
        }
    }
}

fn tree(process: Option<&Process>) -> Vec<TreeLine> {
    let Some(process) = process else { return Vec::new() };
    let name = |exe: &Option<String>, comm: &str| Name::whole(exe.as_deref().unwrap_or(comm));
    let parents = process.parents.iter().rev().enumerate().map(|(depth, parent)| TreeLine {
        depth,
        program: name(&parent.exe, &parent.comm),
        pid: parent.pid,
        uid: None,
        command_line: None,
    });
    let itself = TreeLine {
        depth: process.parents.len(),
        program: name(&process.exe, &process.comm),
        pid: process.pid,
        uid: Some(process.uid),
        command_line: process.command_line.as_ref().map(|arguments| Name::whole(&arguments.join(" "))),
    };
    parents.chain([itself]).collect()
}

/// Returns the calls, those with the same reason together, in the order of the incident: the worst first.
fn groups(view: &View, reported: &Reported, chosen: Option<StableId>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for violation in &reported.calls {
        let new = Group::new(view, violation);
        let call = CallLine::new(view, violation, reported.process, chosen);
        match groups.iter_mut().find(|group| group.is_like(&new)) {
            Some(group) => group.calls.push(call),
            None => groups.push(Group { calls: vec![call], ..new }),
        }
    }
    groups
}

impl Group {
    fn new(view: &View, violation: &Violation) -> Self {
        let Violation { call, policy, reason, severity, metadata, .. } = violation;
        let (why, meaning) = why(*reason, policy, *call);
        let in_force = view.policies.iter().find(|known| known.name() == policy);
        let id = view.facts.calls.id(call.abi, call.syscall);
        let decision =
            in_force.zip(id).map(|(policy, id)| policy.decision(metadata, id, &view.facts.calls).to_string());
        Self {
            severity: *severity,
            why: Name::whole(&why),
            meaning,
            decision: decision.as_deref().map(Name::whole),
            runtime_default: if violation.runtime_default_allows { "allows" } else { "denies" },
            calls: Vec::new(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let key = |group: &Self| (group.severity, group.meaning, group.runtime_default);
        key(self) == key(other) && self.why == other.why && self.decision == other.decision
    }
}

impl CallLine {
    fn new(view: &View, violation: &Violation, root: Option<&Process>, chosen: Option<StableId>) -> Self {
        let process = violation.process.as_ref();
        let other = process.filter(|process| root.is_none_or(|root| root.pid != process.pid));
        let by = other.map(|process| {
            let command_line = process.command_line.as_ref().map(|line| format!(": {}", line.join(" ")));
            Name::whole(&format!("{}{}", program(process), command_line.unwrap_or_default()))
        });
        Self {
            id: violation.id(),
            is_chosen: chosen == Some(violation.id()),
            call: call_text(violation),
            count: times(violation.count),
            first: Moment::new(violation.time, now(view)),
            by: if process.is_some() { by } else { Some(Name::whole("not known")) },
        }
    }
}

/// Returns why a call was reported, and what that means.
fn why(reason: Reason, policy: &str, call: Call) -> (String, &'static str) {
    match reason {
        Reason::DenyList => (
            format!("The deny list of policy \u{201c}{policy}\u{201d} has it."),
            "Somebody decided that this workload must never make the call. Treat it as an attack until you know better.",
        ),
        Reason::NotAllowed => (
            format!("Policy \u{201c}{policy}\u{201d} does not allow it."),
            "Ordinary programs of this kind do not need the call. A new version, a debugging session or an attacker may.",
        ),
        Reason::NotLearned => (
            format!("The baseline of policy \u{201c}{policy}\u{201d} has not learned it."),
            "The workload did not make the call while it learned. Something new happens: a rare operation, a new \
             version, or an attacker.",
        ),
        Reason::Abi if call.abi == IO_URING => (
            format!("Policy \u{201c}{policy}\u{201d} allows no io_uring operations."),
            "They do the work of system calls where seccomp does not see it. Few programs need them.",
        ),
        Reason::Abi => (
            format!("Policy \u{201c}{policy}\u{201d} allows no calls of this ABI."),
            "A 64-bit program makes calls of another ABI. Hardly any program does, but it is a way around filters.",
        ),
        Reason::UnknownNumber => (
            "The ABI has no system call of this number.".to_owned(),
            "A program tries a number that this kernel's tables lack: a newer call, or a search for weaknesses.",
        ),
    }
}

/// Returns the narrowest exception for all of these calls.
fn exception(view: &View, calls: &[&Violation]) -> Result<String, Name> {
    let reported: Vec<ReportedCall> = calls.iter().map(|call| reported(call)).collect();
    let policy = |policy: &Arc<crate::detect::Policy>| PolicyInForce {
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
