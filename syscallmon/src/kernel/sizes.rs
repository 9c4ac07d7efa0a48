//! How large the kernel's tables are made.

use syscallmon_common::{
    CGROUP_PATH_MAX, CONTAINER_INIT_LEN, Durations, IndexRow, POSITIONS_PER_CGROUP, REPORTED_LEN, SlotCache,
    TASK_STATE_ROWS, TASK_STATES_PER_ROW,
};

use super::{Capacity, Error, Options};

/// Errors and refused calls may have these parts of all series, so that however many ways a workload finds to fail, calls keep
/// theirs, and refused calls, too.
const ERRORS_PART: u32 = 4;
const DENIED_PART: u32 = 8;

/// What the kernel needs for an entry of a hash table besides its key and value, about.
const HASH_ENTRY: u64 = 80;

/// Entries of a table whose oldest entries give way: every CPU takes free ones by 128 from such a table, and forgets its own when there are
/// none left.
fn lru(least: u32, cpus: usize) -> u32 {
    u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(256).max(least)
}

/// Attribution roots for each slot: containers that make no calls have no slot, but are roots. 4,096 at least.
const ROOTS_PER_SLOT: u32 = 4;
const MIN_ROOTS: u32 = 4096;

/// Numbers of entries; where numbers are from 1, one more than there are.
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
    task_state_rows: u32,
    starts: u32,
}

impl Sizes {
    /// What these options need; tables of features that are off are as small as tables can be.
    pub(super) fn new(options: &Options, capacity: Capacity) -> Self {
        let features = &options.features;
        let of = |wanted: bool, entries: u32| if wanted { entries } else { 0 };
        Self {
            slots: capacity.cgroups + 1,
            series: capacity.series + 1,
            histograms: of(features.latency, capacity.histograms) + 1,
            errors: of(features.errors, capacity.series / ERRORS_PART),
            denied: of(features.denied, capacity.series / DENIED_PART),
            task_state_rows: if features.denied || features.errors { TASK_STATE_ROWS } else { 1 },
            starts: of(features.latency, capacity.timed_calls),
        }
    }

    /// By the names of the maps.
    ///
    /// # Errors
    ///
    /// When a table would have more entries than a table can.
    pub(super) fn maps(&self, cpus: usize) -> Result<[(&'static str, u32); 21], Error> {
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
            ("SLOT_OF_CGROUP", self.slots - 1),
            ("FREE_SLOTS", self.slots - 1),
            ("FREE_SERIES", self.series - 1),
            ("ERRORS", self.errors.max(1)),
            ("DENIED", self.denied.max(1)),
            ("TIMED", self.histograms),
            ("TASK_STATE", self.task_state_rows),
            ("STARTS", self.starts.max(1)),
            ("HISTOGRAMS", rows(self.histograms, too_many("histograms", self.histograms - 1))?),
            ("HISTOGRAM_KEYS", self.histograms),
            ("FREE_HISTOGRAMS", (self.histograms - 1).max(1)),
        ])
    }

    /// Cgroups that can be attribution roots at the same time.
    pub(super) fn roots(&self) -> u32 {
        self.slots.saturating_mul(ROOTS_PER_SLOT).max(MIN_ROOTS)
    }

    /// Kernel memory that they will take, in bytes, within some percent.
    pub(super) fn memory_needed(&self, cpus: usize) -> u64 {
        let of = |entries: u32, bytes: usize| u64::from(entries) * bytes as u64;
        let per_cpu = of(self.series, 8)
            + of(self.histograms, size_of::<Durations>())
            + (size_of::<SlotCache>() + CGROUP_PATH_MAX) as u64;
        // Keys and free lists of numbers, calls of container init; index rows, counts of errors and ids of slots.
        let lists = of(self.series + self.histograms, 8 + 4) + of(self.series, 8);
        let slots = of(self.slots, size_of::<IndexRow>() + 8 + 8 + 8 + 4);
        let lru = lru(CONTAINER_INIT_LEN, cpus) + lru(REPORTED_LEN, cpus);
        let entries = self.slots + self.errors + self.denied + self.histograms + self.starts + self.roots() + lru;
        let hashes = u64::from(entries) * HASH_ENTRY;
        // Ring buffers, remainders and the rest.
        let rest = (7 << 18) + 16 * POSITIONS_PER_CGROUP as u64;
        cpus as u64 * per_cpu + lists + slots + hashes + of(self.task_state_rows, TASK_STATES_PER_ROW) + rest
    }
}
