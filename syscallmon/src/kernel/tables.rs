//! The kernel side's tables as user space sees them: reads counts, and reclaims numbers.
//!
//! Knows the layouts of the maps (`syscallmon-ebpf/src/maps.rs`) and the life cycle of slots and series. The kernel
//! side takes a number from a queue. This module reclaims it after the cgroup is dead. It uses no system call on a map:
//! [`ReclaimQueue`] explains why.

#[cfg(test)]
mod programs;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    mem::offset_of,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed},
            fence,
        },
    },
};

use aya::Ebpf;
use syscallmon_common::{
    Durations as KernelDurations, IndexRow, LossReason, OUTCOME_ENTERED, OUTCOME_OTHER_DENIED, POSITIONS_PER_CGROUP,
    Pool, RECLAIM_ADD_ROOT, RECLAIM_ARGUMENT, RECLAIM_CGROUP, RECLAIM_DENIED, RECLAIM_ERROR, RECLAIM_HISTOGRAM,
    RECLAIM_OPS_LEN, RECLAIM_REMOVE_ROOT, RECLAIM_SERIES, RECLAIM_SLOT, RECLAIM_TIMED, ROOT_OF_ALL, ROOT_OF_REST,
    ReclaimOp, SeriesKey, is_argument, is_denied,
};

use super::{
    Error, Root,
    last_read::{LastRead, ReadCounts},
    mapped::{MappedArray, MappedRows, descriptor, mapped},
    reclaim::{self, ReclaimQueue, Run},
    sizes::Sizes,
};
use crate::{
    snapshot::{ArgumentKey, Counts, DeniedKey, Durations, ErrorKey, Losses, SlotCounts, Snapshot, SortedCounts},
    syscalls::CallId,
};

/// The mapped tables. User space accesses them only through this type.
pub(super) struct Tables {
    sizes: Sizes,
    cpus: usize,
    counters: MappedArray,
    series_keys: MappedArray,
    container_init_counts: MappedArray,
    /// Mapped only where slots are being reclaimed.
    series_index: MappedRows,
    slots: MappedArray,
    errors_of_slot: MappedArray,
    denied_of_slot: MappedArray,
    arguments_of_slot: MappedArray,
    histograms: MappedArray,
    histogram_keys: MappedArray,
    remainder: MappedArray,
    denied_remainder: MappedArray,
    lost: MappedArray,
    exhausted: MappedArray,
    reclaim: ReclaimQueue,
    /// The previous reading.
    last: LastRead,
    /// Kernel memory of all maps, in bytes.
    memory_bytes: u64,
}

/// Durations of a slot's measured calls.
type SlotDurations = Vec<(CallId, Durations)>;

impl Tables {
    /// Takes the maps out of a loaded object, and fills the free lists.
    pub(super) fn new(ebpf: &Ebpf, sizes: &Sizes, cpus: usize, memory_bytes: u64) -> Result<Self, Error> {
        let map = |name, len| mapped(ebpf, name, len);
        Self::over(&map, descriptor(ebpf, "SERIES_INDEX")?, &|| reclaim::run(ebpf), sizes, (cpus, memory_bytes))
    }

