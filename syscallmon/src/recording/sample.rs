//! What one snapshot brought, as plain data.

use std::time::{Duration, SystemTime};

use crate::{
    snapshot::Snapshot,
    view::RecordedFirstCall,
    workload::{Labels, ProviderStatus, ResolvedWorkload, Workload},
};

/// Everything that a model is fed with at one snapshot, in the order in which it is. Moments are durations
/// since counting began.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When the snapshot was taken.
    pub taken: Duration,
    /// The same, as people tell time.
    pub time: SystemTime,
    /// How long it took to read and to take up.
    pub took: Duration,
    /// Cgroups that were born, and when.
    pub births: Vec<(u64, Duration)>,
    /// First calls, and what was known of the workload that made each.
    pub first_calls: Vec<(Labels, RecordedFirstCall)>,
    /// Cgroups that became another workload: of what they are now, not all calls are known.
    pub renamed_cgroups: Vec<u64>,
    /// Workloads whose names became known.
    pub renames: Vec<(Workload, ResolvedWorkload)>,
    /// Slots that were freed before the snapshot, in samples that were left out.
    pub freed_before: Vec<u32>,
    /// The kernel's counts.
    pub snapshot: Snapshot,
    /// The name of each cgroup in the snapshot.
    pub names: Vec<(u64, ResolvedWorkload)>,
    /// How long a container without a name waits for one.
    pub patience: Duration,
    /// Slots that were freed after the snapshot.
    pub freed: Vec<u32>,
    /// Cgroups that are gone.
    pub dead: Vec<u64>,
    /// How long workloads that are gone are exported.
    pub expire_after: Duration,
    /// What is known of workloads that are gone for so long, and are kept since their cgroup or pod is there.
    pub kept: Vec<Labels>,
    /// Sources of names.
    pub sources: Vec<ProviderStatus>,
    /// Containers that are wanted and not known.
    pub unresolved: usize,
    /// Samples that were left out so far, since the disk was too slow.
    pub missed: u64,
}

/// Most first calls of one sample: more are not remembered by whoever shows them.
const MAX_FIRST_CALLS: usize = 2048;

/// Most names of one sample that became known.
const MAX_RENAMES: usize = 65_536;

impl Default for Sample {
    fn default() -> Self {
        Self {
            taken: Duration::ZERO,
            time: SystemTime::UNIX_EPOCH,
            took: Duration::ZERO,
            births: Vec::new(),
            first_calls: Vec::new(),
            renamed_cgroups: Vec::new(),
            renames: Vec::new(),
            freed_before: Vec::new(),
            snapshot: Snapshot::default(),
            names: Vec::new(),
            patience: Duration::ZERO,
            freed: Vec::new(),
            dead: Vec::new(),
            expire_after: Duration::ZERO,
            kept: Vec::new(),
            sources: Vec::new(),
            unresolved: 0,
            missed: 0,
        }
    }
}

impl Sample {
    /// A sample that goes on from this one, which is left out: its snapshot is lost, what happened before and after
    /// it is not.
    #[must_use]
    pub fn left_out(self) -> Self {
        let Self { mut births, mut first_calls, mut renamed_cgroups, mut renames, mut freed_before, .. } = self;
        let Self { freed, dead, missed, .. } = self;
        births.retain(|(id, _)| !dead.contains(id));
        renamed_cgroups.extend(dead);
        renamed_cgroups.truncate(MAX_RENAMES);
        freed_before.extend(freed);
        freed_before.sort_unstable();
        freed_before.dedup();
        renames.truncate(MAX_RENAMES);
        first_calls.drain(..first_calls.len().saturating_sub(MAX_FIRST_CALLS));
        Self { births, first_calls, renamed_cgroups, renames, freed_before, missed: missed + 1, ..Self::default() }
    }

    /// Adds a first call; beyond a limit, the oldest one goes.
    pub fn add_first_call(&mut self, metadata: Labels, call: RecordedFirstCall) {
        if self.first_calls.len() >= 2 * MAX_FIRST_CALLS {
            self.first_calls.drain(..MAX_FIRST_CALLS);
        }
        self.first_calls.push((metadata, call));
    }
}

/// What a [`super::Reader`] finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// What one snapshot brought.
    Sample(Box<Sample>),
    /// The recorder ended as it should.
    End(super::End),
}
