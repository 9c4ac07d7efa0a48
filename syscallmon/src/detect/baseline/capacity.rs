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

/// The keys of all baselines, in fair shares.
#[derive(Debug)]
pub(super) struct BaselineCapacity {
    keys: FairShare<BaselineKey, Priority>,
}

impl Default for BaselineCapacity {
    fn default() -> Self {
        Self { keys: FairShare::new(Capacity::of_entries(MAX_BASELINES)) }
    }
}

impl BaselineCapacity {
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= MAX_BASELINES
    }

    /// Adds a new key for this policy. Returns the key that is evicted for it, which may be the new one.
    pub(super) fn add(&mut self, key: &BaselineKey, policy: &str) -> Option<BaselineKey> {
        let gone = self.keys.put(tenant(key, policy), Priority::Low, key.clone(), Priority::Low, 0);
        gone.into_iter().next().map(|(key, _)| key)
    }

    /// Adds a baseline that has room, or had it before.
    pub(super) fn put(&mut self, baseline: &Baseline, is_alive: bool) {
        let (key, priority) = (&baseline.kind, priority(baseline, is_alive));
        let gone = self.keys.put(tenant(key, &baseline.policy), priority, key.clone(), priority, 0);
        debug_assert!(gone.is_empty(), "there is room for {key}");
    }

    /// Sets the importance of a baseline. The longest without a workload is evicted first.
    pub(super) fn update(&mut self, baseline: &Baseline, is_alive: bool) {
        if self.keys.get(&baseline.kind).is_some_and(|known| *known != priority(baseline, is_alive)) {
            self.put(baseline, is_alive);
        }
    }

    pub(super) fn remove(&mut self, key: &BaselineKey) {
        self.keys.remove(key);
    }
}

/// Baselines of one policy and scope are one group with one member, so the oldest of all is evicted.
fn tenant(key: &BaselineKey, policy: &str) -> Tenant {
    Tenant::new(format!("{policy} {}", key.scope()).into(), "".into())
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
