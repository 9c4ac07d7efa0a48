//! The state of a model in the form in which it outlasts the daemon.
//!
//! The kernel counts while no daemon runs. The next daemon continues with the totals of this one, and with the part of
//! the kernel's counts that they contain. So no call is lost, and none counts twice. A saved model shares its memory
//! with the model: the sampler only clones pointers, and another thread writes the file.

mod records;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::Instant,
};

pub use self::records::{BirthsRecord, ModelReader, ModelRecord, RecordError, SlotRecord, WorkloadRecord};
use super::{Delta, Model, ModelView, SeriesLayout, SlotBaseline, Totals};
use crate::{
    snapshot::{Counts, SlotCounts},
    workload::{ResolvedWorkload, Workload},
};

/// The state of a model at one moment.
#[derive(Clone, Debug)]
pub struct SavedModel {
    at: Instant,
    view: ModelView,
    births: Arc<HashMap<u64, Instant>>,
    slots: Arc<HashMap<u32, SlotBaseline>>,
    remainder: Arc<Counts>,
}

/// Identifies the state of a model. Keeps none of its memory.
#[derive(Clone, Debug)]
pub struct ModelEdition {
    workloads: Weak<BTreeMap<Workload, Arc<Totals>>>,
    births: Weak<HashMap<u64, Instant>>,
    slots: Weak<HashMap<u32, SlotBaseline>>,
    remainder: Weak<Counts>,
}

impl SavedModel {
    /// Returns when the model was saved.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Returns the saved state's identity. It is equal for two states without a change in between, and no change
    /// makes it equal again.
    #[must_use]
    pub fn edition(&self) -> ModelEdition {
        ModelEdition {
            workloads: self.view.workloads.edition(),
            births: Arc::downgrade(&self.births),
            slots: Arc::downgrade(&self.slots),
            remainder: Arc::downgrade(&self.remainder),
        }
    }
}

impl PartialEq for ModelEdition {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.workloads, &other.workloads)
            && Weak::ptr_eq(&self.births, &other.births)
            && Weak::ptr_eq(&self.slots, &other.slots)
            && Weak::ptr_eq(&self.remainder, &other.remainder)
    }
}

impl Model {
    /// Returns the state at this moment. Copies no counts.
    #[must_use]
    pub fn to_save(&self, now: Instant) -> SavedModel {
        let Self { view, births, slots, remainder, most_series: _, layout: _ } = self;
        SavedModel {
            at: now,
            view: view.clone(),
            births: Arc::clone(births),
            slots: Arc::clone(slots),
            remainder: Arc::clone(remainder),
        }
    }

    /// Returns the model that was saved, with room for this many series in this layout.
    ///
    /// Adds `offset` to the number of each slot, because the kernel's new tables use the same numbers again. `offset`
    /// must exceed the number of every slot of the kernel. A slot that then has no number is handed over: it was
    /// restored before, and its tables are older than the previous ones.
    #[must_use]
    pub fn restored(saved: SavedModel, offset: u32, most_series: usize, layout: Arc<SeriesLayout>) -> Self {
        let SavedModel { at, view, births, slots, remainder } = saved;
        let mut model = Self { view, births, slots, remainder, most_series, layout };
        let older: Vec<u32> = model.slots.keys().copied().filter(|slot| slot.checked_add(offset).is_none()).collect();
        model.hand_over(&older, at);
        let slots = Arc::unwrap_or_clone(model.slots).into_iter();
        model.slots = Arc::new(slots.map(|(slot, baseline)| (slot + offset, baseline)).collect());
        model.view.series = 0;
        for (workload, totals) in model.view.workloads.iter_mut() {
            // 0 is no slot.
            totals.newest_slot = if totals.newest_slot == 0 { 0 } else { totals.newest_slot.saturating_add(offset) };
            if workload.is_one() {
                model.view.series += model.layout.count(&totals.counts);
            }
        }
        model
    }

    /// Returns the workload that a cgroup with a slot counts for. It takes a time that grows with the number of slots.
    #[must_use]
    pub fn named(&self, cgroup_id: u64) -> Option<&ResolvedWorkload> {
        self.slots.values().find(|slot| slot.cgroup_id == cgroup_id).map(|slot| &slot.named)
    }

    /// Returns the workloads of all cgroups with a slot.
    #[must_use]
    pub fn names(&self) -> HashMap<u64, ResolvedWorkload> {
        self.slots.values().map(|slot| (slot.cgroup_id, slot.named.clone())).collect()
    }

    /// Removes slots of the kernel's previous tables after their last counts were applied. Unlike
    /// [`Self::forget_slots`], this counts no stop: the workload continues with a slot of the new tables. If it makes
    /// no more calls, it expires.
    pub fn hand_over(&mut self, slots: &[u32], now: Instant) {
        for &slot in slots {
            let left = self.leave(slot, now);
            let is_newest = |totals: &&mut Totals| totals.newest_slot == slot;
            if let Some(totals) = left.and_then(|left| self.view.workloads.get_mut(&left)).filter(is_newest) {
                totals.newest_slot = 0;
            }
        }
    }

    /// Returns slots that belong to another cgroup than their baselines.
    #[must_use]
    pub fn reused(&self, slots: &[SlotCounts]) -> Vec<u32> {
        let is_reused = |slot: &&SlotCounts| {
            self.slots.get(&slot.slot).is_some_and(|baseline| baseline.cgroup_id != slot.cgroup_id)
        };
        slots.iter().filter(is_reused).map(|slot| slot.slot).collect()
    }

    /// Hands all slots over: all are slots of previous tables.
    pub fn hand_over_all(&mut self, now: Instant) {
        let slots: Vec<u32> = self.slots.keys().copied().collect();
        self.hand_over(&slots, now);
    }

    /// Forgets births: calls were not counted for some time, so not all calls of any cgroup are known.
    pub fn forget_all_births(&mut self) {
        self.births = Arc::default();
    }

    /// Folds ended workloads with half of their series into [`Workload::Gone`], to make the saved state smaller.
    /// Returns the calls of those that still waited for their names.
    pub fn fold_half(&mut self) -> Vec<Delta> {
        let gone = self.view.workloads.iter().filter(|(_, totals)| totals.is_gone());
        let (series, mut deltas) = (gone.map(|(_, totals)| totals.counts.series()).sum::<usize>(), Vec::new());
        self.fold_oldest(series / 2, &mut deltas);
        deltas
    }

    /// Begins with new tables of the kernel, whose remainder begins at 0. Slots remain, because they have other
    /// numbers.
    pub fn begin_again(&mut self) {
        self.remainder = Arc::default();
    }
}
