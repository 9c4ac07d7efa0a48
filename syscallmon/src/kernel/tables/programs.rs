//! A kernel side for tests, on the same memory as `Tables`. It allocates numbers, counts, and reclaims as
//! `syscallmon-ebpf` does, one program at a time. `tests/slots` explores programs that run at the same time.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    os::fd::OwnedFd,
    sync::atomic::Ordering::Relaxed,
};

use rustix::fs::MemfdFlags;
use syscallmon_common::{
    IndexRow, LossReason, OUTCOME_ARGUMENT, OUTCOME_DENIED, OUTCOME_ENTERED, OUTCOME_OTHER_ARGUMENTS,
    OUTCOME_OTHER_DENIED, OUTCOME_OTHER_ERRORS, Pool, RECLAIM_ADD_ROOT, RECLAIM_ARGUMENT, RECLAIM_CGROUP,
    RECLAIM_DENIED, RECLAIM_ERROR, RECLAIM_HISTOGRAM, RECLAIM_OPS_LEN, RECLAIM_REMOVE_ROOT, RECLAIM_SERIES,
    RECLAIM_SLOT, RECLAIM_TIMED, SeriesKey,
};

use super::{HISTOGRAM_WORDS, MappedArray, ROW_HEAD};
use crate::kernel::{Error, sizes::Sizes};

/// Maximum pairs of call and errno, or denied calls, of a cgroup.
pub(super) const OUTCOMES_PER_CGROUP: u64 = 3;

/// Stands for the programs of the kernel side.
pub(super) struct Programs {
    sizes: Sizes,
    maps: RefCell<HashMap<&'static str, MappedArray>>,
    /// `SLOT_OF_CGROUP`.
    slots: RefCell<HashMap<u64, u32>>,
    /// `ERRORS`, `DENIED`, `ARGUMENTS` and `TIMED`, by the kind of [`ReclaimOp`](syscallmon_common::ReclaimOp) that
    /// removes an entry.
    outcomes: RefCell<HashMap<(u32, u64), u32>>,
    /// `FREE_SLOTS`, `FREE_SERIES` and `FREE_HISTOGRAMS`, by the kind that adds an entry.
    free: RefCell<HashMap<u32, VecDeque<u32>>>,
    /// `SLOT_CACHE`, by CPU and cgroup: owner and slot.
    cache: RefCell<HashMap<(usize, u64), (u64, u32)>>,
    /// How many entries `reclaim` still does before it refuses one; `None`: it never refuses.
    pub(super) refuses_after: Cell<Option<usize>>,
}

