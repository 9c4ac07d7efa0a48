//! The kernel side's tables as user space sees them: reads counts, gives and takes back numbers.
//!
//! Knows the maps' layouts (see `syscallmon-ebpf/src/maps.rs`) and the life of slots and series. A number is
//! given out by the kernel side (it pops a queue) and taken back here, once its cgroup is dead.

use std::{collections::HashSet, io, mem::offset_of, sync::atomic::Ordering::Relaxed};

use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, Map, MapData, MapError, Queue},
};
use syscallmon_common::{IndexRow, Loss, POSITIONS_PER_CGROUP};

use super::{Capacity, Error, mapped::MappedArray};
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
    slot_of_cgroup: BpfHashMap<MapData, u64, u32>,
    free_slots: Queue<MapData, u32>,
    free_series: Queue<MapData, u32>,
    /// Sums over CPUs by series: kept, so that a snapshot allocates only what it returns.
    sums: Vec<u64>,
    /// Kernel memory of all maps.
    memory_bytes: u64,
}

impl Tables {
    /// Takes the maps out of a loaded object and fills the free lists.
    pub(super) fn new(ebpf: &mut Ebpf, capacity: Capacity, cpus: usize, memory_bytes: u64) -> Result<Self, Error> {
        let rows = capacity.cgroups as usize + 1;
        let series = capacity.series as usize + 1;
        let mut tables = Self {
            capacity,
            cpus,
            counters: mapped(ebpf, "COUNTERS", cpus * series * size_of::<u64>())?,
            series_keys: mapped(ebpf, "SERIES_KEYS", series * size_of::<u64>())?,
            series_index: mapped(ebpf, "SERIES_INDEX", rows * size_of::<IndexRow>())?,
            slots: mapped(ebpf, "SLOTS", rows * size_of::<u64>())?,
            remainder: mapped(ebpf, "REMAINDER", POSITIONS_PER_CGROUP * size_of::<u64>())?,
            lost: mapped(ebpf, "LOST", Loss::COUNT * size_of::<u64>())?,
            exhausted: mapped(ebpf, "EXHAUSTED", 2 * size_of::<u64>())?,
            slot_of_cgroup: take(ebpf, "SLOT_OF_CGROUP")?,
            free_slots: take(ebpf, "FREE_SLOTS")?,
            free_series: take(ebpf, "FREE_SERIES")?,
            sums: vec![0; series],
            memory_bytes,
        };
        (1..=capacity.cgroups).try_for_each(|slot| tables.free_slots.push(slot, 0))?;
        (1..=capacity.series).try_for_each(|series| tables.free_series.push(series, 0))?;
        Ok(tables)
    }

    /// Kernel memory of the maps, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
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
    /// When the kernel refuses a map operation; trying again is harmless.
    pub(super) fn retire(&mut self, cgroups: &HashSet<u64>) -> Result<Vec<u32>, MapError> {
        let mut retired = Vec::new();
        for slot in 1..=self.capacity.cgroups {
            let id = self.slots.u64(slot as usize).load(Relaxed);
            if id != 0 && cgroups.contains(&id) {
                self.forget_slot(id)?;
                // A little-endian word at the head of the row.
                let owner = row_start(slot);
                self.series_index.u32(owner).store(0, Relaxed);
                self.series_index.u32(owner + 1).store(0, Relaxed);
                retired.push(slot);
            }
        }
        Ok(retired)
    }

    /// Removes a cgroup from the hash table, unless an attempt that failed later has done so already.
    fn forget_slot(&mut self, cgroup_id: u64) -> Result<(), MapError> {
        match self.slot_of_cgroup.remove(&cgroup_id) {
            Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Ends to take back retired slots, whose last counts were read: they and their series can be given out again.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a map operation; what was not freed by then stays taken.
    pub(super) fn free(&mut self, retired: &[u32]) -> Result<(), MapError> {
        if !retired.is_empty() {
            let retired: HashSet<u32> = retired.iter().copied().collect();
            for series in 1..=self.capacity.series {
                let (slot, position) = split_key(self.series_keys.u64(series as usize).load(Relaxed));
                if retired.contains(&slot) {
                    self.free_one_series(series, slot, position)?;
                }
            }
            for slot in retired {
                self.slots.u64(slot as usize).store(0, Relaxed);
                self.free_slots.push(slot, 0)?;
            }
        }
        // A program may have found a queue empty just before the last numbers were given back: always let it look again.
        self.exhausted.u64(0).store(0, Relaxed);
        self.exhausted.u64(1).store(0, Relaxed);
        Ok(())
    }

    fn free_one_series(&mut self, series: u32, slot: u32, position: u32) -> Result<(), MapError> {
        let row = self.sums.len();
        for cpu in 0..self.cpus {
            self.counters.u64(cpu * row + series as usize).store(0, Relaxed);
        }
        self.series_index.u32(row_start(slot) + ROW_HEAD + position as usize).store(0, Relaxed);
        self.series_keys.u64(series as usize).store(0, Relaxed);
        self.free_series.push(series, 0)
    }

    /// Whether map operations still work, that is, whether the process has the privileges they need.
    ///
    /// From Linux 5.19 on they need none; before, `kernel.unprivileged_bpf_disabled` asks for `CAP_BPF`.
    pub(super) fn is_accessible(&self) -> bool {
        match self.slot_of_cgroup.get(&0, 0) {
            Ok(_) | Err(MapError::KeyNotFound) => true,
            Err(MapError::SyscallError(error)) => error.io_error.kind() != io::ErrorKind::PermissionDenied,
            Err(_) => false,
        }
    }
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

fn mapped(ebpf: &Ebpf, name: &'static str, len: usize) -> Result<MappedArray, Error> {
    let Some(Map::Array(map)) = ebpf.map(name) else { return Err(Error::Object { name }) };
    MappedArray::new(map, len).map_err(|source| Error::Mmap { name, source })
}

fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, Error> {
    let map = ebpf.take_map(name).ok_or(Error::Object { name })?;
    Ok(T::try_from(map)?)
}
