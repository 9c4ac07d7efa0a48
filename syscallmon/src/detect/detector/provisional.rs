//! First calls that were judged before all metadata was known that selects their policy. Kept, so that their processes
//! are known when they are judged anew.

use super::FirstCall;
use crate::{
    fair_share::{Capacity, FairShare, Priority, Tenant},
    syscalls::CallId,
    workload::{ResolvedWorkload, Workload},
};

/// Calls that are kept, of all together.
const CAPACITY: Capacity = Capacity { entries: 2048, bytes: 4 << 20 };

/// See the module.
#[derive(Debug)]
pub(super) struct Provisional {
    calls: FairShare<Key, FirstCall>,
}

/// A call of a workload, and whether it was denied.
type Key = (Workload, CallId, bool);

impl Provisional {
    pub(super) fn new() -> Self {
        Self { calls: FairShare::new(CAPACITY) }
    }

    /// Keeps a call as far as there is room: the first one of its kind.
    pub(super) fn keep(&mut self, named: &ResolvedWorkload, first: &FirstCall, priority: Priority) {
        let key = (named.workload.clone(), first.call, first.denied);
        if !self.calls.contains(&key) {
            let bytes = size_of::<FirstCall>() + first.process.bytes();
            let tenant = Tenant::of(&named.workload, &named.metadata);
            // What has no room was judged, and is counted.
            drop(self.calls.put(tenant, priority, key, first.clone(), bytes));
        }
    }

    /// Takes those of a workload out.
    pub(super) fn take(&mut self, workload: &Workload) -> Vec<FirstCall> {
        let keys: Vec<Key> = self.calls.iter().map(|(key, _)| key).filter(|(of, ..)| of == workload).cloned().collect();
        keys.iter().filter_map(|key| self.calls.remove(key)).collect()
    }

    /// Forgets those of workloads that are not there any more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&Workload) -> bool) {
        self.calls.retain(|(workload, ..), _| is_there(workload));
    }
}
