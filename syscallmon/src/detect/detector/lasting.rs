//! Violations and incidents that outlast the daemon.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::Detector;
use crate::{
    detect::{LastingIncident, LastingViolation, Phase, Violation},
    stable_id::StableId,
    workload::{ResolvedWorkload, Workload, WorkloadResolver},
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
    /// Violations of an earlier daemon that were not judged by the policies in force, by workload.
    taken_over: HashMap<Workload, Vec<Arc<Violation>>>,
    /// Whether policies are missing because of a mistake in their files.
    lacks_policies: bool,
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
            let known = Arc::clone(&violation.violation);
            self.lasting.taken_over.entry(known.workload.clone()).or_default().push(known);
            self.violations.take_over(violation, saved);
        }
        for incident in lasting.incidents {
            self.incidents.take_over(incident);
        }
    }

    /// Sets whether policies are missing because of a mistake in their files. Meanwhile, no violation of an earlier
    /// daemon ends.
    pub fn lacks_policies(&mut self, lacks: bool) {
        self.lasting.lacks_policies = lacks;
    }

    /// Gives containers of an earlier daemon the names that have become known.
    pub fn name_taken_over(&mut self, resolver: &WorkloadResolver) {
        let named = self.lasting.taken_over.keys().filter_map(|workload| {
            let Workload::Unresolved(identity) = workload else { return None };
            let named = resolver.of_known(identity);
            (named.workload != *workload).then(|| (workload.clone(), named))
        });
        let named: HashMap<Workload, ResolvedWorkload> = named.collect();
        if !named.is_empty() {
            self.renamed(&named);
        }
    }

    /// Notes that workloads have other names from now on.
    pub(super) fn renamed_taken_over(&mut self, names: &HashMap<Workload, ResolvedWorkload>) {
        self.lasting.changes += u64::from(!names.is_empty());
        for (from, to) in names {
            let Some(violations) = self.lasting.taken_over.remove(from) else { continue };
            if let Some(known) = violations.first() {
                // The policy under the old name decides whether it is judged alike.
                let metadata = known.metadata.clone();
                self.watch(&ResolvedWorkload { workload: from.clone(), metadata });
            }
            self.lasting.taken_over.entry(to.workload.clone()).or_default().extend(violations);
        }
    }

    /// Removes violations of an earlier daemon that the policies in force do not report. Does so once for a workload,
    /// when its policy is certain.
    pub(super) fn judge_taken_over(&mut self, named: &ResolvedWorkload) {
        let workload = &named.workload;
        if self.lasting.lacks_policies || !self.lasting.taken_over.contains_key(workload) {
            return;
        }
        // The policy that judged it before its name was known is certain.
        if !matches!(workload, Workload::Unresolved(_)) && self.is_provisional(named) {
            return;
        }
        let known = self.lasting.taken_over.remove(workload).unwrap_or_default();
        let over: HashSet<StableId> = known
            .iter()
            .filter(|known| self.is_over(named, known))
            .map(|known| Violation { workload: workload.clone(), ..Violation::clone(known) }.id())
            .collect();
        if !over.is_empty() {
            self.lasting.changes += 1;
            self.violations.remove(workload, |known| over.contains(&known.id()));
            self.incidents.end_calls(workload, |known| over.contains(&known.id()));
        }
    }

    /// Whether the policies in force do not report a violation. Where the workload still learns, it stays: a restart
    /// teaches nothing that was reported.
    fn is_over(&mut self, named: &ResolvedWorkload, known: &Violation) -> bool {
        let Some(call) = self.calls.id(known.call.abi, known.call.syscall) else { return true };
        let watched = self.watch(named).clone();
        let Some(policy) = &watched.policy else { return true };
        let learned = match policy.learn() {
            None => None,
            Some(_) => match watched.certain_key().and_then(|key| self.baselines.get(key)) {
                Some(baseline) if baseline.state == Phase::Guarding => {
                    Some(if policy.is_critical(call) { baseline.calls() } else { baseline.expected() })
                }
                _ => return false,
            },
        };
        *policy.name() != known.policy || policy.judge(&watched.metadata, call, learned).is_none()
    }
}
