//! Judges calls again when the metadata of their workload change, however old the calls are.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    Calls, Detector,
    watched::{Basis, JudgedBy, WorkloadPolicy, is_owner_known, with_owner},
};
use crate::{
    detect::Violation,
    model::{Delta, Model},
    stable_id::StableId,
    workload::{ResolvedWorkload, Workload},
};

impl Detector {
    /// Applies new metadata of workloads, lets their kinds learn, and judges all calls again of workloads with another
    /// policy or baseline. Forgets workloads that the model does not have.
    pub(super) fn apply_facts(&mut self, model: &Model, now: SystemTime) {
        let generation = self.cache.generation();
        let has_new_names = std::mem::replace(&mut self.generation, generation) != generation;
        let (mut known, mut changed) = (0, Vec::new());
        for (workload, totals) in model.all() {
            let Some(watched) = self.watched.get_mut(workload) else { continue };
            known += 1;
            if !watched.is_settled(totals) || has_new_names {
                watched.totals = Some(Arc::clone(totals));
                changed.push(workload);
            }
        }
        if known < self.watched.len() {
            self.watched.retain(|workload, _| model.has(workload));
            let watched = &self.watched;
            self.provisional.retain(|workload| watched.contains_key(workload));
        }
        for workload in changed {
            self.apply_facts_of(model, workload, now);
        }
    }

    fn apply_facts_of(&mut self, model: &Model, workload: &Workload, now: SystemTime) {
        let Some(metadata) = model.metadata(workload).cloned() else { return };
        let named = ResolvedWorkload { workload: workload.clone(), metadata };
        self.watch(&named);
        self.look_for_stops(model, workload);
        let judged_by = self.judged_by_now(model, &named, now);
        let Some(watched) = self.watched.get_mut(workload) else { return };
        let is_due = watched.is_to_be_judged_anew(&judged_by, &self.baselines);
        watched.judged_by = Some(judged_by);
        if is_due {
            self.judge_anew(model, &named, now);
        }
        self.judge_taken_over(&named);
    }

    /// Notes in the baseline of a workload that one of its containers has ended.
    fn look_for_stops(&mut self, model: &Model, workload: &Workload) {
        let Some(watched) = self.watched.get_mut(workload) else { return };
        let stops = model.stops(workload);
        let has_stopped = watched.stops.replace(stops).is_some_and(|before| before < stops);
        if let Some(key) = watched.certain_key().filter(|_| has_stopped) {
            self.baselines.saw_stop(key);
        }
    }

    /// Returns the policy and baseline of a workload. Begins the baseline if the policy learns and the workload exists.
    fn judged_by_now(&mut self, model: &Model, named: &ResolvedWorkload, now: SystemTime) -> JudgedBy {
        let watched = &self.watched[&named.workload];
        let learn = watched.policy.as_ref().and_then(|policy| Some((policy.name(), *policy.learn()?)));
        let basis = match (learn, watched.certain_key()) {
            (None, _) => Basis::Lists,
            (Some(_), None) => Basis::NoBaseline,
            (Some((policy, learn)), Some(key)) => {
                let was_unlearned = watched.judged_by.as_ref().is_some_and(JudgedBy::is_without_baseline);
                if model.is_there(&named.workload) || was_unlearned {
                    let policies = &self.policies;
                    self.baselines.hand_over(key, policy, |name| policies.learns(name));
                    // The first call has recorded whether the workload existed before.
                    self.baselines.begin_or_get(key, (policy, learn), now, true);
                }
                Basis::of(self.baselines.edition(key))
            }
        };
        watched.judged_by(basis)
    }

    /// Judges all calls of a workload again. A violation that still is one continues, and others are removed.
    fn judge_anew(&mut self, model: &Model, named: &ResolvedWorkload, now: SystemTime) {
        let before = self.violations.take_all_of(&named.workload);
        let provisional = self.provisional.take(&named.workload);
        for first in provisional {
            let call = self.calls.call(first.call);
            if !before.iter().any(|known| (known.call, known.denied) == (call, first.denied)) {
                self.judge_first(named, first);
            }
        }
        let earlier: Vec<StableId> = before.iter().map(Violation::id).collect();
        for known in before {
            self.judge_known(named, known);
        }
        self.judge_counts_anew(model, named, now);
        self.end_violations(&named.workload, earlier);
    }

    fn judge_counts_anew(&mut self, model: &Model, named: &ResolvedWorkload, now: SystemTime) {
        let Some(Delta { calls, denied, .. }) = model.all_of(named) else { return };
        let calls = calls.iter().map(|(call, &count)| (call, count, false));
        for (call, count, denied) in calls.chain(denied.iter().map(|(call, &count)| (call, count, true))) {
            let calls = Calls { named, call, comm: None, is_partial: true, time: now };
            if let Some(violation) = self.judge(&calls) {
                let violation = Violation { count, denied, ..violation };
                let recorded = self.violations.counted(call, &violation, Instant::now());
                self.join_incident(recorded.filter(|recorded| recorded.is_new));
            }
        }
    }

    /// Judges a known violation again.
    fn judge_known(&mut self, named: &ResolvedWorkload, known: Violation) {
        let Some(call) = self.calls.id(known.call.abi, known.call.syscall) else { return };
        let comm = known.process.as_ref().map(|process| process.comm.as_str());
        let calls = Calls { named, call, comm, is_partial: true, time: known.time };
        let Some(Violation { policy, severity, reason, metadata, .. }) = self.judge(&calls) else { return };
        let is_reported = known.policy == policy;
        let recorded = self.violations.first(Violation { metadata, policy, severity, reason, ..known }, Instant::now());
        self.join_incident(recorded.filter(|_| !is_reported));
    }

    /// Moves the state of renamed workloads. Those with another policy are judged again.
    pub fn renamed(&mut self, names: &HashMap<Workload, ResolvedWorkload>) {
        self.renamed_taken_over(names);
        for (from, to) in names {
            let provisional = self.provisional.take(from);
            if to.workload.is_one() && self.is_judged_alike(from, to) {
                self.violations.rename(from, &to.workload);
                self.incidents.rename(from, &to.workload, Instant::now());
                continue;
            }
            self.violations.forget_all_of(from);
            self.incidents.end_calls(from, |_| true);
            if to.workload.is_judged() {
                for first in provisional {
                    self.judge_first(to, first);
                }
            }
        }
    }

    /// Whether a workload had the same policy under its previous name, and the policy does not learn by name.
    pub(super) fn is_judged_alike(&mut self, before: &Workload, named: &ResolvedWorkload) -> bool {
        let old = self.watched.get(before).and_then(|watched| watched.policy.clone());
        let new = &self.watch(named).policy;
        let learns = new.as_ref().is_some_and(|policy| policy.learn().is_some());
        !learns && old.as_ref().map(|policy| policy.name()) == new.as_ref().map(|policy| policy.name())
    }

    /// Applies the metadata of a workload.
    pub(super) fn watch(&mut self, named: &ResolvedWorkload) -> &WorkloadPolicy {
        let workload = &named.workload;
        let metadata = with_owner(&named.metadata, &self.cache);
        let mut watched = match self.watched.remove(workload) {
            Some(watched) if watched.metadata == metadata => watched,
            before => WorkloadPolicy::new(workload, metadata, &self.policies, before),
        };
        watched.has_owner = watched.has_owner || is_owner_known(&self.cache, &watched.metadata);
        self.watched.entry(workload.clone()).or_insert(watched)
    }
}
