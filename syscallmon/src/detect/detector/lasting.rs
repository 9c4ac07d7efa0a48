//! Violations and incidents that outlast the daemon.

use std::{
    collections::HashSet,
    time::{Instant, SystemTime},
};

use super::{Calls, Detector};
use crate::{
    detect::{LastingIncident, LastingViolation, Violation},
    stable_id::StableId,
    workload::{ResolvedWorkload, Workload},
};

/// What outlasts the daemon.
#[derive(Clone, Debug, Default)]
pub struct LastingDetection {
    /// The violations.
    pub violations: Vec<LastingViolation>,
    /// The incidents.
    pub incidents: Vec<LastingIncident>,
}

/// What the detector keeps for it.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    /// Number of changes of violations and incidents.
    pub(super) changes: u64,
    /// Workloads with violations of an earlier daemon that were not judged by the policies in force.
    taken_over: HashSet<Workload>,
}

impl Detector {
    /// Returns what outlasts the daemon.
    #[must_use]
    pub fn lasting(&self, now: Instant) -> LastingDetection {
        LastingDetection {
            violations: self.violations.lasting(now).collect(),
            incidents: self.incidents.lasting(now).collect(),
        }
    }

    /// Returns a number that rises with changes of violations and incidents.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lasting.changes
    }

    /// Takes over what an earlier daemon saved at this moment. Must be called before the first call is judged.
    pub fn take_over(&mut self, lasting: LastingDetection, saved: Instant) {
        for violation in lasting.violations {
            self.lasting.taken_over.insert(violation.violation.workload.clone());
            self.violations.take_over(violation, saved);
        }
        for incident in lasting.incidents {
            self.incidents.take_over(incident);
        }
    }

    /// Removes violations of an earlier daemon that the policies in force do not report. Does so once for a workload,
    /// when its policy is certain.
    pub(super) fn judge_taken_over(&mut self, named: &ResolvedWorkload, now: SystemTime) {
        let workload = &named.workload;
        if !self.lasting.taken_over.contains(workload) {
            return;
        }
        // The policy that judged it before its name was known is certain.
        if !matches!(workload, Workload::Unresolved(_)) && self.is_provisional(named) {
            return;
        }
        self.lasting.taken_over.remove(workload);
        let of_workload: Vec<Violation> =
            self.violations.iter().filter(|known| known.workload == *workload).cloned().collect();
        let over: HashSet<StableId> =
            of_workload.iter().filter(|known| !self.is_still_reported(named, known, now)).map(Violation::id).collect();
        if !over.is_empty() {
            let is_over = |known: &Violation| over.contains(&known.id());
            self.lasting.changes += 1;
            self.violations.remove(workload, is_over);
            self.incidents.end_calls(workload, is_over);
        }
    }

    fn is_still_reported(&mut self, named: &ResolvedWorkload, known: &Violation, time: SystemTime) -> bool {
        let Some(call) = self.calls.id(known.call.abi, known.call.syscall) else { return false };
        let comm = known.process.as_ref().map(|process| process.comm.as_str());
        let found = self.judge(&Calls { named, call, comm, is_partial: true, time });
        found.is_some_and(|found| found.policy == known.policy)
    }
}