impl Programs {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            maps: RefCell::default(),
            slots: RefCell::default(),
            outcomes: RefCell::default(),
            free: RefCell::default(),
            cache: RefCell::default(),
            refuses_after: Cell::new(None),
        }
    }

    /// Gives access to a map's memory, which both sides share.
    pub(super) fn map(&self, name: &'static str, len: usize) -> MappedArray {
        let array = MappedArray::anonymous(len);
        self.maps.borrow_mut().insert(name, MappedArray::same(&array));
        array
    }

    /// Gives access to `SERIES_INDEX` by a descriptor, as the kernel does.
    pub(super) fn series_index(&self) -> OwnedFd {
        let len = self.sizes.slots as usize * size_of::<IndexRow>();
        let file = rustix::fs::memfd_create("SERIES_INDEX", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, len as u64).unwrap();
        self.maps.borrow_mut().insert("SERIES_INDEX", MappedArray::of_file(&file, len));
        file
    }

    /// Does what `reclaim::run` does with the real programs.
    pub(super) fn runner(&self) -> impl Fn() -> Result<(), Error> {
        || {
            self.reclaim();
            Ok(())
        }
    }

    fn with<T>(&self, name: &str, use_map: impl FnOnce(&MappedArray) -> T) -> T {
        use_map(&self.maps.borrow()[name])
    }

    fn add(&self, name: &str, index: usize) {
        self.with(name, |map| map.u64(index).fetch_add(1, Relaxed));
    }

    pub(super) fn owner(&self, slot: u32) -> u64 {
        self.with("SERIES_INDEX", |index| index.u64(slot as usize * size_of::<IndexRow>() / 8).load(Relaxed))
    }

    fn set_owner(&self, slot: u32, owner: u64) {
        self.with("SERIES_INDEX", |index| {
            index.u64(slot as usize * size_of::<IndexRow>() / 8).store(owner, Relaxed);
        });
    }

    /// `reclaim::reclaim`.
    fn reclaim(&self) {
        for index in 0..RECLAIM_OPS_LEN {
            let (key, word) = self
                .with("RECLAIM_OPS", |list| (list.u64(2 * index).load(Relaxed), list.u64(2 * index + 1).load(Relaxed)));
            #[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
            let (kind, number) = (word as u32, (word >> 32) as u32);
            if kind == 0 || self.refuses_after.get() == Some(0) {
                return;
            }
            self.refuses_after.set(self.refuses_after.get().map(|left| left - 1));
            match kind {
                RECLAIM_CGROUP => drop(self.slots.borrow_mut().remove(&key)),
                RECLAIM_ERROR | RECLAIM_DENIED | RECLAIM_ARGUMENT | RECLAIM_TIMED => {
                    self.outcomes.borrow_mut().remove(&(kind, key));
                }
                RECLAIM_SLOT | RECLAIM_SERIES | RECLAIM_HISTOGRAM => {
                    self.free.borrow_mut().entry(kind).or_default().push_back(number);
                }
                RECLAIM_ADD_ROOT | RECLAIM_REMOVE_ROOT => {}
                kind => panic!("an entry of kind {kind}"),
            }
            self.with("RECLAIM_OPS", |list| list.u32(4 * index + 2).store(0, Relaxed));
        }
    }

    /// `pool::take`.
    fn take(&self, kind: u32, pool: Pool) -> Option<u32> {
        if self.with("EXHAUSTED", |flags| flags.u64(pool as usize).load(Relaxed)) != 0 {
            return None;
        }
        let number = self.free.borrow_mut().get_mut(&kind).and_then(VecDeque::pop_front);
        if number.is_none() {
            self.with("EXHAUSTED", |flags| flags.u64(pool as usize).store(1, Relaxed));
        }
        number
    }

    /// `slot::slot` and `slot::find_or_take`.
    fn slot(&self, cpu: usize, cgroup: u64) -> Option<u32> {
        if let Some(&(owner, slot)) = self.cache.borrow().get(&(cpu, cgroup))
            && self.owner(slot) == owner
        {
            return Some(slot);
        }
        let known = self.slots.borrow().get(&cgroup).copied();
        let slot = match known {
            Some(slot) => slot,
            None => self.new_slot(cgroup)?,
        };
        self.cache.borrow_mut().insert((cpu, cgroup), (self.owner(slot), slot));
        Some(slot)
    }

    fn new_slot(&self, cgroup: u64) -> Option<u32> {
        let slot = self.take(RECLAIM_SLOT, Pool::Slots)?;
        assert_eq!((self.holder(slot), self.owner(slot)), (0, 0), "slot {slot} is given out twice");
        self.slots.borrow_mut().insert(cgroup, slot);
        self.with("SLOTS", |slots| slots.u64(slot as usize).store(cgroup, Relaxed));
        self.set_owner(slot, cgroup);
        Some(slot)
    }

    fn holder(&self, slot: u32) -> u64 {
        self.with("SLOTS", |slots| slots.u64(slot as usize).load(Relaxed))
    }

    fn new_series(&self, key: SeriesKey) -> Option<u32> {
        let series = self.take(RECLAIM_SERIES, Pool::Series)?;
        self.with("SERIES_KEYS", |keys| {
            assert_eq!(keys.u64(series as usize).load(Relaxed), 0, "series {series} is given out twice");
            keys.u64(series as usize).store(key.word(), Relaxed);
        });
        Some(series)
    }

    fn one_more(&self, cpu: usize, series: u32) {
        self.add("COUNTERS", cpu * self.sizes.series as usize + series as usize);
    }

    /// `count::count`. `is_second`: another CPU met the same first call at the same moment.
    pub(super) fn call(&self, cpu: usize, cgroup: u64, position: u16, is_second: bool) {
        let counted = self.slot(cpu, cgroup).and_then(|slot| {
            let entry = row_start(slot) + ROW_HEAD + usize::from(position);
            let known = self.with("SERIES_INDEX", |index| index.u32(entry).load(Relaxed));
            if known != 0 && !is_second {
                return Some(known);
            }
            let series = self.new_series(SeriesKey { slot, position, outcome: OUTCOME_ENTERED })?;
            self.with("SERIES_INDEX", |index| index.u32(entry).store(series, Relaxed));
            Some(series)
        });
        match counted {
            Some(series) => self.one_more(cpu, series),
            None => self.add("REMAINDER", position.into()),
        }
    }

    /// `outcome::count`, for an errno.
    pub(super) fn fail(&self, cpu: usize, cgroup: u64, position: u16, errno: u16) {
        let (kind, others) = (RECLAIM_ERROR, OUTCOME_OTHER_ERRORS);
        match self.slot(cpu, cgroup).and_then(|slot| {
            self.outcome(("ERRORS_OF_SLOT", kind, others), SeriesKey { slot, position, outcome: errno })
        }) {
            Some(series) => self.one_more(cpu, series),
            None => self.add("LOST", LossReason::ErrorsFull as usize),
        }
    }

    /// `outcome::count`, for a denied call.
    pub(super) fn refuse(&self, cpu: usize, cgroup: u64, position: u16) {
        let (kind, others) = (RECLAIM_DENIED, OUTCOME_OTHER_DENIED);
        match self.slot(cpu, cgroup).and_then(|slot| {
            self.outcome(("DENIED_OF_SLOT", kind, others), SeriesKey { slot, position, outcome: OUTCOME_DENIED })
        }) {
            Some(series) => self.one_more(cpu, series),
            None => self.add("DENIED_REMAINDER", position.into()),
        }
    }

    /// `arguments::count_class`.
    pub(super) fn classify(&self, cpu: usize, cgroup: u64, position: u16) {
        let (kind, others) = (RECLAIM_ARGUMENT, OUTCOME_OTHER_ARGUMENTS);
        match self.slot(cpu, cgroup).and_then(|slot| {
            self.outcome(("ARGUMENTS_OF_SLOT", kind, others), SeriesKey { slot, position, outcome: OUTCOME_ARGUMENT })
        }) {
            Some(series) => self.one_more(cpu, series),
            None => self.add("LOST", LossReason::ArgumentsFull as usize),
        }
    }

    /// `allocate::Share::series`.
    fn outcome(&self, (of_slot, kind, others): (&str, u32, u16), key: SeriesKey) -> Option<u32> {
        if let Some(&series) = self.outcomes.borrow().get(&(kind, key.word())) {
            return Some(series);
        }
        let slot = key.slot as usize;
        let is_other = self.with(of_slot, |counts| counts.u64(slot).load(Relaxed)) >= OUTCOMES_PER_CGROUP;
        let key = if is_other { SeriesKey { position: 0, outcome: others, ..key } } else { key };
        if let Some(&series) = self.outcomes.borrow().get(&(kind, key.word())) {
            return Some(series);
        }
        let series = self.new_series(key)?;
        self.outcomes.borrow_mut().insert((kind, key.word()), series);
        if !is_other {
            self.add(of_slot, slot);
        }
        Some(series)
    }

    /// `duration::end`, for a call of at most a microsecond.
    pub(super) fn time(&self, cpu: usize, cgroup: u64, position: u16) {
        let histogram = self.slot(cpu, cgroup).and_then(|slot| {
            let key = SeriesKey { slot, position, outcome: OUTCOME_ENTERED }.word();
            let known = self.outcomes.borrow().get(&(RECLAIM_TIMED, key)).copied();
            known.or_else(|| {
                let histogram = self.take(RECLAIM_HISTOGRAM, Pool::Histograms)?;
                self.with("HISTOGRAM_KEYS", |keys| keys.u64(histogram as usize).store(key, Relaxed));
                self.outcomes.borrow_mut().insert((RECLAIM_TIMED, key), histogram);
                Some(histogram)
            })
        });
        match histogram {
            Some(histogram) => {
                let number = cpu * self.sizes.histograms as usize + histogram as usize;
                self.add("HISTOGRAMS", number * HISTOGRAM_WORDS);
            }
            None => self.add("LOST", LossReason::HistogramsFull as usize),
        }
    }

    /// Numbers of free slots, series and histograms.
    pub(super) fn free(&self) -> [Vec<u32>; 3] {
        [RECLAIM_SLOT, RECLAIM_SERIES, RECLAIM_HISTOGRAM].map(|kind| {
            let mut free: Vec<u32> = self.free.borrow().get(&kind).into_iter().flatten().copied().collect();
            free.sort_unstable();
            free
        })
    }

    /// Number of entries of all hash tables.
    pub(super) fn entries(&self) -> usize {
        self.slots.borrow().len() + self.outcomes.borrow().len()
    }
}

/// Returns the 32-bit word at which a slot's `IndexRow` starts.
fn row_start(slot: u32) -> usize {
    slot as usize * size_of::<IndexRow>() / size_of::<u32>()
}
