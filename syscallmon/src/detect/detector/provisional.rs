//! First calls that were judged before all metadata for selecting their policy was known. They are kept for their
//! processes, until they are judged again.

use super::FirstCall;
use crate::{
    fair_share::{Capacity, FairShare, Priority, Tenant},
    syscalls::CallId,
    workload::{ResolvedWorkload, Workload},
};

/// Maximum kept calls of all workloads.
const CAPACITY: Capacity = Capacity { entries: 2048, bytes: 4 << 20 };

/// First calls that are judged again once all metadata are known.
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

    /// Keeps a call if there is room: the first one of its kind.
    pub(super) fn keep(&mut self, named: &ResolvedWorkload, first: &FirstCall, priority: Priority) {
        let key = (named.workload.clone(), first.call, first.denied);
        if !self.calls.contains(&key) {
            let bytes = size_of::<FirstCall>() + first.process.bytes();
            let tenant = Tenant::of(&named.workload, &named.metadata);
            // A call without room was judged, and is counted.
            drop(self.calls.put(tenant, priority, key, first.clone(), bytes));
        }
    }

    /// Takes the calls of a workload.
    pub(super) fn take(&mut self, workload: &Workload) -> Vec<FirstCall> {
        let keys: Vec<Key> = self.calls.iter().map(|(key, _)| key).filter(|(of, ..)| of == workload).cloned().collect();
        keys.iter().filter_map(|key| self.calls.remove(key)).collect()
    }

    /// Removes calls of workloads that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&Workload) -> bool) {
        self.calls.retain(|(workload, ..), _| is_there(workload));
    }
}
