//! The previous reading of the tables. It lets a snapshot do only the work for what has changed.

use std::sync::Arc;

use syscallmon_common::SeriesKey;

use crate::snapshot::Counts;

/// A series, as read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadSeries {
    /// Its key: a word of `SERIES_KEYS`.
    pub(super) key: u64,
    /// Its count over all CPUs.
    pub(super) count: u64,
    /// Calls of container init.
    pub(super) of_container_init: u64,
}

impl ReadSeries {
    /// Its slot; 0 for none.
    pub(super) fn slot(&self) -> usize {
        SeriesKey::from_word(self.key).slot as usize
    }
}

/// A slot, as read.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadSlot {
    /// Its cgroup; 0 for none.
    pub(super) owner: u64,
    /// Its counts; `None` while the slot is free.
    pub(super) counts: Option<Arc<Counts>>,
    /// Whether it differs from the previous reading.
    pub(super) is_changed: bool,
}

/// What the last reading found, by series and by slot.
#[derive(Default)]
pub(super) struct LastRead {
    pub(super) series: Vec<ReadSeries>,
    pub(super) slots: Vec<ReadSlot>,
}

impl LastRead {
    /// Starts with empty tables.
    pub(super) fn new(series: usize, slots: usize) -> Self {
        Self { series: vec![ReadSeries::default(); series], slots: vec![ReadSlot::default(); slots] }
    }

    /// Records the current cgroup of a slot.
    pub(super) fn read_owner(&mut self, slot: usize, owner: u64) {
        let known = &mut self.slots[slot];
        known.is_changed = known.owner != owner;
        known.owner = owner;
    }

    /// Records the current values of a series.
    pub(super) fn read_series(&mut self, number: usize, read: ReadSeries) {
        let known = std::mem::replace(&mut self.series[number], read);
        if known != read {
            for slot in [known.slot(), read.slot()] {
                if let Some(slot) = self.slots.get_mut(slot) {
                    slot.is_changed = true;
                }
            }
        }
    }

    /// Returns the series of changed slots.
    pub(super) fn changed_series(&self) -> impl Iterator<Item = (SeriesKey, ReadSeries)> {
        let is_changed = |slot: usize| slot != 0 && self.slots.get(slot).is_some_and(|slot| slot.is_changed);
        let changed = self.series.iter().filter(move |series| is_changed(series.slot()));
        changed.map(|series| (SeriesKey::from_word(series.key), *series))
    }
}
