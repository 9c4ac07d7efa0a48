//! The data of one snapshot, as plain values.

use std::time::{Duration, SystemTime};

use crate::{
    snapshot::Snapshot,
    view::RecordedFirstCall,
    workload::{Labels, ProviderStatus, ResolvedWorkload, Workload},
};

/// All input of a model for one snapshot, in the order of use. Moments are durations since counting began.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When the snapshot was taken.
    pub taken: Duration,
    /// The same as wall-clock time.
    pub time: SystemTime,
    /// Duration of reading and applying it.
    pub took: Duration,
    /// New cgroups, and the moments of their births.
    pub births: Vec<(u64, Duration)>,
    /// First calls, and the metadata of the workload of each.
    pub first_calls: Vec<(Labels, RecordedFirstCall)>,
    /// Cgroups that became another workload. Not all of their calls are known.
    pub renamed_cgroups: Vec<u64>,
    /// Workloads with new metadata.
    pub renames: Vec<(Workload, ResolvedWorkload)>,
    /// Slots that were freed before the snapshot, in samples that were left out.
    pub freed_before: Vec<u32>,
    /// The kernel's counts.
    pub snapshot: Snapshot,
    /// The name of each cgroup in the snapshot.
    pub names: Vec<(u64, ResolvedWorkload)>,
    /// How long a container without a name waits for one.
    pub name_timeout: Duration,
    /// Slots that were freed after the snapshot.
    pub freed: Vec<u32>,
    /// Removed cgroups.
    pub dead: Vec<u64>,
    /// How long ended workloads are exported.
    pub expire_after: Duration,
    /// Metadata of workloads that ended longer ago, and are kept because their cgroup or pod exists.
    pub kept: Vec<Labels>,
    /// Metadata providers.
    pub sources: Vec<ProviderStatus>,
    /// Containers that wait for metadata.
    pub unresolved: usize,
    /// Samples that were left out so far because the disk was too slow.
    pub missed: u64,
}

/// Maximum first calls of one sample. Consumers keep no more.
const MAX_FIRST_CALLS: usize = 2048;

/// Maximum new names in one sample.
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
            name_timeout: Duration::ZERO,
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
    /// Returns a sample that continues from this one, which is left out. Its snapshot is lost. Events before and after
    /// it are not.
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

    /// Adds a first call. Beyond the limit, the oldest one is removed.
    pub fn add_first_call(&mut self, metadata: Labels, call: RecordedFirstCall) {
        if self.first_calls.len() >= 2 * MAX_FIRST_CALLS {
            self.first_calls.drain(..MAX_FIRST_CALLS);
        }
        self.first_calls.push((metadata, call));
    }
}

/// A record of a [`super::Reader`].
#[derive(Clone, Debug, PartialEq)]
pub enum SampleOrEnd {
    /// The data of one snapshot.
    Sample(Box<Sample>),
    /// The recorder ended normally.
    End(super::End),
}
