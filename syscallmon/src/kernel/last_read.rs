//! The previous reading of the tables. It lets a snapshot do only the work for what has changed.

use std::sync::Arc;

use syscallmon_common::{
    OUTCOME_DENIED, OUTCOME_DENIED_ENOSYS, OUTCOME_ENTERED, OUTCOME_OTHER_DENIED, OUTCOME_OTHER_ERRORS, SeriesKey,
};

use crate::{
    snapshot::{Amount, Counts, DeniedKey, ErrorKey},
    syscalls::{CallId, Errno},
};

/// The counts of a series, as read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadCounts {
    /// Its count over all CPUs, without container init.
    pub(super) count: u64,
    /// Calls of container init.
    pub(super) of_container_init: u64,
}

impl ReadCounts {
    fn since(self, before: Self) -> Self {
        Self {
            count: self.count.since(&before.count),
            of_container_init: self.of_container_init.since(&before.of_container_init),
        }
    }
}

/// A slot, as read.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadSlot {
    /// Its cgroup; 0 for none.
    pub(super) owner: u64,
    /// Its counts. Snapshots share them, and a change makes a copy.
    pub(super) counts: Option<Arc<Counts>>,
}

impl ReadSlot {
    /// Adds the new calls of a series.
    fn add(&mut self, SeriesKey { position, outcome, .. }: SeriesKey, new: ReadCounts) {
        let counts = Arc::make_mut(self.counts.get_or_insert_default());
        let (call, ReadCounts { count, of_container_init }) = (CallId(position), new);
        match outcome {
            OUTCOME_ENTERED => {
                counts.calls.add_one(call, &(count + of_container_init));
                counts.container_init.add_one(call, &of_container_init);
            }
            OUTCOME_DENIED => counts.denied.add_one(DeniedKey::Of(call), &count),
            OUTCOME_DENIED_ENOSYS => counts.denied.add_one(DeniedKey::Unsupported(call), &count),
            OUTCOME_OTHER_DENIED => counts.denied.add_one(DeniedKey::Other, &count),
            OUTCOME_OTHER_ERRORS => counts.errors.add_one(ErrorKey::Other, &count),
            errno => counts.errors.add_one(ErrorKey::Of(call, Errno::new(errno)), &count),
        }
    }
}

/// What the last reading found, by series and by slot. The owner of the tables calls [`Self::free_series`] and
/// [`Self::free_slot`] for what it frees.
#[derive(Default)]
pub(super) struct LastRead {
    /// Key of each series: a word of `SERIES_KEYS`; 0 for a free series. Apart from the counts, so looking for series in
    /// use touches little memory.
    keys: Vec<u64>,
    counts: Vec<ReadCounts>,
    slots: Vec<ReadSlot>,
}

impl LastRead {
    /// Starts with empty tables.
    pub(super) fn new(series: usize, slots: usize) -> Self {
        Self {
            keys: vec![0; series],
            counts: vec![ReadCounts::default(); series],
            slots: vec![ReadSlot::default(); slots],
        }
    }

    /// Whether a series was free.
    pub(super) fn was_free(&self, number: usize) -> bool {
        self.keys[number] == 0
    }

    /// Records the current key and counts of a series, and adds its new calls to its slot. Two CPUs that made a first
    /// call at the same moment gave it two series, which add up here.
    pub(super) fn read_series(&mut self, number: usize, key: u64, read: ReadCounts) {
        let known_key = std::mem::replace(&mut self.keys[number], key);
        let known = std::mem::replace(&mut self.counts[number], read);
        let new = read.since(if known_key == key { known } else { ReadCounts::default() });
        let key = SeriesKey::from_word(key);
        if key.slot != 0
            && new != ReadCounts::default()
            && let Some(slot) = self.slots.get_mut(key.slot as usize)
        {
            slot.add(key, new);
        }
    }

    /// Notes that a series was freed.
    pub(super) fn free_series(&mut self, number: usize) {
        (self.keys[number], self.counts[number]) = (0, ReadCounts::default());
    }

    /// Returns a slot.
    pub(super) fn slot(&mut self, slot: usize) -> &mut ReadSlot {
        &mut self.slots[slot]
    }

    /// Notes that a slot was freed.
    pub(super) fn free_slot(&mut self, slot: usize) {
        self.slots[slot] = ReadSlot::default();
    }
}
