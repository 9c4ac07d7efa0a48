//! Calls that policies allow and nobody makes: what a policy, or the seccomp profile in it, could do without.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Detector, watched::WorkloadPolicy};
use crate::{
    detect::{Policies, Policy},
    model::Model,
    syscalls::{CallId, CallTable, UNKNOWN},
    workload::ResolvedWorkload,
};

/// How many of the calls that a policy allows are in use, for one ABI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyUsage {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The ABI; `io_uring` for operations of io_uring.
    pub abi: &'static str,
    /// Number of calls that the policy's lists and seccomp profiles allow, also through policies that it extends.
    pub allowed: usize,
    /// Those of them that no workload of the policy has made since the daemon started, in the order of numbers.
    pub unused: Vec<&'static str>,
}

/// Which calls the workloads of each policy have made.
#[derive(Debug)]
pub(super) struct Usage {
    made: HashMap<Arc<str>, BTreeSet<CallId>>,
    /// Whether workloads may have made calls before their policy was loaded.
    has_new_policies: bool,
    /// Whether the result is out of date.
    is_changed: bool,
    result: Arc<[PolicyUsage]>,
}

impl Usage {
    pub(super) fn new() -> Self {
        Self { made: HashMap::new(), has_new_policies: false, is_changed: true, result: Arc::default() }
    }

    /// Notes that a workload of a policy has made a call.
    pub(super) fn note(&mut self, policy: &Policy, call: CallId) {
        let made = match self.made.get_mut(policy.name()) {
            Some(made) => made,
            None => self.made.entry(Arc::clone(policy.name())).or_default(),
        };
        self.is_changed |= made.insert(call);
    }

    /// Notes that policies were replaced.
    pub(super) fn reload(&mut self, policies: &Policies) {
        self.made.retain(|name, _| policies.iter().any(|policy| policy.name() == name));
        (self.has_new_policies, self.is_changed) = (true, true);
    }
}

/// Returns one row for each ABI of which the policy allows calls.
fn usage(policy: &Policy, made: Option<&BTreeSet<CallId>>, calls: &CallTable) -> Vec<PolicyUsage> {
    let mut by_abi: BTreeMap<&'static str, (usize, Vec<&'static str>)> = BTreeMap::new();
    for (id, call) in calls.iter().filter(|&(id, call)| call.syscall != UNKNOWN && policy.allows(id)) {
        let (allowed, unused) = by_abi.entry(call.abi).or_default();
        *allowed += 1;
        if made.is_none_or(|made| !made.contains(&id)) {
            unused.push(call.syscall);
        }
    }
    let row = |(abi, (allowed, unused))| PolicyUsage { policy: Arc::clone(policy.name()), abi, allowed, unused };
    by_abi.into_iter().map(row).collect()
}

impl Detector {
    /// Returns which calls policies allow and nobody makes, as of the last tick.
    #[must_use]
    pub fn usage(&self) -> &Arc<[PolicyUsage]> {
        &self.usage.result
    }

    /// Updates the result of [`Self::usage`].
    pub(super) fn update_usage(&mut self, model: &Model) {
        if std::mem::take(&mut self.usage.has_new_policies) {
            self.note_earlier_calls(model);
        }
        if std::mem::take(&mut self.usage.is_changed) {
            let (made, calls) = (&self.usage.made, &self.calls);
            let of_policy = |policy: &Arc<Policy>| usage(policy, made.get(policy.name()), calls);
            self.usage.result = self.policies.iter().flat_map(of_policy).collect();
        }
    }

    fn note_earlier_calls(&mut self, model: &Model) {
        for (workload, WorkloadPolicy { policy, metadata, .. }) in &self.watched {
            let named = ResolvedWorkload { workload: workload.clone(), metadata: metadata.clone() };
            let (Some(policy), Some(all)) = (policy, model.all_of(&named)) else { continue };
            for (call, _) in all.calls.iter() {
                self.usage.note(policy, call);
            }
        }
    }
}
