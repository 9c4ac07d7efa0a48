//! Records of samples: only the differences to the previous sample.

use serde::{Deserialize, Serialize};

use super::names::{NamedRow, Values, WorkloadRow};
use crate::{
    process::Process,
    snapshot::{Counts, Losses},
    workload::ProviderStatus,
};

/// A record after the header.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FrameOrEnd {
    Frame(Box<Frame>),
    End(End),
}

/// The last record, if the recorder ended normally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Samples in the file.
    pub samples: u64,
    /// Samples that were left out because the disk was too slow.
    pub missed: u64,
}

/// A sample, or a part of one. Moments are nanoseconds since counting began. Differences refer to the previous sample.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frame {
    /// Whether more parts of the sample follow. Of a part, only the fields up to `remainder` are used.
    #[serde(skip_serializing_if = "is_default")]
    pub is_part: bool,
    /// New cgroups, and the moments of their births.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) births: Vec<(u64, u64)>,
    /// First calls.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) first_calls: Vec<FirstCallRow>,
    /// Cgroups that became another workload.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) renamed_cgroups: Vec<u64>,
    /// Workloads with new metadata.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) renames: Vec<(WorkloadRow, NamedRow)>,
    /// New and changed names of cgroups.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) names: Vec<(u64, NamedRow)>,
    /// Slots with changed counts.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) slots: Vec<SlotRow>,
    /// Slots that no cgroup has any more.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) gone: Vec<u32>,
    /// Slots that were freed after the snapshot.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) freed: Vec<u32>,
    /// Slots that were freed before it.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) freed_before: Vec<u32>,
    /// Removed cgroups.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) dead: Vec<u64>,
    /// Increase of the remainder.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) remainder: Counts,
    pub(super) at: u64,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) took: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) losses: Losses,
    pub(super) series: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) histograms: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) patience: u64,
    pub(super) expire_after: u64,
    /// `None` if unchanged, as for providers.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) kept: Option<Vec<Values>>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) sources: Option<Vec<ProviderStatus>>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) unresolved: usize,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) missed: u64,
}

/// Increase of a slot.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SlotRow {
    pub(super) slot: u32,
    pub(super) cgroup: u64,
    /// Whether these are all counts of the slot: it belongs to another cgroup now, or its counts fell.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) is_new: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) counts: Counts,
}

/// A first call. The number identifies the call within its ABI, and `call` within the header's table.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FirstCallRow {
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) named: NamedRow,
    pub(super) call: u16,
    pub(super) number: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) denied: bool,
    pub(super) process: Process,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
