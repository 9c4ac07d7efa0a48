//! Incidents that outlast the daemon, so that a call that was reported is not reported again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Incidents, kept::KeptIncident};
use crate::{
    detect::{
        Incident, NewCall, Severity,
        saved::{SavedIncident, SavedNewCall, UnknownCall, age, moment},
    },
    process::ProcessKey,
    stable_id::StableId,
};

/// An incident at the moment at which the state was taken.
#[derive(Clone, Debug)]
pub struct LastingIncident {
    kept: KeptIncident,
    /// Its violations, and the count of each.
    violations: Vec<(StableId, u64)>,
    now: Instant,
}

/// The same, for serde.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedLastingIncident {
    incident: SavedIncident,
    processes: Vec<ProcessKey>,
    violations: Vec<(StableId, u64)>,
    active: Duration,
    news: Vec<SavedNewCall>,
    is_due: bool,
    noticed: Option<Severity>,
    noticed_at: Option<Duration>,
    is_resolved: bool,
    has_root: bool,
}

impl From<&LastingIncident> for SavedLastingIncident {
    fn from(LastingIncident { kept, violations, now }: &LastingIncident) -> Self {
        Self {
            incident: (&*kept.incident).into(),
            processes: kept.processes.clone(),
            violations: violations.clone(),
            active: age(*now, kept.active),
            news: kept.news.iter().map(SavedNewCall::from).collect(),
            is_due: kept.due.is_some(),
            noticed: kept.noticed,
            noticed_at: kept.noticed_at.map(|noticed| age(*now, noticed)),
            is_resolved: kept.is_resolved,
            has_root: kept.has_root,
        }
    }
}

impl LastingIncident {
    /// Returns the incident, for sharing its parts.
    pub fn incident_mut(&mut self) -> &mut Arc<Incident> {
        &mut self.kept.incident
    }
}

impl SavedLastingIncident {
    /// Returns the incident. `now` is when it was saved.
    ///
    /// # Errors
    ///
    /// When this version does not know one of its calls.
    pub fn lasting(self, now: Instant) -> Result<LastingIncident, UnknownCall> {
        let news = self.news.into_iter().map(NewCall::try_from).collect::<Result<_, _>>()?;
        let kept = KeptIncident {
            incident: Arc::new(self.incident.try_into()?),
            processes: self.processes,
            violations: self.violations.iter().map(|(id, _)| *id).collect(),
            active: moment(now, self.active),
            news,
            due: self.is_due.then_some(now),
            noticed: self.noticed,
            is_resolved: self.is_resolved,
            noticed_at: self.noticed_at.map(|noticed| moment(now, noticed)),
            has_root: self.has_root,
        };
        Ok(LastingIncident { kept, violations: self.violations, now })
    }
}

impl Incidents {
    /// Returns what outlasts the daemon.
    pub fn lasting(&self, now: Instant) -> impl Iterator<Item = LastingIncident> {
        self.kept.iter().map(move |(id, kept)| {
            let count = |violation: &StableId| match self.violations.get(violation) {
                Some((of, count)) if of == id => Some((*violation, *count)),
                _ => None,
            };
            LastingIncident { kept: kept.clone(), violations: kept.violations.iter().filter_map(count).collect(), now }
        })
    }

    /// Takes over an incident of an earlier daemon.
    pub fn take_over(&mut self, LastingIncident { kept, violations, now }: LastingIncident) {
        let (id, workload) = (kept.incident.id, kept.incident.workload.clone());
        if self.kept.contains(&id) {
            return;
        }
        for (violation, count) in violations {
            self.violations.insert(violation, (id, count));
        }
        // The indexes name the incident with the last call.
        let is_newer = |than: Option<&StableId>| {
            than.and_then(|than| self.kept.get(than)).is_none_or(|than| than.active <= kept.active)
        };
        for key in &kept.processes {
            let process = (workload.clone(), key.pid);
            if is_newer(self.processes.get(&process).map(|(than, _)| than)) {
                self.processes.insert(process, (id, *key));
            }
        }
        self.due.extend(kept.due.map(|due| (due, id)));
        if is_newer(self.newest.get(&workload)) {
            self.newest.insert(workload, id);
        }
        self.keep(id, kept, now);
    }
}
