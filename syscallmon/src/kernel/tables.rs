//! The kernel side's tables as user space sees them: reads counts, and reclaims numbers.
//!
//! Knows the layouts of the maps (`syscallmon-ebpf/src/maps.rs`) and the life cycle of slots and series. The kernel
//! side takes a number from a queue. This module reclaims it after the cgroup is dead. It uses no system call on a map:
//! [`ReclaimQueue`] explains why.

mod counts;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    mem::offset_of,
    os::fd::OwnedFd,
    sync::atomic::{
        AtomicU64,
        Ordering::{Relaxed, Release},
        compiler_fence,
    },
};

use aya::Ebpf;
use syscallmon_common::{
    IndexRow, OUTCOME_ENTERED, OUTCOME_OTHER_DENIED, Pool, RECLAIM_ADD_ROOT, RECLAIM_ARGUMENT, RECLAIM_CGROUP,
    RECLAIM_DENIED, RECLAIM_ERROR, RECLAIM_HISTOGRAM, RECLAIM_OPS_LEN, RECLAIM_REMOVE_ROOT, RECLAIM_SERIES,
    RECLAIM_SLOT, RECLAIM_TIMED, ROOT_OF_ALL, ROOT_OF_REST, ReclaimOp, SeriesKey, is_argument, is_denied,
};

use self::counts::HISTOGRAM_WORDS;
pub(super) use self::counts::{COUNT_TABLES, CountTables, MapArray};
use super::{
    Error, Root,
    mapped::{MappedArray, MappedRows, descriptor, mapped},
    reclaim::{self, ReclaimQueue, Run},
    sizes::Sizes,
};
use crate::snapshot::Snapshot;

/// The mapped tables. User space accesses them only through this type.
pub(super) struct Tables {
    counts: CountTables,
    /// Mapped only where slots are being reclaimed.
    series_index: MappedRows,
    errors_of_slot: MappedArray,
    denied_of_slot: MappedArray,
    arguments_of_slot: MappedArray,
    exhausted: MappedArray,
    reclaim: ReclaimQueue,
    /// Kernel memory of all maps, in bytes.
    memory_bytes: u64,
}

impl Tables {
    /// Takes the maps out of a loaded object, and fills the free lists.
    pub(super) fn new(ebpf: &Ebpf, sizes: &Sizes, cpus: usize, memory_bytes: u64) -> Result<Self, Error> {
        let map = |name, len| mapped(ebpf, name, len);
        Self::over(&map, descriptor(ebpf, "SERIES_INDEX")?, &|| reclaim::run(ebpf), sizes, (cpus, memory_bytes))
    }

    /// The same with any maps: tests have no kernel side.
    fn over(
        map: MapArray<'_>,
        series_index: OwnedFd,
        run: Run<'_>,
        sizes: &Sizes,
        (cpus, memory_bytes): (usize, u64),
    ) -> Result<Self, Error> {
        let rows = sizes.slots as usize;
        let words = |name, count: usize| map(name, count * size_of::<u64>());
        let mut tables = Self {
            counts: CountTables::new(map, sizes, cpus)?,
            series_index: MappedRows::new(series_index, rows, size_of::<IndexRow>() / size_of::<u64>()),
            errors_of_slot: words("ERRORS_OF_SLOT", rows)?,
            denied_of_slot: words("DENIED_OF_SLOT", rows)?,
            arguments_of_slot: words("ARGUMENTS_OF_SLOT", rows)?,
            exhausted: words("EXHAUSTED", Pool::COUNT)?,
            reclaim: ReclaimQueue::new(map("RECLAIM_OPS", RECLAIM_OPS_LEN * size_of::<ReclaimOp>())?),
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
        let mut snapshot = self.counts.snapshot();
        snapshot.losses.reclaim += self.reclaim.refused();
        snapshot
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
        let taken = (1..self.counts.sizes.slots).map(|slot| (slot, self.counts.slots.u64(slot as usize).load(Relaxed)));
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
            let rows = self.series_index.map(retired.iter().map(|&slot| slot as usize));
            rows.map_err(|source| Error::Mmap { name: "SERIES_INDEX", source })?;
            let retired: HashSet<u32> = retired.iter().copied().collect();
            for &slot in &retired {
                self.counts.slots.u64(slot as usize).store(0, Relaxed);
            }
            // A daemon that takes half-freed slots over sees no owner, and so does not count the rest again.
            compiler_fence(Release);
            for series in 1..self.counts.sizes.series {
                let key = self.counts.series_key(series as usize);
                if retired.contains(&key.slot) {
                    self.clear_series(series as usize, key);
                    // Removed from the hash table first, because a program that finds the number there counts in it.
                    list.extend(outcome_back(key));
                    list.push(series_back(series));
                }
            }
            for histogram in 1..self.counts.sizes.histograms {
                let key = SeriesKey::from_word(self.counts.histogram_keys.u64(histogram as usize).load(Relaxed));
                if retired.contains(&key.slot) {
                    self.clear_histogram(histogram as usize);
                    list.extend([timed_back(key), histogram_back(histogram)]);
                }
            }
            for slot in retired {
                self.counts.last.free_slot(slot as usize);
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
        self.counts.sizes.roots() as usize
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
        let row = self.counts.sizes.series as usize;
        for cpu in 0..self.counts.cpus {
            self.counts.counters.u64(cpu * row + series).store(0, Relaxed);
        }
        self.counts.container_init_counts.u64(series).store(0, Relaxed);
        if key.outcome == OUTCOME_ENTERED {
            self.series_index.u32(key.slot as usize, ROW_HEAD + usize::from(key.position)).store(0, Relaxed);
        }
        self.counts.series_keys.u64(series).store(0, Relaxed);
        self.counts.last.free_series(series);
    }

    fn clear_histogram(&self, number: usize) {
        for cpu in 0..self.counts.cpus {
            let start = self.counts.histogram_start(cpu, number);
            (start..start + HISTOGRAM_WORDS).for_each(|word| self.counts.histograms.u64(word).store(0, Relaxed));
        }
        self.counts.histogram_keys.u64(number).store(0, Relaxed);
    }
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

/// 32-bit words before the series in an `IndexRow`: the owner.
const ROW_HEAD: usize = offset_of!(IndexRow, series) / size_of::<u32>();
