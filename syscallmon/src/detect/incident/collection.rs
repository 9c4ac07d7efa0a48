//! Groups violations to incidents. Pure: the caller passes the time.
//!
//! A violation joins the open incident of its process tree. Without a known process, it joins the newest open incident
//! of its workload. A repeat continues the incident of the violation.

mod kept;
mod lasting;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use self::kept::{KeptIncident, root_key, tree};
pub use self::lasting::{LastingIncident, SavedLastingIncident};
use super::{Incident, IncidentNotice};
use crate::{
    detect::Violation,
    fair_share::{Capacity, FairShare},
    process::ProcessKey,
    stable_id::StableId,
    workload::{Label, Workload},
};

/// Maximum incidents that are kept, of all workloads together.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 16 << 20 };

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
        self.keep(id, kept, now);
        id
    }

    /// Keeps an incident as the newest of its tenant, if there is room. One without room is noticed as well.
    fn keep(&mut self, id: StableId, kept: KeptIncident, now: Instant) {
        let (tenant, severity, bytes) = (kept.incident.tenant(), kept.incident.severity, kept.bytes());
        let evicted = self.kept.put(tenant, severity.into(), id, kept, bytes);
        self.discard(evicted, now);
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
        tree(process).find_map(of_process).or_else(|| newest.filter(is_rootless))
    }

    /// Returns an id that no kept incident has. It depends on the root of the process tree, so it is the same after a
    /// restart.
    fn new_id(&self, violation: &Violation) -> StableId {
        let (pid, started) = match violation.process.as_ref().map(root_key) {
            Some(ProcessKey { pid, started }) => (pid.to_string(), started.unwrap_or_default().to_string()),
            None => (String::new(), String::new()),
        };
        let labels: Vec<&str> = violation.workload.labels().flat_map(|(label, value)| [label, value]).collect();
        let id = |earlier: u64| {
            let parts = [pid.as_str(), &started, &earlier.to_string()].map(str::to_owned);
            StableId::of("incident", parts.iter().map(String::as_str).chain(labels.iter().copied()))
        };
        let mut ids = (0..=self.kept.len() as u64).map(id);
        ids.find(|id| !self.kept.contains(id)).expect("there are more numbers than incidents")
    }

    /// Removes the indexes of evicted incidents, and notices those with changes.
    fn discard(&mut self, evicted: Vec<(StableId, KeptIncident)>, now: Instant) {
        for (id, mut kept) in evicted {
            self.unlink(id, &kept);
            if kept.due.is_some() {
                self.ready.push(kept.notice(now));
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
            notices.extend(self.kept.get_mut(&id).map(|kept| kept.notice(now)));
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
            self.discard(kept.map(|kept| (id, kept)).into_iter().collect(), now);
        }
    }

    /// Renames a workload.
    pub fn rename(&mut self, from: &Workload, to: &Workload, now: Instant) {
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
            self.keep(id, kept, now);
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
