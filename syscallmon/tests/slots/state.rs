//! The state of the model: the tables of `syscallmon-ebpf/src/maps.rs`, the part of each CPU, and what user space
//! keeps.
//!
//! A counter holds calls by cgroup, not a bare number. So an invariant can check which cgroups' calls are in a total.

use std::collections::VecDeque;

/// Cgroups, slots and series are numbered from 1; 0 means none.
pub(crate) type Cgroup = usize;
pub(crate) type Slot = usize;
pub(crate) type Series = usize;

/// The maximum of each in a scenario, including number 0.
pub(crate) const CPUS: usize = 2;
pub(crate) const CGROUPS: usize = 4;
pub(crate) const SLOTS: usize = 3;
pub(crate) const SERIES: usize = 4;

/// The number of calls of each cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Calls([u8; CGROUPS]);

impl Calls {
    pub(crate) fn one_more(mut self, cgroup: Cgroup) -> Self {
        self.0[cgroup] += 1;
        self
    }

    pub(crate) fn of(self, cgroup: Cgroup) -> u8 {
        self.0[cgroup]
    }

    pub(crate) fn sum(self) -> u8 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
    }

    /// As `Amount::since`: a counter that fell started again from 0.
    pub(crate) fn since(self, before: Self) -> Self {
        if self.sum() < before.sum() {
            return self;
        }
        let mut new = self;
        new.0.iter_mut().zip(before.0).for_each(|(own, before)| *own = own.saturating_sub(before));
        new
    }
}

/// A set of numbers from 1.
///
/// `FREE_SLOTS` and `FREE_SERIES` are queues. The model takes the lowest number: the choice makes no difference to the
/// protocol, and immediate reuse of a freed number is the worst case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Numbers(u8);

impl Numbers {
    pub(crate) fn below(end: usize) -> Self {
        (1..end).collect()
    }

    pub(crate) fn has(self, number: usize) -> bool {
        self.0 & 1 << number != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn put(&mut self, number: usize) {
        self.0 |= 1 << number;
    }

    pub(crate) fn take(&mut self) -> Option<usize> {
        let lowest = self.iter().next()?;
        self.0 &= !(1 << lowest);
        Some(lowest)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (1..8).filter(move |&number| self.has(number))
    }
}

impl FromIterator<usize> for Numbers {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut all = Self::default();
        numbers.into_iter().for_each(|number| all.put(number));
        all
    }
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Sorted, because CPUs are interchangeable.
    pub(crate) cpus: [Cpu; CPUS],
    pub(crate) tables: Tables,
    pub(crate) sampler: Sampler,
    /// Calls whose programs have ended: the truth for totals.
    pub(crate) made: Calls,
}

/// One CPU: the step of its program, and data that no other CPU writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cpu {
    pub(crate) calls_left: u8,
    pub(crate) at: At,
    /// `SLOT_CACHE`, by cgroup.
    pub(crate) cache: [Option<Cached>; CGROUPS],
    /// `COUNTERS`, by series.
    pub(crate) counters: [Calls; SERIES],
    /// Whether membarrier waits for the program that runs here.
    pub(crate) is_awaited: bool,
}

/// `CachedSlot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cached {
    pub(crate) owner: Cgroup,
    pub(crate) slot: Slot,
}

/// The next step of a program, in the order of `count::count`. Each step is one access to shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    /// No program runs.
    Outside,
    /// `slot::slot`: reads the owner of the cached slot.
    CheckOwner { cgroup: Cgroup, cached: Cached },
    /// `slot::find_or_take`: calls `known_slot` for the cgroup, then for its attribution root, then after a lost race.
    Find { cgroup: Cgroup, key: Cgroup, is_last: bool },
    /// `slot::known_slot`: reads the value of the found element.
    ReadValue { cgroup: Cgroup, key: Cgroup, is_last: bool, element: usize },
    /// `slot::known_slot`: reads the owner of the found slot.
    CheckFound { cgroup: Cgroup, key: Cgroup, is_last: bool, slot: Slot },
    /// `ancestry::attributed_to`: looks for an attribution root.
    FindRoot { cgroup: Cgroup },
    /// `pool::take` of `FREE_SLOTS`.
    TakeSlot { cgroup: Cgroup, owner: Cgroup },
    /// `slot::find_or_take`: enters the slot in `SLOT_OF_CGROUP`.
    Insert { cgroup: Cgroup, owner: Cgroup, slot: Slot },
    /// `slot::find_or_take`: writes `SLOTS`.
    WriteHolder { cgroup: Cgroup, owner: Cgroup, slot: Slot },
    /// `slot::find_or_take`: writes `IndexRow::owner`.
    WriteOwner { cgroup: Cgroup, owner: Cgroup, slot: Slot },
    /// `pool::give_back`, after another CPU won the race.
    GiveBack { cgroup: Cgroup, owner: Cgroup, slot: Slot },
    /// `slot::slot`: reads `IndexRow::owner` for the cache.
    FillCache { cgroup: Cgroup, slot: Slot },
    /// `slot::slot` without `reads_owner_once`: reads it again.
    FillCacheAgain { cgroup: Cgroup, slot: Slot },
    /// `count::count`: reads the entry of the row.
    ReadEntry { cgroup: Cgroup, slot: Slot },
    /// `allocate::new_series_of_call`: `take` of `FREE_SERIES`, then writes `SERIES_KEYS`. No other CPU knows the
    /// series yet.
    TakeSeries { cgroup: Cgroup, slot: Slot },
    /// `allocate::series`: writes the entry of the row.
    WriteEntry { cgroup: Cgroup, slot: Slot, series: Series },
    /// `counter::one_more`.
    Count { cgroup: Cgroup, series: Series },
    /// `pool::exhausted`: notes that a pool is empty; then `allocate::remainder`.
    Exhausted { cgroup: Cgroup, pool: Pool },
    /// `allocate::remainder`: an atomic add.
    Remainder { cgroup: Cgroup },
}

