//! Groups violations to incidents. Pure: the caller passes the time.
//!
//! A violation joins the open incident of its process tree. Without a known process, it joins the newest open incident
//! of its workload. A repeat continues the incident of the violation.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Incident, IncidentNotice, IncidentState, MAX_CALLS, NewCall, record::order};
use crate::{
    detect::{Severity, Violation},
    fair_share::{Capacity, FairShare},
    process::{Process, ProcessKey, ProcessTree},
    stable_id::StableId,
    workload::{Label, Workload},
};

/// Maximum incidents that are kept, of all workloads together.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 16 << 20 };

/// Maximum processes of an incident that are remembered.
const MAX_PROCESSES: usize = 32;

/// Changes within this time are one notice. The first critical call of an incident does not wait.
const COALESCE: Duration = Duration::from_secs(1);

/// Memory for each remembered process and violation, with the indexes.
const ENTRY_BYTES: usize = 128;

/// How long incidents take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentTimes {
    /// A new violation joins an incident whose last call is not older.
    pub window: Duration,
    /// An incident without a call for this time is resolved.
    pub resolve_after: Duration,
}

impl Default for IncidentTimes {
    fn default() -> Self {
        Self { window: Duration::from_mins(10), resolve_after: Duration::from_mins(15) }
    }
}

/// The newest incidents.
#[derive(Debug)]
pub struct Incidents {
    times: IncidentTimes,
    kept: FairShare<StableId, KeptIncident>,
    /// The incident of each violation, and its count at that time.
    violations: HashMap<StableId, (StableId, u64)>,
    /// The last incident that had a process of this id.
    processes: HashMap<(Workload, u32), (StableId, ProcessKey)>,
    /// The incident of each workload that had the last call.
    newest: HashMap<Workload, StableId>,
    /// Changed incidents, and when each is noticed.
    due: BTreeSet<(Instant, StableId)>,
    /// Notices that wait for [`Self::take_notices`].
    ready: Vec<IncidentNotice>,
}

#[derive(Debug)]
struct KeptIncident {
    incident: Arc<Incident>,
    processes: Vec<ProcessKey>,
    violations: Vec<StableId>,
    /// When the last call was reported.
    active: Instant,
    /// Calls that were not noticed yet.
    news: Vec<NewCall>,
    due: Option<Instant>,
    /// The highest severity that was noticed.
    noticed: Option<Severity>,
    is_resolved: bool,
}

impl Default for Incidents {
    fn default() -> Self {
        Self::new(IncidentTimes::default())
    }
}

impl Incidents {
    /// Returns an empty collection.
    #[must_use]
    pub fn new(times: IncidentTimes) -> Self {
        Self {
            times,
            kept: FairShare::new(CAPACITY),
            violations: HashMap::new(),
            processes: HashMap::new(),
            newest: HashMap::new(),
            due: BTreeSet::new(),
            ready: Vec::new(),
        }
    }

    /// Adds a violation that is new, or has a higher count. Returns the incident that it belongs to.
    pub fn join(&mut self, violation: Violation, is_new: bool, now: Instant) -> StableId {
        let violation = Arc::new(violation);
        let found = self.find(&violation, now).and_then(|id| Some((id, self.kept.remove(&id)?)));
        let (id, mut kept) = found.unwrap_or_else(|| {
            let id = self.new_id(&violation);
            (id, KeptIncident::new(id, &violation, now))
        });
        let known = self.violations.insert(violation.id(), (id, violation.count)).filter(|(of, _)| *of == id);
        kept.add(&violation, known.map(|(_, count)| count), is_new, now);
        let due = kept.due_after(known.is_none(), violation.severity, now);
        if let Some(before) = kept.due.replace(due) {
            self.due.remove(&(before, id));
        }
        self.due.insert((due, id));
        for key in kept.remember(&violation) {
            self.processes.insert((violation.workload.clone(), key.pid), (id, key));
        }
        self.newest.insert(violation.workload.clone(), id);
        self.keep(id, kept);
        id
    }

    /// Keeps an incident as the newest of its tenant, if there is room. One without room is noticed as well.
    fn keep(&mut self, id: StableId, kept: KeptIncident) {
        let (tenant, severity, bytes) = (kept.incident.tenant(), kept.incident.severity, kept.bytes());
        let evicted = self.kept.put(tenant, severity.into(), id, kept, bytes);
        self.discard(evicted);
    }

    /// Returns the incident that a violation joins.
    fn find(&self, violation: &Violation, now: Instant) -> Option<StableId> {
        let is_open = |id: &StableId| {
            self.kept.get(id).is_some_and(|kept| now.saturating_duration_since(kept.active) < self.times.window)
        };
        let known = self.violations.get(&violation.id()).map(|(id, _)| *id);
        if let Some(kept) = known.as_ref().and_then(|id| self.kept.get(id)) {
            let container = |labels: &crate::workload::Labels| labels.get(Label::ContainerId).cloned();
            let is_same = container(&kept.incident.metadata) == container(&violation.metadata);
            // Another container of the workload continues an incident only while it is open.
            if is_same || known.as_ref().is_some_and(is_open) {
                return known;
            }
        }
        let newest = self.newest.get(&violation.workload).copied().filter(is_open);
        let Some(process) = &violation.process else { return newest };
        let of_process = |key: ProcessKey| {
            let (id, known) = self.processes.get(&(violation.workload.clone(), key.pid))?;
            (known.matches(key) && is_open(id)).then_some(*id)
        };
        let is_rootless = |id: &StableId| self.kept.get(id).is_some_and(|kept| kept.incident.process.is_none());
        related(process).find_map(of_process).or_else(|| newest.filter(is_rootless))
    }

