//! Hands recorded violations to incidents, whose notices the sampler takes.

use std::{collections::HashSet, time::Instant};

use super::Detector;
use crate::{
    detect::{IncidentNotice, IncidentTimes, Incidents, RecordedViolation, Violation},
    stable_id::StableId,
    workload::Workload,
};

impl Detector {
    /// Sets how long incidents take. Must be called before the first call is judged.
    #[must_use]
    pub fn with_incidents(self, times: IncidentTimes) -> Self {
        Self { incidents: Incidents::new(times), ..self }
    }

    /// Returns the incidents.
    #[must_use]
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Adds a recorded violation to an incident.
    pub(super) fn join_incident(&mut self, recorded: Option<RecordedViolation>) {
        let Some(RecordedViolation { violation, is_new }) = recorded else { return };
        self.incidents.join(violation, is_new, Instant::now());
        self.has_recorded = true;
        self.lasting.changes += 1;
    }

    /// Returns when the next notice is due.
    #[must_use]
    pub fn notice_due(&self) -> Option<Instant> {
        self.incidents.due()
    }

    /// Takes the notices that are due at this time.
    pub fn take_notices(&mut self, now: Instant) -> Vec<IncidentNotice> {
        self.incidents.take_notices(now)
    }

    /// Returns whether violations were recorded since the last time.
    pub fn take_recorded(&mut self) -> bool {
        std::mem::take(&mut self.has_recorded)
    }

    /// Removes earlier violations of a workload from incidents, unless they are still violations.
    pub(super) fn end_violations(&mut self, workload: &Workload, earlier: Vec<StableId>) {
        let left: HashSet<StableId> =
            self.violations.iter().filter(|left| left.workload == *workload).map(Violation::id).collect();
        let ended: HashSet<StableId> = earlier.into_iter().filter(|id| !left.contains(id)).collect();
        if !ended.is_empty() {
            self.lasting.changes += 1;
            self.incidents.end_calls(workload, |call| ended.contains(&call.id()));
        }
    }
}
