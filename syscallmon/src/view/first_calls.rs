//! The newest first calls of each workload.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use serde::Serialize;

use crate::{
    clock::unix_seconds,
    fair_share::{Capacity, FairShare, Priority, Tenant},
    process::Process,
    workload::{CgroupIdentity, ResolvedWorkload, Workload},
};

/// Maximum first calls, of all workloads together.
const CAPACITY: Capacity = Capacity { entries: 2048, bytes: 2 << 20 };

/// A workload made a call for the first time, or seccomp denied it for the first time, since its cgroup was made or the
/// daemon started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedFirstCall {
    /// Time of the call.
    #[serde(serialize_with = "unix_seconds")]
    pub time: SystemTime,
    /// The workload.
    pub workload: Workload,
    /// The call's ABI.
    pub abi: &'static str,
    /// The call's name.
    pub syscall: &'static str,
    /// The class of its arguments that is new; empty if the call itself is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub argument: &'static str,
    /// Its number within the ABI.
    pub number: u64,
    /// Whether seccomp denied the call.
    pub denied: bool,
    /// The process.
    #[serde(flatten)]
    pub process: Process,
}

impl RecordedFirstCall {
    /// Returns the call with the class of its arguments, as `socket(AF_ALG)`.
    #[must_use]
    pub fn call(&self) -> Cow<'static, str> {
        match self.argument {
            "" => self.syscall.into(),
            argument => format!("{}({argument})", self.syscall).into(),
        }
    }
}

/// The newest first calls of each workload. No workload displaces calls of others.
#[derive(Debug)]
pub struct FirstCalls {
    calls: FairShare<u64, Arc<RecordedFirstCall>>,
    number: u64,
}

impl Default for FirstCalls {
    fn default() -> Self {
        Self { calls: FairShare::new(CAPACITY), number: 0 }
    }
}

impl FirstCalls {
    /// Adds a call of a tenant.
    pub fn push(&mut self, tenant: Tenant, call: RecordedFirstCall) {
        self.number += 1;
        let bytes = size_of::<RecordedFirstCall>() + call.process.bytes();
        self.calls.put(tenant, Priority::Normal, self.number, Arc::new(call), bytes);
    }

    /// Returns all kept first calls, the newest first.
    #[must_use]
    pub fn newest(&self) -> Vec<Arc<RecordedFirstCall>> {
        let mut calls: Vec<(&u64, &Arc<RecordedFirstCall>)> = self.calls.iter().collect();
        calls.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(**number));
        calls.into_iter().map(|(_, call)| Arc::clone(call)).collect()
    }

    /// Renames workloads. Returns those that have a name now, by their previous name.
    pub fn rename(
        &mut self,
        name: impl Fn(&Arc<CgroupIdentity>) -> Option<ResolvedWorkload>,
    ) -> Vec<(Workload, ResolvedWorkload)> {
        let named = |(&number, call): (&u64, &Arc<RecordedFirstCall>)| match &call.workload {
            Workload::Unresolved(identity) => Some((number, name(identity)?)),
            _ => None,
        };
        let mut renamed = Vec::new();
        for (number, named) in self.calls.iter().filter_map(named).collect::<Vec<_>>() {
            self.calls.reassign(&number, &Tenant::of(&named.workload, &named.metadata));
            if let Some(call) = self.calls.get_mut(&number) {
                let before = std::mem::replace(&mut Arc::make_mut(call).workload, named.workload.clone());
                renamed.push((before, named));
            }
        }
        renamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Labels;

    fn made(calls: &mut FirstCalls, workload: &Workload, number: u64) {
        let process = Process {
            pid: 7,
            tid: 7,
            uid: 0,
            comm: "sh".to_owned(),
            exe: None,
            command_line: None,
            parents: Vec::new(),
            tree: crate::process::ProcessTree::default(),
        };
        let (time, workload) = (SystemTime::UNIX_EPOCH, workload.clone());
        let tenant = Tenant::of(&workload, &Labels::default());
        calls.push(
            tenant,
            RecordedFirstCall {
                time,
                workload,
                abi: "x86_64",
                syscall: "read",
                argument: "",
                number,
                denied: false,
                process,
            },
        );
    }

    #[test]
    fn each_workload_keeps_its_newest_whatever_others_do() {
        let (mut calls, quiet) = (FirstCalls::default(), Workload::cgroup("/quiet".into()));
        for number in 0..300 {
            made(&mut calls, &quiet, number);
        }
        for number in 0..10_000 {
            made(&mut calls, &Workload::cgroup(format!("/flood-{}", number % 3).into()), number);
        }
        assert_eq!(calls.newest().len(), CAPACITY.entries);
        let of_it = calls.newest().into_iter().filter(|call| call.workload == quiet);
        assert_eq!(of_it.map(|call| call.number).collect::<Vec<_>>(), (0..300).rev().collect::<Vec<_>>());
        assert_eq!(calls.newest()[0].number, 9999);
    }

    #[test]
    fn a_name_that_comes_later_is_taken_up() {
        let id = "a".repeat(64);
        let identity = CgroupIdentity::of(&format!("/docker/{id}").into());
        let mut calls = FirstCalls::default();
        made(&mut calls, &Workload::Unresolved(identity.into()), 1);
        let named = ResolvedWorkload { workload: Workload::cgroup("/b".into()), metadata: Labels::default() };
        calls.rename(|_| Some(named.clone()));
        assert_eq!(calls.newest()[0].workload, named.workload);
    }
}
