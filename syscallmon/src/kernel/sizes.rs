//! Sizes of the kernel's tables.

use syscallmon_common::{
    CGROUP_PATH_MAX, CONTAINER_INIT_LEN, Durations, IndexRow, POSITIONS_PER_CGROUP, REPORTED_LEN, SlotCache,
    TASK_STATE_ROWS, TASK_STATES_PER_ROW,
};

use super::{Error, Options, TableCapacity};
use crate::syscalls::ArgumentClasses;

/// Errors and denied calls get only this part of all series each. So a workload with many different failures cannot use
/// up the series of calls or of denied calls.
const ERRORS_PART: u32 = 4;
const DENIED_PART: u32 = 8;
/// Classes of arguments get this part of all series. Most workloads use a few.
const ARGUMENTS_PART: u32 = 16;
/// Maximum classes of arguments that have their own series in one cgroup. Programs use up to a few dozen.
pub(super) const ARGUMENTS_PER_CGROUP: u32 = 128;

/// Approximate memory of a hash table entry, besides its key and value.
const HASH_ENTRY: u64 = 80;

/// Size of an LRU table with at least this many usable entries. Each CPU reserves 128 free entries at a time, and drops
/// its own oldest entries when none are left.
fn lru(least: u32, cpus: usize) -> u32 {
    u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(256).max(least)
}

/// Attribution roots per slot, at least 4,096. Containers that make no calls are roots without a slot.
const ROOTS_PER_SLOT: u32 = 4;
const MIN_ROOTS: u32 = 4096;

/// Numbers of entries. Tables with numbers from 1 have one entry more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Slots of cgroups.
    pub(super) slots: u32,
    /// Series.
    pub(super) series: u32,
    /// Histograms.
    pub(super) histograms: u32,
    errors: u32,
    denied: u32,
    arguments: u32,
    task_state_rows: u32,
    starts: u32,
}

impl Sizes {
    /// Returns the sizes for these options. Tables of disabled features have the minimum size.
    pub(super) fn new(options: &Options, capacity: TableCapacity) -> Self {
        let features = &options.features;
        let of = |wanted: bool, entries: u32| if wanted { entries } else { 0 };
        Self {
            slots: capacity.cgroups + 1,
            series: capacity.series + 1,
            histograms: of(features.latency, capacity.histograms) + 1,
            errors: of(features.errors, capacity.series / ERRORS_PART),
            denied: of(features.denied, capacity.series / DENIED_PART),
            arguments: of(features.arguments != ArgumentClasses::None, capacity.series / ARGUMENTS_PART),
            task_state_rows: if features.denied || features.errors { TASK_STATE_ROWS } else { 1 },
            starts: of(features.latency, capacity.timed_calls),
        }
    }

    /// Returns the sizes of the tables of counts of another daemon.
    pub(super) fn of_counts(slots: u32, series: u32, histograms: u32) -> Self {
        let (errors, denied, arguments, task_state_rows, starts) = (0, 0, 0, 0, 0);
        Self { slots, series, histograms, errors, denied, arguments, task_state_rows, starts }
    }

    /// Returns the sizes by the names of the maps.
    ///
    /// # Errors
    ///
    /// When a table would exceed the kernel's limit.
    pub(super) fn maps(&self, cpus: usize) -> Result<[(&'static str, u32); 23], Error> {
        let rows = |entries: u32, too_many| {
            u32::try_from(cpus).ok().and_then(|cpus| entries.checked_mul(cpus)).ok_or(too_many)
        };
        let too_many = |what, count| Error::Capacity { what, count, cpus };
        Ok([
            ("COUNTERS", rows(self.series, too_many("series", self.series - 1))?),
            ("SERIES_KEYS", self.series),
            ("CONTAINER_INIT_COUNTS", self.series),
            ("CONTAINER_INIT", lru(CONTAINER_INIT_LEN, cpus)),
            ("REPORTED", lru(REPORTED_LEN, cpus)),
            ("ATTRIBUTION_ROOTS", self.roots()),
            ("SERIES_INDEX", self.slots),
            ("SLOTS", self.slots),
            ("ERRORS_OF_SLOT", self.slots),
            ("DENIED_OF_SLOT", self.slots),
            ("ARGUMENTS_OF_SLOT", self.slots),
            ("SLOT_OF_CGROUP", self.slots - 1),
            ("FREE_SLOTS", self.slots - 1),
            ("FREE_SERIES", self.series - 1),
            ("ERRORS", self.errors.max(1)),
            ("DENIED", self.denied.max(1)),
            ("ARGUMENTS", self.arguments.max(1)),
            ("TIMED", self.histograms),
            ("TASK_STATE", self.task_state_rows),
            ("STARTS", self.starts.max(1)),
            ("HISTOGRAMS", rows(self.histograms, too_many("histograms", self.histograms - 1))?),
            ("HISTOGRAM_KEYS", self.histograms),
            ("FREE_HISTOGRAMS", (self.histograms - 1).max(1)),
        ])
    }

    /// Maximum attribution roots at the same time.
    pub(super) fn roots(&self) -> u32 {
        self.slots.saturating_mul(ROOTS_PER_SLOT).max(MIN_ROOTS)
    }

    /// Estimates the kernel memory of all tables, in bytes, within some percent.
    pub(super) fn memory_needed(&self, cpus: usize) -> u64 {
        let of = |entries: u32, bytes: usize| u64::from(entries) * bytes as u64;
        let per_cpu = of(self.series, 8)
            + of(self.histograms, size_of::<Durations>())
            + (size_of::<SlotCache>() + CGROUP_PATH_MAX) as u64;
        // Keys and free lists, and counts of container init; then index rows, counts of errors and ids of slots.
        let lists = of(self.series + self.histograms, 8 + 4) + of(self.series, 8);
        let slots = of(self.slots, size_of::<IndexRow>() + 8 + 8 + 8 + 8 + 4);
        let lru = lru(CONTAINER_INIT_LEN, cpus) + lru(REPORTED_LEN, cpus);
        let entries = self.slots
            + self.errors
            + self.denied
            + self.arguments
            + self.histograms
            + self.starts
            + self.roots()
            + lru;
        let hashes = u64::from(entries) * HASH_ENTRY;
        // Ring buffers, remainders and the rest.
        let rest = (7 << 18) + 16 * POSITIONS_PER_CGROUP as u64;
        cpus as u64 * per_cpu + lists + slots + hashes + of(self.task_state_rows, TASK_STATES_PER_ROW) + rest
    }
}
