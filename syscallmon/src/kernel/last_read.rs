//! The previous reading of the tables. It lets a snapshot do only the work for what has changed.

use std::{mem, sync::Arc};

use syscallmon_common::{
    OUTCOME_ARGUMENT, OUTCOME_ARGUMENT_DENIED, OUTCOME_DENIED, OUTCOME_DENIED_CONTAINER_INIT, OUTCOME_DENIED_ENOSYS,
    OUTCOME_ENTERED, OUTCOME_OTHER_ARGUMENTS, OUTCOME_OTHER_DENIED, OUTCOME_OTHER_ERRORS, SeriesKey, is_argument,
    is_denied,
};

use crate::{
    snapshot::{Amount, ArgumentKey, Counts, DeniedKey, ErrorKey},
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
    /// Its counts until the last snapshot, which shares them. A series may be read before the owner of its slot.
    counts: Option<Arc<Counts>>,
    /// New calls of its series.
    new: Vec<(SeriesKey, ReadCounts)>,
}

impl ReadSlot {
    /// Returns its counts. Adds new calls to a copy of them.
    pub(super) fn counts(&mut self) -> &mut Arc<Counts> {
        let counts = self.counts.get_or_insert_default();
        let new = mem::take(&mut self.new);
        if !new.is_empty() {
            let counts = Arc::make_mut(counts);
            counts.calls.add(&new.iter().filter_map(entered).collect());
            counts.container_init.add(&new.iter().filter_map(of_container_init).collect());
            counts.denied.add(&new.iter().filter_map(denied).collect());
            counts.errors.add(&new.iter().filter_map(failed).collect());
            counts.arguments.add(&new.iter().filter_map(classed).collect());
        }
        counts
    }
}

/// The calls of a series that counts calls.
fn entered(&(key, read): &(SeriesKey, ReadCounts)) -> Option<(CallId, u64)> {
    (key.outcome == OUTCOME_ENTERED).then(|| (CallId(key.position), read.count + read.of_container_init))
}

/// Those of container init.
fn of_container_init(&(key, read): &(SeriesKey, ReadCounts)) -> Option<(CallId, u64)> {
    (key.outcome == OUTCOME_ENTERED).then_some((CallId(key.position), read.of_container_init))
}

/// The denied calls of a series that counts those.
fn denied(&(key, read): &(SeriesKey, ReadCounts)) -> Option<(DeniedKey, u64)> {
    let denied = match key.outcome {
        OUTCOME_DENIED => DeniedKey::Of(CallId(key.position)),
        OUTCOME_DENIED_ENOSYS => DeniedKey::Unsupported(CallId(key.position)),
        OUTCOME_DENIED_CONTAINER_INIT => DeniedKey::OfRuntime(CallId(key.position)),
        OUTCOME_OTHER_DENIED => DeniedKey::Other,
        _ => return None,
    };
    Some((denied, read.count))
}

/// The failed calls of a series that counts those.
fn failed(&(key, read): &(SeriesKey, ReadCounts)) -> Option<(ErrorKey, u64)> {
    let error = match key.outcome {
        OUTCOME_ENTERED | OUTCOME_OTHER_DENIED => return None,
        outcome if is_denied(outcome) || is_argument(outcome) => return None,
        OUTCOME_OTHER_ERRORS => ErrorKey::Other,
        errno => ErrorKey::Of(CallId(key.position), Errno::new(errno)),
    };
    Some((error, read.count))
}

/// The calls of a series that counts a class of arguments.
fn classed(&(key, read): &(SeriesKey, ReadCounts)) -> Option<(ArgumentKey, u64)> {
    let class = match key.outcome {
        OUTCOME_ARGUMENT => ArgumentKey::Of(CallId(key.position)),
        OUTCOME_ARGUMENT_DENIED => ArgumentKey::Denied(CallId(key.position)),
        OUTCOME_OTHER_ARGUMENTS => ArgumentKey::Other,
        _ => return None,
    };
    Some((class, read.count))
}

/// What the last reading found, by series and by slot. The owner of the tables calls [`Self::free_series`] and
/// [`Self::free_slot`] for what it frees.
#[derive(Default)]
pub(super) struct LastRead {
    /// Key of each series: a word of `SERIES_KEYS`; 0 for a free series. Kept apart from the counts, so that a search
    /// for used series touches little memory.
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
        let known_key = mem::replace(&mut self.keys[number], key);
        let known = mem::replace(&mut self.counts[number], read);
        let new = read.since(if known_key == key { known } else { ReadCounts::default() });
        let key = SeriesKey::from_word(key);
        if key.slot != 0
            && new != ReadCounts::default()
            && let Some(slot) = self.slots.get_mut(key.slot as usize)
        {
            slot.new.push((key, new));
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
