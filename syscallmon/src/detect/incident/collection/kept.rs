//! One incident, and what is not noticed yet.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    detect::{
        Severity, Violation,
        incident::{Incident, IncidentNotice, IncidentState, MAX_CALLS, NewCall, record::order},
    },
    process::{Process, ProcessKey, ProcessTree},
    stable_id::StableId,
    workload::Workload,
};

/// Maximum processes of an incident that are remembered.
const MAX_PROCESSES: usize = 32;

/// Changes within this time are one notice. A critical call does not wait if it is the first one, or the last notice is
/// older.
const COALESCE: Duration = Duration::from_secs(1);

/// Memory for each remembered process and violation, with the indexes.
const ENTRY_BYTES: usize = 128;

/// An incident, and what is not noticed yet.
#[derive(Clone, Debug)]
pub(super) struct KeptIncident {
    pub(super) incident: Arc<Incident>,
    pub(super) processes: Vec<ProcessKey>,
    pub(super) violations: Vec<StableId>,
    /// When the last call was reported.
    pub(super) active: Instant,
    /// Calls that were not noticed yet.
    pub(super) news: Vec<NewCall>,
    pub(super) due: Option<Instant>,
    /// The highest severity that was noticed.
    pub(super) noticed: Option<Severity>,
    pub(super) is_resolved: bool,
    /// When it was last noticed.
    pub(super) noticed_at: Option<Instant>,
    /// Whether its process is the root of the tree, and not one that had ended before it was looked up.
    pub(super) has_root: bool,
}

impl KeptIncident {
    pub(super) fn new(id: StableId, violation: &Violation, now: Instant) -> Self {
        let Violation { workload, metadata, severity, time, last_seen, .. } = violation;
        let incident = Incident {
            id,
            state: IncidentState::New,
            severity: *severity,
            started: *time,
            last_seen: *last_seen,
            count: 0,
            workload: workload.clone(),
            metadata: metadata.clone(),
            process: None,
            calls: Vec::new(),
            calls_omitted: 0,
        };
        Self {
            incident: Arc::new(incident),
            processes: Vec::new(),
            violations: Vec::new(),
            active: now,
            news: Vec::new(),
            due: None,
            noticed: None,
            is_resolved: false,
            noticed_at: None,
            has_root: false,
        }
    }

    /// Adds a violation, or its newest state. `known` is its count so far, if the incident has it.
    pub(super) fn add(&mut self, violation: &Arc<Violation>, known: Option<u64>, is_new: bool, now: Instant) {
        let Self { incident, news, .. } = self;
        let incident = Arc::make_mut(incident);
        let count = violation.count;
        // A violation that found no room among the violations begins to count again.
        incident.count += known.map_or(count, |known| if count < known { count } else { count - known });
        incident.severity = incident.severity.max(violation.severity);
        incident.started = incident.started.min(violation.time);
        incident.last_seen = incident.last_seen.max(violation.last_seen);
        incident.metadata = violation.metadata.clone();
        if let Some(process) = &violation.process
            && (incident.process.is_none() || (!self.has_root && !is_alone(process)))
        {
            incident.process = Some(root(process));
            self.has_root = !is_alone(process);
        }
        if known.is_some() {
            if let Some(call) = incident.calls.iter_mut().find(|call| is_same(call, violation)) {
                *call = Arc::clone(violation);
                // A changed policy may have changed the severity.
                incident.calls.sort_by_key(|call| order(call));
            }
        } else {
            let at = incident.calls.partition_point(|call| order(call) <= order(violation));
            incident.calls.insert(at, Arc::clone(violation));
            incident.calls_omitted += u64::from(incident.calls.len() > MAX_CALLS);
            incident.calls.truncate(MAX_CALLS);
            self.violations.push(violation.id());
            let at = news.partition_point(|new| order(&new.violation) <= order(violation));
            news.insert(at, NewCall { violation: Arc::clone(violation), is_new });
            news.truncate(MAX_CALLS);
        }
        (self.active, self.is_resolved) = (now, false);
    }

    /// Returns when a change is noticed: repeats and a first critical call at once, other critical calls a while after
    /// the last notice, and lesser calls with those that follow.
    pub(super) fn due_after(&self, is_call: bool, severity: Severity, now: Instant) -> Instant {
        let is_worse = self.noticed.is_none_or(|noticed| noticed < severity);
        let due = match severity {
            _ if !is_call => now,
            Severity::Critical if is_worse => now,
            Severity::Critical => self.noticed_at.map_or(now, |noticed| now.max(noticed + COALESCE)),
            Severity::Info | Severity::Warning => now + COALESCE,
        };
        match self.due {
            // A repeat does not hasten calls that wait for others.
            Some(before) if !is_call => before,
            Some(before) => before.min(due),
            None => due,
        }
    }

