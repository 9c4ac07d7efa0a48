//! Reads the counts in the tables, without a system call.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            Ordering::{Acquire, Relaxed},
            fence,
        },
    },
};

use syscallmon_common::{Durations as KernelDurations, LossReason, POSITIONS_PER_CGROUP, SeriesKey};

use super::super::{
    Error,
    last_read::{LastRead, ReadCounts},
    mapped::MappedArray,
    sizes::Sizes,
};
use crate::{
    snapshot::{ArgumentKey, Counts, DeniedKey, Durations, ErrorKey, Losses, SlotCounts, Snapshot, SortedCounts},
    syscalls::CallId,
};

/// Maps an array with this name and length in bytes.
pub(in crate::kernel) type MapArray<'a> = &'a dyn Fn(&'static str, usize) -> Result<MappedArray, Error>;

/// The mapped tables of counts.
pub(in crate::kernel) struct CountTables {
    pub(super) sizes: Sizes,
    pub(super) cpus: usize,
    pub(super) counters: MappedArray,
    pub(super) series_keys: MappedArray,
    pub(super) container_init_counts: MappedArray,
    pub(super) slots: MappedArray,
    pub(super) histograms: MappedArray,
    pub(super) histogram_keys: MappedArray,
    pub(super) remainder: MappedArray,
    denied_remainder: MappedArray,
    pub(super) lost: MappedArray,
    /// The previous reading.
    pub(super) last: LastRead,
}

/// Durations of a slot's measured calls.
type SlotDurations = Vec<(CallId, Durations)>;

/// The names of the arrays.
pub(in crate::kernel) const COUNT_TABLES: [&str; 9] = [
    "COUNTERS",
    "SERIES_KEYS",
    "CONTAINER_INIT_COUNTS",
    "SLOTS",
    "HISTOGRAMS",
    "HISTOGRAM_KEYS",
    "REMAINDER",
    "DENIED_REMAINDER",
    "LOST",
];

impl CountTables {
    /// Maps the arrays.
    pub(in crate::kernel) fn new(map: MapArray<'_>, sizes: &Sizes, cpus: usize) -> Result<Self, Error> {
        let (rows, series, histograms) = (sizes.slots as usize, sizes.series as usize, sizes.histograms as usize);
        let words = |name, count: usize| map(name, count * size_of::<u64>());
        Ok(Self {
            sizes: *sizes,
            cpus,
            counters: words("COUNTERS", cpus * series)?,
            series_keys: words("SERIES_KEYS", series)?,
            container_init_counts: words("CONTAINER_INIT_COUNTS", series)?,
            slots: words("SLOTS", rows)?,
            histograms: words("HISTOGRAMS", cpus * histograms * HISTOGRAM_WORDS)?,
            histogram_keys: words("HISTOGRAM_KEYS", histograms)?,
            remainder: words("REMAINDER", POSITIONS_PER_CGROUP)?,
            denied_remainder: words("DENIED_REMAINDER", POSITIONS_PER_CGROUP)?,
            lost: words("LOST", LossReason::COUNT)?,
            last: LastRead::new(series, rows),
        })
    }

    /// Reads all counts without a system call. A slot without changes keeps the [`Arc`] of the previous snapshot.
    pub(in crate::kernel) fn snapshot(&mut self) -> Snapshot {
        // Owners first: new calls of a slot whose owner is written later wait for the next snapshot.
        for slot in 0..self.sizes.slots as usize {
            self.last.slot(slot).owner = self.slots.u64(slot).load(Relaxed);
        }
        let series = self.read_series();
        let (histograms, mut durations) = self.read_histograms();
        let numbers = 0..self.sizes.slots;
        let slots = numbers.filter_map(|slot| self.slot_counts(slot, durations.remove(&slot).unwrap_or_default()));
        let slots = slots.collect();
        let losses = self.losses();
        Snapshot { slots, remainder: self.remainder(&losses), losses, series, histograms }
    }

    /// Reads all series. Returns the number of used ones.
    fn read_series(&mut self) -> u32 {
        let (mut in_use, row) = (0, self.sizes.series as usize);
        for number in 1..row {
            let key = || self.series_keys.u64(number).load(Relaxed);
            if key() == 0 && self.last.was_free(number) {
                continue;
            }
            let (key, counts) = counts_and_key(key, || ReadCounts {
                count: (0..self.cpus).map(|cpu| self.counters.u64(cpu * row + number).load(Relaxed)).sum(),
                of_container_init: self.container_init_counts.u64(number).load(Relaxed),
            });
            in_use += u32::from(key != 0);
            self.last.read_series(number, key, counts);
        }
        in_use
    }

    /// Reads all histograms. Returns the number of used ones, and the durations by slot.
    fn read_histograms(&self) -> (u32, HashMap<u32, SlotDurations>) {
        let (mut in_use, mut durations) = (0, HashMap::<u32, SlotDurations>::new());
        for number in 1..self.sizes.histograms as usize {
            let key = SeriesKey::from_word(self.histogram_keys.u64(number).load(Relaxed));
            if key.slot != 0 {
                in_use += 1;
                durations.entry(key.slot).or_default().push((CallId(key.position), self.durations(number)));
            }
        }
        (in_use, durations)
    }

    /// Reads one histogram, summed over the CPUs.
    fn durations(&self, number: usize) -> Durations {
        let mut durations = Durations::default();
        for cpu in 0..self.cpus {
            let start = self.histogram_start(cpu, number);
            // The sum first: a call that is counted meanwhile is then in the buckets, and in the next sum.
            durations.sum_ns += self.histograms.u64(start + durations.buckets.len()).load(Relaxed);
            for (bucket, count) in durations.buckets.iter_mut().enumerate() {
                *count += self.histograms.u64(start + bucket).load(Relaxed);
            }
        }
        durations
    }

    /// Returns the first word of one CPU's part of a histogram.
    pub(super) fn histogram_start(&self, cpu: usize, number: usize) -> usize {
        (cpu * self.sizes.histograms as usize + number) * HISTOGRAM_WORDS
    }

    pub(super) fn series_key(&self, number: usize) -> SeriesKey {
        SeriesKey::from_word(self.series_keys.u64(number).load(Relaxed))
    }

    /// Returns a slot's counts; `None` for a free slot.
    fn slot_counts(&mut self, slot: u32, durations: SlotDurations) -> Option<SlotCounts> {
        let known = self.last.slot(slot as usize);
        let cgroup_id = Some(known.owner).filter(|&owner| owner != 0)?;
        let counts = known.counts();
        let durations = SortedCounts::from_iter(durations);
        if counts.durations != durations {
            Arc::make_mut(counts).durations = durations;
        }
        Some(SlotCounts { slot, cgroup_id, counts: Arc::clone(counts) })
    }

    fn remainder(&self, losses: &Losses) -> Counts {
        let by_call = |array: &MappedArray| -> SortedCounts<CallId> {
            let positions = (0..).zip(0..POSITIONS_PER_CGROUP);
            positions.map(|(call, position)| (CallId(call), array.u64(position).load(Relaxed))).collect()
        };
        Counts {
            calls: by_call(&self.remainder),
            container_init: SortedCounts::default(),
            errors: [(ErrorKey::Other, losses.errors_full)].into_iter().collect(),
            denied: by_call(&self.denied_remainder).iter().map(|(call, &count)| (DeniedKey::Of(call), count)).collect(),
            durations: SortedCounts::default(),
            arguments: [(ArgumentKey::Other, losses.arguments_full)].into_iter().collect(),
        }
    }

    fn losses(&self) -> Losses {
        Losses::of_tables(|reason| self.lost.u64(reason as usize).load(Relaxed))
    }
}

/// Reads the counts of a series, and then its key, so that the counts belong to that key.
///
/// A program writes the key before it counts. If it loses a race for a new series, it gives the series back, and
/// another program may write another key and count. So a key that was read before the counts may be the wrong one.
pub(super) fn counts_and_key(key: impl Fn() -> u64, counts: impl FnOnce() -> ReadCounts) -> (u64, ReadCounts) {
    let counts = counts();
    fence(Acquire);
    (key(), counts)
}

/// 64-bit words of one CPU's part of a histogram: the buckets, then the sum.
pub(super) const HISTOGRAM_WORDS: usize = size_of::<KernelDurations>() / size_of::<u64>();
