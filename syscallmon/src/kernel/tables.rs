//! The kernel side's tables as user space sees them: reads counts, gives and takes back numbers.
//!
//! Knows the maps' layouts (see `syscallmon-ebpf/src/maps.rs`) and the life of slots and series. A number is
//! given out by the kernel side (it pops a queue) and taken back here, once its cgroup is dead. Nothing here is a system
//! call on a map: [`Returns`] says why.

use std::{collections::HashSet, mem::offset_of, sync::atomic::Ordering::Relaxed};

use aya::Ebpf;
use syscallmon_common::{IndexRow, Loss, POSITIONS_PER_CGROUP, RETURN_CGROUP, RETURN_SERIES, RETURN_SLOT, Return};

use super::{
    Capacity, Error,
    mapped::{MappedArray, mapped},
    returns::Returns,
};
use crate::{
    snapshot::{Count, Losses, SlotCounts, Snapshot},
    syscalls::CallId,
};

/// Read and written by user space only through this.
pub(super) struct Tables {
    capacity: Capacity,
    cpus: usize,
    counters: MappedArray,
    series_keys: MappedArray,
    series_index: MappedArray,
    slots: MappedArray,
    remainder: MappedArray,
    lost: MappedArray,
    exhausted: MappedArray,
    returns: Returns,
    /// Sums over CPUs by series: kept, so that a snapshot allocates only what it returns.
    sums: Vec<u64>,
    /// Kernel memory of all maps.
    memory_bytes: u64,
}

impl Tables {
    /// Takes the maps out of a loaded object and fills the free lists.
    pub(super) fn new(ebpf: &Ebpf, capacity: Capacity, cpus: usize, memory_bytes: u64) -> Result<Self, Error> {
        let rows = capacity.cgroups as usize + 1;
        let series = capacity.series as usize + 1;
        let tables = Self {
            capacity,
            cpus,
            counters: mapped(ebpf, "COUNTERS", cpus * series * size_of::<u64>())?,
            series_keys: mapped(ebpf, "SERIES_KEYS", series * size_of::<u64>())?,
            series_index: mapped(ebpf, "SERIES_INDEX", rows * size_of::<IndexRow>())?,
            slots: mapped(ebpf, "SLOTS", rows * size_of::<u64>())?,
            remainder: mapped(ebpf, "REMAINDER", POSITIONS_PER_CGROUP * size_of::<u64>())?,
            lost: mapped(ebpf, "LOST", Loss::COUNT * size_of::<u64>())?,
            exhausted: mapped(ebpf, "EXHAUSTED", 2 * size_of::<u64>())?,
            returns: Returns::new(ebpf)?,
            sums: vec![0; series],
            memory_bytes,
        };
        let slots = (1..=capacity.cgroups).map(slot_back);
        let series = (1..=capacity.series).map(series_back);
        tables.returns.put_back(ebpf, &slots.chain(series).collect::<Vec<_>>())?;
        Ok(tables)
    }

    /// Kernel memory of the maps, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Whether numbers can be given back with the privileges that the process has now.
    pub(super) fn is_accessible(&self, ebpf: &Ebpf) -> bool {
        self.returns.are_permitted(ebpf)
    }