    /// Returns an id that no kept incident has. It depends on the root of the process tree, so it is the same after a
    /// restart.
    fn new_id(&self, violation: &Violation) -> StableId {
        let (pid, started) = match violation.process.as_ref().map(root_key) {
            Some(ProcessKey { pid, started }) => (pid.to_string(), started.unwrap_or_default().to_string()),
            None => Default::default(),
        };
        let labels: Vec<&str> = violation.workload.labels().flat_map(|(label, value)| [label, value]).collect();
        let id = |earlier: u64| {
            let parts = [pid.as_str(), &started, &earlier.to_string()].map(str::to_owned);
            StableId::of("incident", parts.iter().map(String::as_str).chain(labels.iter().copied()))
        };
        (0..).map(id).find(|id| !self.kept.contains(id)).expect("there are more numbers than incidents")
    }

    /// Removes the indexes of evicted incidents, and notices those with changes.
    fn discard(&mut self, evicted: Vec<(StableId, KeptIncident)>) {
        for (id, mut kept) in evicted {
            self.unlink(id, &kept);
            if kept.due.is_some() {
                self.ready.push(kept.notice());
            }
        }
    }

    fn unlink(&mut self, id: StableId, kept: &KeptIncident) {
        let workload = &kept.incident.workload;
        for violation in &kept.violations {
            if self.violations.get(violation).is_some_and(|(of, _)| *of == id) {
                self.violations.remove(violation);
            }
        }
        for key in &kept.processes {
            let process = (workload.clone(), key.pid);
            if self.processes.get(&process).is_some_and(|(of, _)| *of == id) {
                self.processes.remove(&process);
            }
        }
        if self.newest.get(workload) == Some(&id) {
            self.newest.remove(workload);
        }
        if let Some(due) = kept.due {
            self.due.remove(&(due, id));
        }
    }

    /// Returns when the next notice is due.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes the notices that are due.
    pub fn take_notices(&mut self, now: Instant) -> Vec<IncidentNotice> {
        let mut notices = std::mem::take(&mut self.ready);
        while let Some(&(due, id)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            notices.extend(self.kept.get_mut(&id).map(KeptIncident::notice));
        }
        notices
    }

    /// Resolves quiet incidents, and removes those without a call for this time.
    pub fn tick(&mut self, now: Instant, keep: Duration) {
        let (mut old, times) = (Vec::new(), self.times);
        let quiet: Vec<(StableId, Duration)> =
            self.kept.iter().map(|(id, kept)| (*id, now.saturating_duration_since(kept.active))).collect();
        for (id, quiet) in quiet {
            if quiet >= times.resolve_after
                && let Some(kept) = self.kept.get_mut(&id)
                && let Some(notice) = kept.resolve()
            {
                self.ready.push(notice);
            }
            if quiet >= keep {
                old.push(id);
            }
        }
        for id in old {
            let kept = self.kept.remove(&id);
            self.discard(kept.map(|kept| (id, kept)).into_iter().collect());
        }
    }

    /// Renames a workload.
    pub fn rename(&mut self, from: &Workload, to: &Workload) {
        self.newest.remove(from);
        for id in self.of_workload(from) {
            let Some(mut kept) = self.kept.remove(&id) else { continue };
            self.unlink(id, &kept);
            kept.rename(to);
            for call in &kept.incident.calls {
                self.violations.insert(call.id(), (id, call.count));
            }
            for key in &kept.processes {
                self.processes.insert((to.clone(), key.pid), (id, *key));
            }
            self.newest.entry(to.clone()).or_insert(id);
            self.due.extend(kept.due.map(|due| (due, id)));
            self.keep(id, kept);
        }
    }

    /// Removes calls of a workload that are not unexpected any longer. An incident without other calls ends.
    pub fn end_calls(&mut self, workload: &Workload, is_over: impl Fn(&Violation) -> bool) {
        for id in self.of_workload(workload) {
            let Some(kept) = self.kept.get_mut(&id) else { continue };
            let over: Vec<StableId> =
                kept.incident.calls.iter().filter(|call| is_over(call)).map(|call| call.id()).collect();
            if over.is_empty() {
                continue;
            }
            let is_all = over.len() == kept.incident.calls.len();
            if is_all {
                if let Some(due) = kept.due.take() {
                    self.due.remove(&(due, id));
                }
                self.ready.extend(kept.resolve());
            } else {
                kept.remove_calls(&over);
            }
            for violation in &over {
                if self.violations.get(violation).is_some_and(|(of, _)| *of == id) {
                    self.violations.remove(violation);
                }
            }
            if is_all && let Some(kept) = self.kept.remove(&id) {
                self.unlink(id, &kept);
            }
        }
    }

