//! Applies the kernel's events: births and deaths of cgroups, and first calls.

use std::{
    collections::HashSet,
    time::{Instant, SystemTime},
};

use super::Sampler;
use crate::{
    cgroup::TreeChange,
    clock::monotonic_now,
    fair_share::Tenant,
    kernel::{CgroupChange, FirstCallEvent},
    process,
    syscalls::CallTable,
    view::{FirstCalls, RecordedFirstCall},
    workload::{Labels, ResolvedWorkload, Workload, WorkloadResolver},
};

impl Sampler {
    /// Applies the events in the ring buffers.
    pub(super) fn take_events(&mut self) {
        let (calls, changes) = self.events.take();
        self.apply_events(calls, changes);
    }

    /// Applies these events.
    pub(super) fn apply_events(&mut self, calls: Vec<FirstCallEvent>, changes: Vec<CgroupChange>) {
        let now = Instant::now();
        for change in changes {
            match &change {
                CgroupChange::Born { id, parent, unprivileged, path } => {
                    self.model.born(*id, now);
                    self.recorder.born(*id, now);
                    let (id, parent, unprivileged) = (*id, *parent, *unprivileged);
                    self.tree.apply(TreeChange::Born { id, parent, unprivileged, path });
                }
                CgroupChange::Died { id } => self.tree.apply(TreeChange::Died { id: *id }),
            }
        }
        self.take_names();
        if calls.is_empty() {
            return;
        }
        let (monotonic, now) = (monotonic_now(), SystemTime::now());
        let mut seen = HashSet::new();
        for call in calls {
            // Two CPUs may report one first call.
            if seen.insert((call.cgroup_id, call.abi as u32, call.number, call.class, call.denied)) {
                let time = now.checked_sub(monotonic.saturating_sub(call.monotonic)).unwrap_or(now);
                self.take_first_call(&call, time);
            }
        }
    }

    fn take_first_call(&mut self, call: &FirstCallEvent, time: SystemTime) {
        let path = self.tree.path(call.cgroup_id).cloned();
        let unknown = || ResolvedWorkload { workload: Workload::Unknown, metadata: Labels::default() };
        let named = path.map_or_else(unknown, |path| self.resolver.name(call.cgroup_id, &path).clone());
        let is_partial = !self.model.is_whole(call.cgroup_id);
        let judged_now = self.detector.look_at(&named, call, time, is_partial);
        if call.class.is_none()
            && self.detector.is_judged_by_arguments(self.publisher.facts.calls.position(call.abi, call.number))
        {
            // The class of its arguments follows.
            return;
        }
        let tenant = Tenant::of(&named.workload, &named.metadata);
        let calls = &self.publisher.facts.calls;
        let first = first_call(call, named.workload.clone(), calls, time);
        self.recorder.first_call(&named.metadata, &first);
        self.first_calls.push(tenant, first);
        self.publisher.changed();
        if let Some(first) = judged_now {
            self.detector.first(&self.resolver, &named, first);
        }
    }
}

/// Renames first calls of these workloads, and returns them.
pub(super) fn name_first_calls(
    first_calls: &mut FirstCalls,
    resolver: &WorkloadResolver,
) -> Vec<(Workload, ResolvedWorkload)> {
    first_calls.rename(|identity| {
        let named = resolver.of_known(identity);
        (!matches!(named.workload, Workload::Unresolved(_))).then_some(named)
    })
}

fn first_call(call: &FirstCallEvent, workload: Workload, calls: &CallTable, time: SystemTime) -> RecordedFirstCall {
    let name = calls.call(calls.reported(call.abi, call.number, call.class));
    RecordedFirstCall {
        time,
        workload,
        abi: name.abi,
        syscall: name.name(),
        argument: name.argument(),
        number: call.number,
        denied: call.denied,
        process: process::of_event(call),
    }
}