    /// The same with any maps: tests have no kernel side.
    fn over(
        map: &dyn Fn(&'static str, usize) -> Result<MappedArray, Error>,
        series_index: OwnedFd,
        run: Run<'_>,
        sizes: &Sizes,
        (cpus, memory_bytes): (usize, u64),
    ) -> Result<Self, Error> {
        let (rows, series, histograms) = (sizes.slots as usize, sizes.series as usize, sizes.histograms as usize);
        let words = |name, count: usize| map(name, count * size_of::<u64>());
        let mut tables = Self {
            sizes: *sizes,
            cpus,
            counters: words("COUNTERS", cpus * series)?,
            series_keys: words("SERIES_KEYS", series)?,
            container_init_counts: words("CONTAINER_INIT_COUNTS", series)?,
            series_index: MappedRows::new(series_index, rows, size_of::<IndexRow>() / size_of::<u64>()),
            slots: words("SLOTS", rows)?,
            errors_of_slot: words("ERRORS_OF_SLOT", rows)?,
            denied_of_slot: words("DENIED_OF_SLOT", rows)?,
            arguments_of_slot: words("ARGUMENTS_OF_SLOT", rows)?,
            histograms: words("HISTOGRAMS", cpus * histograms * HISTOGRAM_WORDS)?,
            histogram_keys: words("HISTOGRAM_KEYS", histograms)?,
            remainder: words("REMAINDER", POSITIONS_PER_CGROUP)?,
            denied_remainder: words("DENIED_REMAINDER", POSITIONS_PER_CGROUP)?,
            lost: words("LOST", LossReason::COUNT)?,
            exhausted: words("EXHAUSTED", Pool::COUNT)?,
            reclaim: ReclaimQueue::new(map("RECLAIM_OPS", RECLAIM_OPS_LEN * size_of::<ReclaimOp>())?),
            last: LastRead::new(series, rows),
            memory_bytes,
        };
        let numbers = |size: u32, back: fn(u32) -> ReclaimOp| (1..size).map(back);
        let free = numbers(sizes.slots, slot_back)
            .chain(numbers(sizes.series, series_back))
            .chain(numbers(sizes.histograms, histogram_back));
        tables.reclaim.reclaim(run, free)?;
        Ok(tables)
    }

    /// Kernel memory of the maps, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Whether the process has the privileges for reclaiming numbers.
    pub(super) fn is_accessible(&self, run: Run<'_>) -> bool {
        self.reclaim.are_permitted(run)
    }

    /// Reads all counts without a system call. A slot without changes keeps the [`Arc`] of the previous snapshot.
    pub(super) fn snapshot(&mut self) -> Snapshot {
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
    fn histogram_start(&self, cpu: usize, number: usize) -> usize {
        (cpu * self.sizes.histograms as usize + number) * HISTOGRAM_WORDS
    }

    fn series_key(&self, number: usize) -> SeriesKey {
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
        let mut losses = Losses::of_tables(|reason| self.lost.u64(reason as usize).load(Relaxed));
        losses.reclaim += self.reclaim.refused();
        losses
    }

    /// Begins to reclaim the slots of cgroups. Returns the slots; skips cgroups without one. `wait` returns when all
    /// programs that ran at its call have ended. From then on, no program counts in these slots, and their counts are
    /// final.
    ///
    /// Harmless for a cgroup that is alive: its next call gets it another slot.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; a retry is harmless.
    pub(super) fn retire(
        &mut self,
        run: Run<'_>,
        wait: impl FnOnce(),
        cgroups: &HashSet<u64>,
    ) -> Result<Vec<u32>, Error> {
        let taken = (1..self.sizes.slots).map(|slot| (slot, self.slots.u64(slot as usize).load(Relaxed)));
        let dead: Vec<(u32, u64)> = taken.filter(|&(_, id)| id != 0 && cgroups.contains(&id)).collect();
        let mapped = self.series_index.map(dead.iter().map(|&(slot, _)| slot as usize));
        mapped.map_err(|source| Error::Mmap { name: "SERIES_INDEX", source })?;
        let removals = dead.iter().map(|&(_, cgroup_id)| ReclaimOp { key: cgroup_id, kind: RECLAIM_CGROUP, number: 0 });
        // Removed from the hash table first: from now on, a live cgroup gets another slot.
        self.reclaim.reclaim(run, removals)?;
        for &(slot, _) in &dead {
            self.owner(slot).store(0, Relaxed);
        }
        wait();
        Ok(dead.into_iter().map(|(slot, _)| slot).collect())
    }

    /// Returns `IndexRow::owner` of a slot.
    fn owner(&self, slot: u32) -> &AtomicU64 {
        self.series_index.u64(slot as usize, 0)
    }

    /// Finishes reclaiming retired slots after their last counts were read: they and their series become free.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; what is left stays taken until the next call.
    pub(super) fn free(&mut self, run: Run<'_>, retired: &[u32]) -> Result<(), Error> {
        let mut list = Vec::new();
        if !retired.is_empty() {
            let retired: HashSet<u32> = retired.iter().copied().collect();
            for series in 1..self.sizes.series {
                let key = self.series_key(series as usize);
                if retired.contains(&key.slot) {
                    self.clear_series(series as usize, key);
                    // Removed from the hash table first, because a program that finds the number there counts in it.
                    list.extend(outcome_back(key));
                    list.push(series_back(series));
                }
            }
            for histogram in 1..self.sizes.histograms {
                let key = SeriesKey::from_word(self.histogram_keys.u64(histogram as usize).load(Relaxed));
                if retired.contains(&key.slot) {
                    self.clear_histogram(histogram as usize);
                    list.extend([timed_back(key), histogram_back(histogram)]);
                }
            }
            for slot in retired {
                self.slots.u64(slot as usize).store(0, Relaxed);
                self.last.free_slot(slot as usize);
                self.errors_of_slot.u64(slot as usize).store(0, Relaxed);
                self.denied_of_slot.u64(slot as usize).store(0, Relaxed);
                self.arguments_of_slot.u64(slot as usize).store(0, Relaxed);
                list.push(slot_back(slot));
            }
        }
        self.series_index.unmap();
        let done = self.reclaim.reclaim(run, list);
        // A program may have found a queue empty just before the last numbers arrived, so the flags are always cleared.
        (0..Pool::COUNT).for_each(|pool| self.exhausted.u64(pool).store(0, Relaxed));
        done
    }

    /// Whether a cgroup found no free slot since numbers were last reclaimed.
    pub(super) fn are_slots_exhausted(&self) -> bool {
        self.exhausted.u64(Pool::Slots as usize).load(Relaxed) != 0
    }

    /// Maximum attribution roots at the same time.
    pub(super) fn max_roots(&self) -> usize {
        self.sizes.roots() as usize
    }

    /// Adds or removes attribution roots.
    ///
    /// # Errors
    ///
    /// When the kernel refuses. The next call, or [`Self::free`], retries what is left.
    pub(super) fn set_roots(&mut self, run: Run<'_>, changes: &[(u64, Option<Root>)]) -> Result<(), Error> {
        self.reclaim.reclaim(run, changes.iter().map(|&(cgroup_id, root)| root_change(cgroup_id, root)))
    }

    fn clear_series(&mut self, series: usize, key: SeriesKey) {
        let row = self.sizes.series as usize;
        for cpu in 0..self.cpus {
            self.counters.u64(cpu * row + series).store(0, Relaxed);
        }
        self.container_init_counts.u64(series).store(0, Relaxed);
        if key.outcome == OUTCOME_ENTERED {
            self.series_index.u32(key.slot as usize, ROW_HEAD + usize::from(key.position)).store(0, Relaxed);
        }
        self.series_keys.u64(series).store(0, Relaxed);
        self.last.free_series(series);
    }

    fn clear_histogram(&self, number: usize) {
        for cpu in 0..self.cpus {
            let start = self.histogram_start(cpu, number);
            (start..start + HISTOGRAM_WORDS).for_each(|word| self.histograms.u64(word).store(0, Relaxed));
        }
        self.histogram_keys.u64(number).store(0, Relaxed);
    }
}

/// Reads the counts of a series, and then its key, so that the counts belong to that key.
///
/// A program writes the key before it counts. If it loses a race for a new series, it gives the series back, and
/// another program may write another key and count. So a key that was read before the counts may be the wrong one.
fn counts_and_key(key: impl Fn() -> u64, counts: impl FnOnce() -> ReadCounts) -> (u64, ReadCounts) {
    let counts = counts();
    fence(Acquire);
    (key(), counts)
}

fn slot_back(number: u32) -> ReclaimOp {
    ReclaimOp { key: 0, kind: RECLAIM_SLOT, number }
}

fn series_back(number: u32) -> ReclaimOp {
    ReclaimOp { key: 0, kind: RECLAIM_SERIES, number }
}

fn histogram_back(number: u32) -> ReclaimOp {
    ReclaimOp { key: 0, kind: RECLAIM_HISTOGRAM, number }
}

fn root_change(cgroup_id: u64, root: Option<Root>) -> ReclaimOp {
    let (kind, number) = match root {
        Some(Root::OfAll) => (RECLAIM_ADD_ROOT, ROOT_OF_ALL),
        Some(Root::OfRest) => (RECLAIM_ADD_ROOT, ROOT_OF_REST),
        None => (RECLAIM_REMOVE_ROOT, 0),
    };
    ReclaimOp { key: cgroup_id, kind, number }
}

fn timed_back(key: SeriesKey) -> ReclaimOp {
    ReclaimOp { key: key.word(), kind: RECLAIM_TIMED, number: 0 }
}

/// The operation that removes a series from its hash table; `None` for series of calls, which are in none.
fn outcome_back(key: SeriesKey) -> Option<ReclaimOp> {
    let kind = match key.outcome {
        OUTCOME_ENTERED => return None,
        OUTCOME_OTHER_DENIED => RECLAIM_DENIED,
        outcome if is_denied(outcome) => RECLAIM_DENIED,
        outcome if is_argument(outcome) => RECLAIM_ARGUMENT,
        _ => RECLAIM_ERROR,
    };
    Some(ReclaimOp { key: key.word(), kind, number: 0 })
}

/// 64-bit words of one CPU's part of a histogram: the buckets, then the sum.
const HISTOGRAM_WORDS: usize = size_of::<KernelDurations>() / size_of::<u64>();

/// 32-bit words before the series in an `IndexRow`: the owner.
const ROW_HEAD: usize = offset_of!(IndexRow, series) / size_of::<u32>();
