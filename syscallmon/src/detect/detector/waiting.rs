//! First calls that wait for the path of their cgroup or the name of their container, which decides their policy.
//!
//! No container, and no namespace with many, takes the room of others' calls. What finds no room is judged at once, by
//! what is known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::FirstCall;
use crate::{
    fair_share::{Capacity, FairShare, Priority, Tenant},
    workload::CgroupIdentity,
};

/// Calls that wait, of all together. One has a command line of up to 4 KiB and a few names.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 8 << 20 };

/// What a first call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The path of the cgroup with this id.
    Path(u64),
    /// The name of the container at this place.
    Name(Arc<CgroupIdentity>),
}

#[derive(Debug)]
pub(super) struct WaitingCall {
    pub(super) awaited: Awaited,
    pub(super) since: Instant,
    pub(super) first: FirstCall,
}

/// See the module.
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

    /// Lets a call wait; returns those that can wait no longer.
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

    /// Takes out the calls that `is_ready` says, in the order in which they were made.
    pub(super) fn take(&mut self, mut is_ready: impl FnMut(&Awaited, Duration) -> bool) -> Vec<WaitingCall> {
        let ready = self.calls.iter().filter(|(_, call)| is_ready(&call.awaited, call.since.elapsed()));
        let mut ready: Vec<u64> = ready.map(|(&number, _)| number).collect();
        ready.sort_unstable();
        ready.into_iter().filter_map(|number| self.calls.remove(&number)).collect()
    }

    /// Cgroups without a path yet.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = u64> {
        self.calls.iter().filter_map(|(_, call)| match call.awaited {
            Awaited::Path(id) => Some(id),
            Awaited::Name(_) => None,
        })
    }

    /// How many of a container wait for its name.
    #[cfg(test)]
    pub(super) fn of(&self, workload: &crate::workload::Workload) -> usize {
        let is_its = |call: &&WaitingCall| match (&call.awaited, workload) {
            (Awaited::Name(identity), crate::workload::Workload::Unresolved(of)) => identity == of,
            _ => false,
        };
        self.calls.iter().map(|(_, call)| call).filter(is_its).count()
    }
}
