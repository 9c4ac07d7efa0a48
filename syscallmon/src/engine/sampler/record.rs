//! Collects the input of the model for a recording.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    recording::{Sample, SampleSender},
    snapshot::Snapshot,
    view::{RecordedFirstCall, SnapshotInfo},
    workload::{Labels, MetadataCache, ResolvedWorkload, Workload},
};

/// Collects samples, if there is a recording.
pub(super) struct Recorder(Option<Active>);

struct Active {
    sender: SampleSender,
    /// When counting began.
    started: Instant,
    /// The current sample.
    next: Sample,
}

impl Recorder {
    pub(super) fn new(sender: Option<SampleSender>, started: Instant) -> Self {
        Self(sender.map(|sender| Active { sender, started, next: Sample::default() }))
    }

    pub(super) fn is_active(&self) -> bool {
        self.0.is_some()
    }

    /// Adds to the current sample.
    fn add(&mut self, to: impl FnOnce(&mut Sample)) {
        if let Some(Active { next, .. }) = &mut self.0 {
            to(next);
        }
    }

    pub(super) fn born(&mut self, cgroup_id: u64, now: Instant) {
        if let Some(Active { started, next, .. }) = &mut self.0 {
            next.births.push((cgroup_id, now.saturating_duration_since(*started)));
        }
    }

    pub(super) fn first_call(&mut self, metadata: &Labels, call: &RecordedFirstCall) {
        self.add(|next| next.add_first_call(metadata.clone(), call.clone()));
    }

    /// Adds cgroups that became another workload, and names of workloads: of totals, and of first calls, which may have
    /// no totals.
    pub(super) fn renamed(
        &mut self,
        cgroups: &[u64],
        mut names: HashMap<Workload, ResolvedWorkload>,
        called: Vec<(Workload, ResolvedWorkload)>,
    ) {
        self.add(|next| {
            next.renamed_cgroups.extend(cgroups);
            for (workload, named) in called {
                names.entry(workload).or_insert(named);
            }
            next.renames.extend(names);
        });
    }

    pub(super) fn named(&mut self, cgroup_id: u64, named: &ResolvedWorkload) {
        self.add(|next| next.names.push((cgroup_id, named.clone())));
    }

    pub(super) fn released(&mut self, name_timeout: Duration) {
        self.add(|next| next.name_timeout = name_timeout);
    }

    pub(super) fn forgotten(&mut self, dead: &[u64]) {
        self.add(|next| next.dead.extend(dead));
    }

    /// Notes a workload that is kept although it ended long ago.
    pub(super) fn kept(&mut self, metadata: &Labels) {
        self.add(|next| next.kept.push(metadata.clone()));
    }

    /// Sends the sample to the writer. Without room there, its snapshot is lost, and the next sample says so.
    pub(super) fn finish(
        &mut self,
        snapshot: Snapshot,
        (freed, expire_after): (&[u32], Duration),
        facts: &SnapshotInfo,
        cache: &MetadataCache,
    ) {
        let Some(Active { sender, started, next }) = &mut self.0 else { return };
        let missed = next.missed;
        let sample = Sample {
            taken: facts.taken.saturating_duration_since(*started),
            time: facts.time,
            took: facts.duration,
            snapshot,
            freed: freed.to_vec(),
            expire_after,
            sources: cache.sources(),
            unresolved: cache.unresolved(),
            ..std::mem::take(next)
        };
        *next = match sender.offer(sample) {
            Ok(()) => Sample { missed, ..Sample::default() },
            Err(sample) => sample.left_out(),
        };
    }
}
