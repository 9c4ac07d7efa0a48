//! The policy of each workload, and the basis of the judgement of its calls.
//!
//! The facts that decide may arrive late: the owner of a pod, labels that policies select by, a baseline on a slow
//! disk. Then all calls of the workload are judged again.

use std::sync::Arc;

use crate::{
    detect::{BaselineKey, Baselines, Policies, Policy},
    model::Totals,
    workload::{Label, Labels, MetadataCache, Workload, providers::ProviderName},
};

/// A workload, for the detector.
#[derive(Clone, Debug)]
pub(super) struct WorkloadPolicy {
    pub(super) metadata: Labels,
    pub(super) policy: Option<Arc<Policy>>,
    /// The key of its baseline, if its policy learns.
    pub(super) baseline_key: Option<BaselineKey>,
    /// Whether the owner of its pod is known, or known to be absent. It stays known when the pod is deleted.
    pub(super) has_owner: bool,
    /// The basis on which all its calls so far were judged.
    pub(super) judged_by: Option<JudgedBy>,
    /// Number of its containers that had ended at the last tick; `None` before the first.
    pub(super) stops: Option<u64>,
    /// Its totals at the last tick; `None` before the first, and after other policies. The model copies totals that are
    /// shared before it changes them, so the same totals are unchanged.
    pub(super) totals: Option<Arc<Totals>>,
}

/// The basis of a judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JudgedBy {
    policy: Option<Arc<str>>,
    baseline_key: Option<BaselineKey>,
    basis: Basis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The policy's lists alone, or no policy.
    Lists,
    /// The built-in policy, because there was no baseline.
    NoBaseline,
    /// A baseline.
    Baseline {
        /// Its number.
        edition: u64,
    },
}

impl Basis {
    /// Edition of the baseline; `None` without one.
    pub(super) fn of(edition: Option<u64>) -> Self {
        edition.map_or(Self::NoBaseline, |edition| Self::Baseline { edition })
    }
}

impl JudgedBy {
    pub(super) fn is_without_baseline(&self) -> bool {
        self.basis == Basis::NoBaseline
    }
}

impl WorkloadPolicy {
    /// Returns the state by current metadata; `before` is the previous state.
    pub(super) fn new(workload: &Workload, metadata: Labels, policies: &Policies, before: Option<Self>) -> Self {
        let (policy, baseline_key) = selected(workload, &metadata, policies);
        let is_same = |label| before.as_ref().is_some_and(|before| before.metadata.get(label) == metadata.get(label));
        let has_owner = before.as_ref().is_some_and(|before| before.has_owner) && is_same(Label::PodUid);
        // The basis for another container does not change that of the earlier one.
        let is_same_container = is_same(Label::ContainerId) && is_same(Label::Cgroup);
        let stops = before.as_ref().and_then(|before| before.stops);
        let judged_by = before.and_then(|before| before.judged_by);
        let judged_by = judged_by.filter(|judged| is_same_container || judged.is_without_baseline());
        Self { metadata, policy, baseline_key, has_owner, judged_by, stops, totals: None }
    }

    /// Applies other policies from now on. Earlier calls keep the judgement by the policy of their time, unless
    /// metadata were missing.
    pub(super) fn reload(&mut self, workload: &Workload, policies: &Policies) {
        (self.policy, self.baseline_key) = selected(workload, &self.metadata, policies);
        let is_missing = |judged: &JudgedBy| self.baseline_key.is_some() && judged.is_without_baseline();
        self.judged_by = self.judged_by.take().filter(is_missing);
        self.totals = None;
    }

    /// Whether nothing can have changed since the last tick that a judgement depends on, besides the names of its
    /// containers: it learns nothing, and has these totals.
    pub(super) fn is_settled(&self, totals: &Arc<Totals>) -> bool {
        let is_same = self.totals.as_ref().is_some_and(|known| Arc::ptr_eq(known, totals));
        is_same && self.has_owner && self.baseline_key.is_none()
    }

    /// Returns the key of its baseline, once it is certain.
    pub(super) fn certain_key(&self) -> Option<&BaselineKey> {
        self.baseline_key.as_ref().filter(|_| self.has_owner)
    }

    pub(super) fn judged_by(&self, basis: Basis) -> JudgedBy {
        let policy = self.policy.as_ref().map(|policy| Arc::clone(policy.name()));
        JudgedBy { policy, baseline_key: self.baseline_key.clone(), basis }
    }

    /// Whether its calls were judged on another basis than the current one.
    pub(super) fn is_to_be_judged_anew(&self, now: &JudgedBy, baselines: &Baselines) -> bool {
        let Some(before) = &self.judged_by else { return false };
        if before.policy != now.policy || before.baseline_key != now.baseline_key {
            return true;
        }
        match (before.basis, now.basis) {
            (Basis::Baseline { edition: before }, Basis::Baseline { edition: now }) => {
                before != now && !baselines.is_ended(before)
            }
            (Basis::NoBaseline, Basis::Baseline { .. }) => true,
            _ => false,
        }
    }
}

/// Returns the policy of a workload, and the key of its baseline if the policy learns.
fn selected(workload: &Workload, metadata: &Labels, policies: &Policies) -> (Option<Arc<Policy>>, Option<BaselineKey>) {
    let policy = policies.of(metadata).cloned();
    let learns = policy.as_ref().is_some_and(|policy| policy.learn().is_some());
    // A workload without a name has no key, because the baseline would be its alone.
    let key = (learns && matches!(workload, Workload::Resolved(_))).then(|| BaselineKey::of(metadata)).flatten();
    (policy, key)
}

/// Returns the metadata of a workload, with the owner of its pod from Kubernetes.
pub(super) fn with_owner(metadata: &Labels, cache: &MetadataCache) -> Labels {
    let uid = metadata.get(Label::PodUid).filter(|_| metadata.get(Label::Owner).is_none());
    match uid.and_then(|uid| cache.owner(uid)) {
        Some(owner) => metadata.with([(Label::Owner, owner.name), (Label::OwnerKind, owner.kind)]),
        None => metadata.clone(),
    }
}

/// Whether the owner of its pod is known as far as possible. Before, its container would have another key.
pub(super) fn is_owner_known(cache: &MetadataCache, metadata: &Labels) -> bool {
    let is_known = |uid: &Arc<str>| !cache.expects(ProviderName::Kubernetes) || cache.knows_owner(uid);
    metadata.get(Label::Owner).is_some() || metadata.get(Label::PodUid).is_none_or(is_known)
}