/// `Pool`: an index of `EXHAUSTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Pool {
    Slots,
    Series,
}

/// The maps that all CPUs and user space share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tables {
    /// `SLOT_OF_CGROUP`: preallocated, so the kernel may reuse a removed element while a program holds a pointer to it.
    pub(crate) elements: [Element; SLOTS - 1],
    /// `FREE_SLOTS`, `FREE_SERIES`.
    pub(crate) free_slots: Numbers,
    pub(crate) free_series: Numbers,
    /// `SLOTS`.
    pub(crate) holders: [Cgroup; SLOTS],
    /// `SERIES_INDEX`: the owner, and the entry of the model's only call.
    pub(crate) owners: [Cgroup; SLOTS],
    pub(crate) entries: [Series; SLOTS],
    /// `SERIES_KEYS`: the slot of each series.
    pub(crate) keys: [Slot; SERIES],
    /// `EXHAUSTED`.
    pub(crate) exhausted: [bool; 2],
    /// `REMAINDER`.
    pub(crate) remainder: Calls,
    /// Whether `ATTRIBUTION_ROOTS` has the scenario's root.
    pub(crate) has_root: bool,
}

/// An element of the hash table; key 0 means unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Element {
    pub(crate) key: Cgroup,
    pub(crate) slot: Slot,
}

impl Tables {
    /// The element that has a key.
    pub(crate) fn find(&self, key: Cgroup) -> Option<usize> {
        self.elements.iter().position(|element| element.key == key)
    }
}

/// User space: `Sampler::sample`, `kernel::tables::Tables`, `kernel::reclaim::ReclaimQueue` and the model of
/// totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sampler {
    pub(crate) at: Step,
    pub(crate) samples_left: u8,
    /// How often the kernel may still refuse to reclaim something.
    pub(crate) failures_left: u8,
    /// Whether this sample adds the attribution root.
    pub(crate) adds_root: bool,
    /// Slots between `Tables::retire` and `Tables::free`.
    pub(crate) retired: Numbers,
    /// `ReclaimQueue::queue`.
    pub(crate) queue: VecDeque<ReclaimOp>,
    /// `LastRead`: slot and counts of each series at the last snapshot, and the counts of each slot.
    pub(crate) read: [(Slot, Calls); SERIES],
    pub(crate) counts: [Calls; SLOTS],
    /// `Model::slots`: the cgroup of each slot at the last snapshot, and its counts that are already in the totals.
    pub(crate) counted: [Option<(Cgroup, Calls)>; SLOTS],
    /// `Model::workloads`.
    pub(crate) totals: [Calls; CGROUPS],
}

/// The next step of user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Idle until the next poll.
    #[default]
    Idle,
    /// `reclaim::reclaim` in the kernel, one entry at a time, until the queue is empty.
    Reclaim(Then),
    /// `Tables::retire`: clears the owner of a row.
    ClearOwner(Numbers),
    /// `kernel::wait_for_programs`.
    Wait,
    /// `Tables::snapshot`, then `Model::apply`. Counters only grow until they are cleared, so a sum that is slightly
    /// older than the keys is an earlier snapshot.
    Snapshot,
    /// `Tables::free`: clears series and slots, and lists the numbers to reclaim.
    Clear,
    /// `Tables::free`: clears `EXHAUSTED`; then `Model::forget_slots`.
    ClearExhausted,
}

/// The step that follows when a list is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Then {
    ClearOwners,
    Clear,
    ClearExhausted,
}

/// `ReclaimOp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReclaimOp {
    Cgroup(Cgroup),
    Slot(Slot),
    Series(Series),
    AddRoot,
}
