//! Capacity for baselines: a fair share for each policy and namespace.
//!
//! Groups above their share lose learning baselines without a workload first. A baseline that guards a current
//! workload, or was approved, is never evicted.

use crate::{
    detect::{Baseline, BaselineKey, Phase},
    fair_share::{Capacity, FairShare, Priority, Tenant},
};

/// Maximum number of baselines. Further kinds are not learned.
pub const MAX_BASELINES: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct BaselineCapacity {
    kinds: FairShare<BaselineKey, Priority>,
}

impl Default for BaselineCapacity {
    fn default() -> Self {
        Self { kinds: FairShare::new(Capacity::of_entries(MAX_BASELINES)) }
    }
}

impl BaselineCapacity {
    pub(super) fn is_full(&self) -> bool {
        self.kinds.len() >= MAX_BASELINES
    }

    /// Adds a new kind for this policy. Returns the kind that is evicted for it, which may be the new one.
    pub(super) fn add(&mut self, kind: &BaselineKey, policy: &str) -> Option<BaselineKey> {
        let gone = self.kinds.put(tenant(kind, policy), Priority::Low, kind.clone(), Priority::Low, 0);
        gone.into_iter().next().map(|(kind, _)| kind)
    }

    /// Adds a baseline that has room, or had it before.
    pub(super) fn put(&mut self, baseline: &Baseline, is_alive: bool) {
        let (kind, priority) = (&baseline.kind, priority(baseline, is_alive));
        let gone = self.kinds.put(tenant(kind, &baseline.policy), priority, kind.clone(), priority, 0);
        debug_assert!(gone.is_empty(), "there is room for {kind}");
    }

    /// Sets the importance of a baseline. The longest without a workload is evicted first.
    pub(super) fn update(&mut self, baseline: &Baseline, is_alive: bool) {
        if self.kinds.get(&baseline.kind).is_some_and(|known| *known != priority(baseline, is_alive)) {
            self.put(baseline, is_alive);
        }
    }

    pub(super) fn remove(&mut self, kind: &BaselineKey) {
        self.kinds.remove(kind);
    }
}

/// Baselines of one policy and scope are one group with one member, so the oldest of all is evicted.
fn tenant(kind: &BaselineKey, policy: &str) -> Tenant {
    Tenant::new(format!("{policy} {}", kind.scope()).into(), "".into())
}

/// Order of eviction.
fn priority(baseline: &Baseline, is_alive: bool) -> Priority {
    match baseline.state {
        _ if baseline.approved => Priority::High,
        Phase::Guarding if is_alive => Priority::High,
        Phase::Guarding => Priority::Normal,
        Phase::Learning if is_alive => Priority::Normal,
        Phase::Learning => Priority::Low,
    }
}