    /// Reads every count. No system call.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        self.sum_counters();
        let mut rows: Vec<Vec<Count>> = vec![Vec::new(); self.capacity.cgroups as usize + 1];
        let mut series = 0;
        for (number, &calls) in self.sums.iter().enumerate().skip(1) {
            let (slot, position) = split_key(self.series_keys.u64(number).load(Relaxed));
            let Some(row) = rows.get_mut(slot as usize).filter(|_| slot != 0) else { continue };
            series += 1;
            if let Ok(position) = u16::try_from(position)
                && calls != 0
            {
                row.push(Count { call: CallId(position), calls });
            }
        }
        let slots = (0..).zip(rows).filter_map(|(slot, counts)| self.slot_counts(slot, counts));
        Snapshot { slots: slots.collect(), remainder: self.remainder(), losses: self.losses(), series }
    }

    fn sum_counters(&mut self) {
        let row = self.sums.len();
        self.sums.fill(0);
        for cpu in 0..self.cpus {
            for (series, sum) in self.sums.iter_mut().enumerate() {
                *sum += self.counters.u64(cpu * row + series).load(Relaxed);
            }
        }
    }

    /// A slot's counts in order; `None` for a slot that no cgroup has.
    fn slot_counts(&self, slot: u32, mut counts: Vec<Count>) -> Option<SlotCounts> {
        let cgroup_id = self.slots.u64(slot as usize).load(Relaxed);
        if cgroup_id == 0 {
            return None;
        }
        counts.sort_unstable_by_key(|count| count.call);
        // Two CPUs that made a first call at the same moment gave it two series.
        counts.dedup_by(|next, kept| {
            let same = next.call == kept.call;
            if same {
                kept.calls += next.calls;
            }
            same
        });
        Some(SlotCounts { slot, cgroup_id, counts })
    }

    fn remainder(&self) -> Vec<Count> {
        (0..=u16::MAX)
            .zip(0..POSITIONS_PER_CGROUP)
            .map(|(call, position)| Count { call: CallId(call), calls: self.remainder.u64(position).load(Relaxed) })
            .filter(|count| count.calls != 0)
            .collect()
    }

    fn losses(&self) -> Losses {
        let lost = |reason: Loss| self.lost.u64(reason as usize).load(Relaxed);
        Losses {
            cgroups_full: lost(Loss::CgroupsFull),
            series_full: lost(Loss::SeriesFull),
            cgroup_events: lost(Loss::CgroupEvents),
            first_seen_events: lost(Loss::FirstSeenEvents),
            recursion: None,
        }
    }

    /// Begins to take back the slots of cgroups: no program that starts from now on counts in them. Their counts are
    /// final once [`super::wait_for_programs`] has returned. Returns them; cgroups without a slot are passed over.
    ///
    /// Harmless for a cgroup that is not dead after all: its next call gets it another slot.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; trying again is harmless.
    pub(super) fn retire(&self, ebpf: &Ebpf, cgroups: &HashSet<u64>) -> Result<Vec<u32>, Error> {
        let taken = (1..=self.capacity.cgroups).map(|slot| (slot, self.slots.u64(slot as usize).load(Relaxed)));
        let dead: Vec<(u32, u64)> = taken.filter(|&(_, id)| id != 0 && cgroups.contains(&id)).collect();
        let removals = dead.iter().map(|&(_, cgroup_id)| Return { cgroup_id, kind: RETURN_CGROUP, number: 0 });
        // Out of the hash table first: whoever finds a slot there does not look at its owner.
        self.returns.put_back(ebpf, &removals.collect::<Vec<_>>())?;
        let retired: Vec<u32> = dead.into_iter().map(|(slot, _)| slot).collect();
        for &slot in &retired {
            // A little-endian word at the head of the row.
            let owner = row_start(slot);
            self.series_index.u32(owner).store(0, Relaxed);
            self.series_index.u32(owner + 1).store(0, Relaxed);
        }
        Ok(retired)
    }

    /// Ends to take back retired slots, whose last counts were read: they and their series can be given out again.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; what was not freed by then stays taken.
    pub(super) fn free(&self, ebpf: &Ebpf, retired: &[u32]) -> Result<(), Error> {
        if !retired.is_empty() {
            let retired: HashSet<u32> = retired.iter().copied().collect();
            let mut list = Vec::new();
            for series in 1..=self.capacity.series {
                let (slot, position) = split_key(self.series_keys.u64(series as usize).load(Relaxed));
                if retired.contains(&slot) {
                    self.clear_series(series, slot, position);
                    list.push(series_back(series));
                }
            }
            for slot in retired {
                self.slots.u64(slot as usize).store(0, Relaxed);
                list.push(slot_back(slot));
            }
            self.returns.put_back(ebpf, &list)?;
        }
        // A program may have found a queue empty just before the last numbers were given back: always let it look again.
        self.exhausted.u64(0).store(0, Relaxed);
        self.exhausted.u64(1).store(0, Relaxed);
        Ok(())
    }

    fn clear_series(&self, series: u32, slot: u32, position: u32) {
        let row = self.sums.len();
        for cpu in 0..self.cpus {
            self.counters.u64(cpu * row + series as usize).store(0, Relaxed);
        }
        self.series_index.u32(row_start(slot) + ROW_HEAD + position as usize).store(0, Relaxed);
        self.series_keys.u64(series as usize).store(0, Relaxed);
    }
}

fn slot_back(number: u32) -> Return {
    Return { cgroup_id: 0, kind: RETURN_SLOT, number }
}

fn series_back(number: u32) -> Return {
    Return { cgroup_id: 0, kind: RETURN_SERIES, number }
}

/// Words of 32 bits before the series in an `IndexRow`: its owner.
const ROW_HEAD: usize = offset_of!(IndexRow, series) / size_of::<u32>();

/// The word of 32 bits at which a slot's `IndexRow` starts.
fn row_start(slot: u32) -> usize {
    slot as usize * size_of::<IndexRow>() / size_of::<u32>()
}

/// A `SeriesKey` as one little-endian word.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn split_key(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}