    /// Remembers the processes of a violation's tree. Returns those that are new.
    pub(super) fn remember(&mut self, violation: &Violation) -> Vec<ProcessKey> {
        let known = self.processes.len();
        for key in violation.process.iter().flat_map(tree) {
            if self.processes.len() < MAX_PROCESSES && !self.processes.contains(&key) {
                self.processes.push(key);
            }
        }
        self.processes[known..].to_vec()
    }

    pub(super) fn notice(&mut self, now: Instant) -> IncidentNotice {
        let state = match (self.noticed, self.news.is_empty()) {
            (None, _) => IncidentState::New,
            (Some(_), false) => IncidentState::Grown,
            (Some(_), true) => IncidentState::Repeated,
        };
        Arc::make_mut(&mut self.incident).state = state;
        (self.noticed, self.noticed_at, self.due) = (Some(self.incident.severity), Some(now), None);
        IncidentNotice { incident: Arc::clone(&self.incident), news: std::mem::take(&mut self.news) }
    }

    /// Marks it as resolved, once, if it was noticed.
    pub(super) fn resolve(&mut self) -> Option<IncidentNotice> {
        if self.is_resolved || self.noticed.is_none() || self.due.is_some() {
            return None;
        }
        self.is_resolved = true;
        Arc::make_mut(&mut self.incident).state = IncidentState::Resolved;
        Some(IncidentNotice { incident: Arc::clone(&self.incident), news: Vec::new() })
    }

    pub(super) fn rename(&mut self, to: &Workload) {
        let renamed =
            |violation: &Arc<Violation>| Arc::new(Violation { workload: to.clone(), ..(**violation).clone() });
        let incident = Arc::make_mut(&mut self.incident);
        incident.workload = to.clone();
        for call in &mut incident.calls {
            *call = renamed(call);
        }
        for new in &mut self.news {
            new.violation = renamed(&new.violation);
        }
        self.violations = incident.calls.iter().map(|call| call.id()).collect();
    }

    pub(super) fn remove_calls(&mut self, over: &[StableId]) {
        let incident = Arc::make_mut(&mut self.incident);
        let (removed, left) = incident.calls.drain(..).partition::<Vec<_>, _>(|call| over.contains(&call.id()));
        incident.calls = left;
        incident.count = incident.count.saturating_sub(removed.iter().map(|call| call.count).sum());
        let severities = incident.calls.iter().map(|call| call.severity);
        incident.severity = severities.max().unwrap_or_default();
        self.violations.retain(|violation| !over.contains(violation));
        self.news.retain(|new| !over.contains(&new.violation.id()));
    }

    pub(super) fn bytes(&self) -> usize {
        let entries = self.processes.len() + self.violations.len();
        size_of::<Self>() + self.incident.bytes() + entries * ENTRY_BYTES
    }
}

/// Whether two violations of an incident are one.
fn is_same(one: &Violation, other: &Violation) -> bool {
    (one.call, one.denied, &one.policy) == (other.call, other.denied, &other.policy)
}

/// Returns the root of the tree of a process.
fn root(process: &Process) -> Process {
    let root = process.tree.root.as_deref().unwrap_or(process);
    Process { tree: ProcessTree::default(), ..root.clone() }
}

pub(super) fn root_key(process: &Process) -> ProcessKey {
    process.tree.ancestors.last().copied().unwrap_or(own_key(process))
}

fn own_key(process: &Process) -> ProcessKey {
    ProcessKey { pid: process.pid, started: process.tree.started }
}

/// Whether a process and its parent had ended before they were looked up, so its tree is unknown.
fn is_alone(process: &Process) -> bool {
    let ProcessTree { started, ancestors, knows_parent, .. } = &process.tree;
    ancestors.is_empty() && started.is_none() && !knows_parent
}

/// Returns the processes of its tree that are known by a violation: the root, the process, and those between. If
/// that is unknown, the parent, by its id.
pub(super) fn tree(process: &Process) -> impl Iterator<Item = ProcessKey> {
    let parent = process.parents.first().filter(|_| is_alone(process));
    let parent = parent.map(|parent| ProcessKey { pid: parent.pid, started: None });
    parent.into_iter().chain(process.tree.ancestors.iter().rev().copied()).chain([own_key(process)])
}
