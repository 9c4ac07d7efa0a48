//! Which baselines there is room for: a fair share for each policy and namespace.
//!
//! Of those who have more than their share, what learns and has no workload goes first. What guards a workload that is
//! there, or was approved, is never pushed out.

use crate::{
    detect::{Baseline, BaselineKey, Phase},
    fair_share::{Capacity, FairShare, Priority, Tenant},
};

/// Most baselines; kinds beyond that are not learned.
pub const MAX_BASELINES: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    kinds: FairShare<BaselineKey, Priority>,
}

impl Default for Room {
    fn default() -> Self {
        Self { kinds: FairShare::new(Capacity::of_entries(MAX_BASELINES)) }
    }
}

impl Room {
    pub(super) fn is_full(&self) -> bool {
        self.kinds.len() >= MAX_BASELINES
    }

    /// Takes a new kind in, for this policy. Returns the kind that has to go for it, which may be the new one.
    pub(super) fn add(&mut self, kind: &BaselineKey, policy: &str) -> Option<BaselineKey> {
        let gone = self.kinds.put(tenant(kind, policy), Priority::Low, kind.clone(), Priority::Low, 0);
        gone.into_iter().next().map(|(kind, _)| kind)
    }

    /// Puts a baseline in that has room, or had it.
    pub(super) fn put(&mut self, baseline: &Baseline, is_alive: bool) {
        let (kind, priority) = (&baseline.kind, priority(baseline, is_alive));
        let gone = self.kinds.put(tenant(kind, &baseline.policy), priority, kind.clone(), priority, 0);
        debug_assert!(gone.is_empty(), "there is room for {kind}");
    }

    /// Notes how much a baseline matters now; the longest without a workload is the first to go.
    pub(super) fn update(&mut self, baseline: &Baseline, is_alive: bool) {
        if self.kinds.get(&baseline.kind).is_some_and(|known| *known != priority(baseline, is_alive)) {
            self.put(baseline, is_alive);
        }
    }

    pub(super) fn remove(&mut self, kind: &BaselineKey) {
        self.kinds.remove(kind);
    }
}

/// Baselines of one policy and scope are one group, with one member: of all of them, the oldest goes.
fn tenant(kind: &BaselineKey, policy: &str) -> Tenant {
    Tenant::new(format!("{policy} {}", kind.scope()).into(), "".into())
}

/// Which baselines are pushed out first.
fn priority(baseline: &Baseline, is_alive: bool) -> Priority {
    match baseline.state {
        _ if baseline.approved => Priority::High,
        Phase::Guarding if is_alive => Priority::High,
        Phase::Guarding => Priority::Normal,
        Phase::Learning if is_alive => Priority::Normal,
        Phase::Learning => Priority::Low,
    }
}