    fn of_workload(&self, workload: &Workload) -> Vec<StableId> {
        let kept = self.kept.iter().filter(|(_, kept)| kept.incident.workload == *workload);
        kept.map(|(id, _)| *id).collect()
    }

    /// Returns the incidents for a view, in no order.
    #[must_use]
    pub fn view(&self) -> Vec<Arc<Incident>> {
        self.kept.iter().map(|(_, kept)| Arc::clone(&kept.incident)).collect()
    }
}

impl KeptIncident {
    fn new(id: StableId, violation: &Violation, now: Instant) -> Self {
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
        }
    }

    /// Adds a violation, or its newest state. `known` is its count so far, if the incident has it.
    fn add(&mut self, violation: &Arc<Violation>, known: Option<u64>, is_new: bool, now: Instant) {
        let Self { incident, news, .. } = self;
        let incident = Arc::make_mut(incident);
        let count = violation.count;
        // A violation that found no room among the violations begins to count again.
        incident.count += known.map_or(count, |known| if count < known { count } else { count - known });
        incident.severity = incident.severity.max(violation.severity);
        incident.started = incident.started.min(violation.time);
        incident.last_seen = incident.last_seen.max(violation.last_seen);
        incident.metadata = violation.metadata.clone();
        if incident.process.is_none() {
            incident.process = violation.process.as_ref().map(root);
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

    /// Returns when a change is noticed: a first critical call and repeats at once, other calls together.
    fn due_after(&self, is_call: bool, severity: Severity, now: Instant) -> Instant {
        let is_worse = self.noticed.is_none_or(|noticed| noticed < severity);
        let due = if is_call && !(severity == Severity::Critical && is_worse) { now + COALESCE } else { now };
        match self.due {
            // A repeat does not hasten calls that wait for others.
            Some(before) if !is_call => before,
            Some(before) => before.min(due),
            None => due,
        }
    }

    /// Remembers the processes of a violation's tree. Returns those that are new.
    fn remember(&mut self, violation: &Violation) -> Vec<ProcessKey> {
        let known = self.processes.len();
        for key in violation.process.iter().flat_map(tree) {
            if self.processes.len() < MAX_PROCESSES && !self.processes.contains(&key) {
                self.processes.push(key);
            }
        }
        self.processes[known..].to_vec()
    }

    fn notice(&mut self) -> IncidentNotice {
        let state = match (self.noticed, self.news.is_empty()) {
            (None, _) => IncidentState::New,
            (Some(_), false) => IncidentState::Grown,
            (Some(_), true) => IncidentState::Repeated,
        };
        Arc::make_mut(&mut self.incident).state = state;
        (self.noticed, self.due) = (Some(self.incident.severity), None);
        IncidentNotice { incident: Arc::clone(&self.incident), news: std::mem::take(&mut self.news) }
    }

    /// Marks it as resolved, once, if it was noticed.
    fn resolve(&mut self) -> Option<IncidentNotice> {
        if self.is_resolved || self.noticed.is_none() || self.due.is_some() {
            return None;
        }
        self.is_resolved = true;
        Arc::make_mut(&mut self.incident).state = IncidentState::Resolved;
        Some(IncidentNotice { incident: Arc::clone(&self.incident), news: Vec::new() })
    }

    fn rename(&mut self, to: &Workload) {
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

    fn remove_calls(&mut self, over: &[StableId]) {
        let incident = Arc::make_mut(&mut self.incident);
        let (removed, left) = incident.calls.drain(..).partition::<Vec<_>, _>(|call| over.contains(&call.id()));
        incident.calls = left;
        incident.count = incident.count.saturating_sub(removed.iter().map(|call| call.count).sum());
        let severities = incident.calls.iter().map(|call| call.severity);
        incident.severity = severities.max().unwrap_or_default();
        self.violations.retain(|violation| !over.contains(violation));
        self.news.retain(|new| !over.contains(&new.violation.id()));
    }

    fn bytes(&self) -> usize {
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

fn root_key(process: &Process) -> ProcessKey {
    process.tree.ancestors.last().copied().unwrap_or(own_key(process))
}

fn own_key(process: &Process) -> ProcessKey {
    ProcessKey { pid: process.pid, started: process.tree.started }
}

/// Returns the processes of its tree that are known by a violation: the root, the process, and those between.
fn tree(process: &Process) -> impl Iterator<Item = ProcessKey> {
    process.tree.ancestors.iter().rev().copied().chain([own_key(process)])
}

/// Returns the processes by which a violation finds its incident. The parent of a process that had ended too early is
/// only known by its id.
fn related(process: &Process) -> impl Iterator<Item = ProcessKey> {
    let is_alone = process.tree.ancestors.is_empty() && process.tree.started.is_none();
    let parent = process.parents.first().filter(|_| is_alone);
    tree(process).chain(parent.map(|parent| ProcessKey { pid: parent.pid, started: None }))
}
