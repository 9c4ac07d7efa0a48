//! First calls that wait for the path of their cgroup or the name of their container, which selects the policy.
//!
//! No container, and no namespace with many containers, takes the room of others. A call without room is judged at
//! once, by the metadata so far.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::FirstCall;
use crate::{
    fair_share::{Capacity, FairShare, Priority, Tenant},
    workload::CgroupIdentity,
};

/// Maximum waiting calls of all workloads. One has a command line of up to 4 KiB and a few names.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 8 << 20 };

/// What a first call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The path of the cgroup with this id.
    Path(u64),
    /// The name of this container.
    Name(Arc<CgroupIdentity>),
}

#[derive(Debug)]
pub(super) struct WaitingCall {
    pub(super) awaited: Awaited,
    pub(super) since: Instant,
    pub(super) first: FirstCall,
}

/// First calls that wait for a path or a name.
#[derive(Debug)]
pub(super) struct WaitingCalls {
    calls: FairShare<u64, WaitingCall>,
    number: u64,
}

impl WaitingCalls {
    pub(super) fn new() -> Self {
        Self { calls: FairShare::new(CAPACITY), number: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a waiting call. Returns the calls that cannot wait longer.
    pub(super) fn push(&mut self, awaited: Awaited, first: FirstCall, priority: Priority) -> Vec<WaitingCall> {
        let tenant = match &awaited {
            Awaited::Path(id) => Tenant::new("(unknown)".into(), id.to_string().into()),
            Awaited::Name(identity) => Tenant::of_identity(identity),
        };
        self.number += 1;
        let bytes = size_of::<WaitingCall>() + first.process.bytes();
        let waiting = WaitingCall { awaited, since: Instant::now(), first };
        let gone = self.calls.put(tenant, priority, self.number, waiting, bytes);
        gone.into_iter().map(|(_, waiting)| waiting).collect()
    }

    /// Takes the calls that `is_ready` selects, in the order in which they were made.
    pub(super) fn take(&mut self, mut is_ready: impl FnMut(&Awaited, Duration) -> bool) -> Vec<WaitingCall> {
        let ready = self.calls.iter().filter(|(_, call)| is_ready(&call.awaited, call.since.elapsed()));
        let mut ready: Vec<u64> = ready.map(|(&number, _)| number).collect();
        ready.sort_unstable();
        ready.into_iter().filter_map(|number| self.calls.remove(&number)).collect()
    }

    /// Returns cgroups without a path yet.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = u64> {
        self.calls.iter().filter_map(|(_, call)| match call.awaited {
            Awaited::Path(id) => Some(id),
            Awaited::Name(_) => None,
        })
    }

    /// Returns the number of a container's calls that wait for its name.
    #[cfg(test)]
    pub(super) fn of(&self, workload: &crate::workload::Workload) -> usize {
        let is_its = |call: &&WaitingCall| match (&call.awaited, workload) {
            (Awaited::Name(identity), crate::workload::Workload::Unresolved(of)) => identity == of,
            _ => false,
        };
        self.calls.iter().map(|(_, call)| call).filter(is_its).count()
    }
}
