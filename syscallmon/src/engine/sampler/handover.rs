//! Pinned mode: continues with the counts of the daemon before, and lets the next one continue.
//!
//! The saved state has the totals, and the part of the kernel's counts that they contain. The kernel's counts only
//! grow, so the next daemon adds exactly what is missing, however old the state is. A slot is freed only after a saved
//! state has its last counts, and tables of the daemon before are removed only after a saved state has theirs.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::Sampler;
use crate::{
    kernel::PreviousTables,
    snapshot::{Losses, SlotCounts, Snapshot},
    view::{SavedTotals, TotalsSender},
    workload::ResolvedWorkload,
};

/// What is added to the numbers of slots of previous tables. There are always fewer slots.
pub const SLOT_OFFSET: u32 = 1 << 24;

/// What lets the next daemon continue, and what the daemon before left.
pub struct Lasting {
    states: TotalsSender,
    /// The generation, the absorbed tables and the freed slots of the state that was read.
    generation: u64,
    absorbed: Vec<u64>,
    freed: Vec<SlotCounts>,
    /// Names of cgroups that the daemon before knew, until this one knows them.
    names: HashMap<u64, ResolvedWorkload>,
    /// Losses of the tables before.
    losses: Losses,
    /// The number of the newest state.
    number: u64,
    /// Retired slots that are not freed yet, with the number of the first state without them.
    retired: Vec<(u64, SlotCounts)>,
    /// Tables that the totals contain.
    previous: Vec<PreviousTables>,
}

impl Lasting {
    /// Begins with what the daemon before saved, if anything. States to save are sent to `states`.
    #[must_use]
    pub fn new(
        states: TotalsSender,
        (generation, absorbed, freed): (u64, Vec<u64>, Vec<SlotCounts>),
        names: HashMap<u64, ResolvedWorkload>,
    ) -> Self {
        let (losses, retired, previous) = (Losses::default(), Vec::new(), Vec::new());
        Self { states, generation, absorbed, freed, names, losses, number: 0, retired, previous }
    }

    /// Returns the name that the daemon before knew.
    pub(super) fn name(&self, cgroup_id: u64) -> Option<ResolvedWorkload> {
        self.names.get(&cgroup_id).cloned()
    }

    /// Removes names of cgroups that are gone.
    pub(super) fn forget(&mut self, dead: &[u64]) {
        for id in dead {
            self.names.remove(id);
        }
    }

    /// Removes slots from a snapshot that were counted completely, and adds the losses of the tables before.
    pub(super) fn correct(&self, snapshot: &mut Snapshot) {
        snapshot.slots.retain(|slot| !self.retired.iter().any(|(_, retired)| retired.slot == slot.slot));
        snapshot.losses.add_tables(&self.losses);
    }

    /// Notes slots that were counted completely in this snapshot.
    pub(super) fn retired(&mut self, slots: &[u32], snapshot: &Snapshot) {
        let number = self.number + 1;
        let counted = snapshot.slots.iter().filter(|slot| slots.contains(&slot.slot));
        self.retired.extend(counted.map(|slot| (number, slot.clone())));
        // A slot that never counted is in no snapshot.
        let unknown = slots.iter().filter(|slot| !self.retired.iter().any(|(_, known)| known.slot == **slot));
        let unknown: Vec<u32> = unknown.copied().collect();
        let empty = |slot| (number, SlotCounts { slot, cgroup_id: 0, counts: Arc::default() });
        self.retired.extend(unknown.into_iter().map(empty));
    }
}

impl Sampler {
    /// Counts what the programs counted since the daemon before saved its state, and judges it.
    pub(super) fn take_over(&mut self) {
        let Some(mut lasting) = self.lasting.take() else { return };
        let previous = self.kernel.take_previous();
        if self.kernel.has_gap() {
            tracing::warn!("the lease of the pinned programs had ended: calls since then were not counted");
            self.model.forget_all_births();
        }
        let now = Instant::now();
        let freed = std::mem::take(&mut lasting.freed);
        let (known, absorbed) = (lasting.generation, std::mem::take(&mut lasting.absorbed));
        self.lasting = Some(lasting);
        let mut taken = Vec::new();
        for (mut tables, place) in previous.into_iter().zip(2..) {
            if !absorbed.contains(&tables.id()) {
                let is_known = tables.id() == known;
                let offset = SLOT_OFFSET * if is_known { 1 } else { place };
                let freed = if is_known { &freed[..] } else { &[] };
                self.take_over_tables(&mut tables, offset, freed, now);
            }
            taken.push(tables);
        }
        tracing::info!(tables = taken.len(), "took the counts of pinned programs over");
        // Every slot so far is one of tables that no program uses.
        self.model.hand_over_all(now);
        self.model.begin_again();
        self.first_calls_lost = 0;
        if let Some(lasting) = &mut self.lasting {
            lasting.previous = taken;
            lasting.names.retain(|id, _| self.tree.path(*id).is_some());
        }
    }

    fn take_over_tables(&mut self, tables: &mut PreviousTables, offset: u32, freed: &[SlotCounts], now: Instant) {
        let (calls, changes) = tables.events();
        self.apply_events(calls, changes);
        let mut snapshot = tables.snapshot();
        snapshot.slots.retain(|slot| !freed.contains(slot));
        for slot in &mut snapshot.slots {
            slot.slot += offset;
        }
        if offset != SLOT_OFFSET {
            self.model.begin_again();
        }
        if let Some(lasting) = &mut self.lasting {
            lasting.losses.add_tables(&snapshot.losses);
        }
        self.count(&snapshot, now);
        self.deliver();
    }

    /// Hands the state after a snapshot to be saved.
    pub(super) fn save(&mut self, taken: Instant) {
        let (Some(lasting), Some(generation)) = (&mut self.lasting, self.kernel.pinned_id()) else { return };
        self.kernel.renew_lease();
        lasting.number += 1;
        let totals = SavedTotals {
            generation,
            absorbed: lasting.previous.iter().map(PreviousTables::id).collect(),
            freed: lasting.retired.iter().map(|(_, slot)| slot.clone()).collect(),
            model: self.model.to_save(taken),
        };
        lasting.states.send_replace(Some((lasting.number, Arc::new(totals))));
    }

    /// Frees what waited for a saved state, and removes the tables of the daemon before.
    pub(super) fn saved(&mut self, number: u64, is_saved: bool) {
        let Some(lasting) = &mut self.lasting else { return };
        let (free, waiting) = std::mem::take(&mut lasting.retired).into_iter().partition(|(first, _)| *first <= number);
        lasting.retired = waiting;
        if is_saved {
            for tables in std::mem::take(&mut lasting.previous) {
                let id = tables.id();
                if let Err(error) = tables.remove() {
                    tracing::error!(id, error = &error as &dyn std::error::Error, "cannot remove pinned tables");
                }
            }
        }
        // If they could not be saved, a restart loses their counts; otherwise, new cgroups would find no slot.
        let free: Vec<(u64, SlotCounts)> = free;
        let slots: Vec<u32> = free.into_iter().map(|(_, slot)| slot.slot).collect();
        self.free(&slots);
    }
}
