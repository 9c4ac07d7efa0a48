//! Pinned mode: continues with the counts of the daemon before, and lets the next one continue.
//!
//! The saved state has the totals, and the part of the kernel's counts that they contain. The kernel's counts only
//! grow, so the next daemon adds exactly what is missing, however old the state is. A slot is freed only after a saved
//! state has its last counts, and tables of the daemon before are removed only after a saved state has theirs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::Sampler;
use crate::{
    kernel::{FirstCallEvent, PreviousTables},
    snapshot::{Losses, SlotCounts, Snapshot},
    syscalls::CallId,
    view::{SavedTotals, TotalsSender},
    workload::ResolvedWorkload,
};

/// What is added to the numbers of slots of previous tables. There are always fewer slots.
pub const SLOT_OFFSET: u32 = 1 << 24;

/// What lets the next daemon continue, and what the daemon before left.
pub struct Lasting {
    states: TotalsSender,
    /// The generation, the absorbed tables and the freed slots of the state that was read. Tables that could not be
    /// removed are absorbed too.
    generation: u64,
    absorbed: Vec<u64>,
    freed: Vec<SlotCounts>,
    /// Names of cgroups that the daemon before knew, until this one knows them.
    names: HashMap<u64, ResolvedWorkload>,
    /// Losses of the tables before.
    losses: Losses,
    /// The number of the newest state.
    number: u64,
    /// When the newest state was handed over to be saved.
    last_save: Option<Instant>,
    /// Retired slots that are not freed yet, with the number of the first state without them.
    retired: HashMap<u32, (u64, SlotCounts)>,
    /// Tables that the totals contain.
    previous: Vec<PreviousTables>,
    /// The number of the first state that knows of calls that were not counted, until it is saved.
    first_with_gap: Option<u64>,
}

impl Lasting {
    /// Begins with what the daemon before saved, if anything. States to save are sent to `states`.
    #[must_use]
    pub fn new(
        states: TotalsSender,
        (generation, absorbed, freed): (u64, Vec<u64>, Vec<SlotCounts>),
        names: HashMap<u64, ResolvedWorkload>,
    ) -> Self {
        Self {
            states,
            generation,
            absorbed,
            freed,
            names,
            losses: Losses::default(),
            number: 0,
            last_save: None,
            retired: HashMap::new(),
            previous: Vec::new(),
            first_with_gap: None,
        }
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
        snapshot.slots.retain(|slot| !self.retired.contains_key(&slot.slot));
        snapshot.losses.add_tables(&self.losses);
    }

    /// Notes slots that were counted completely in this snapshot.
    pub(super) fn retired(&mut self, slots: &[u32], snapshot: &Snapshot) {
        let number = self.number + 1;
        let mut counted: HashMap<u32, &SlotCounts> = snapshot.slots.iter().map(|slot| (slot.slot, slot)).collect();
        for &slot in slots {
            // A slot that never counted is in no snapshot.
            let never = || SlotCounts { slot, cgroup_id: 0, counts: Arc::default() };
            let counts = counted.remove(&slot).cloned();
            self.retired.entry(slot).or_insert_with(|| (number, counts.unwrap_or_else(never)));
        }
    }

    /// Lets the next state be saved at once.
    pub(super) fn save_soon(&mut self) {
        self.last_save = None;
    }

    /// Whether something waits for a state, or names and totals were not saved for this time.
    fn is_due(&self, now: Instant, interval: Duration) -> bool {
        let is_old = self.last_save.is_none_or(|last| now.saturating_duration_since(last) >= interval);
        is_old || !self.retired.is_empty() || !self.previous.is_empty() || self.first_with_gap.is_some()
    }

    /// Notes that the next state knows of calls that were not counted.
    fn has_gap(&mut self) {
        tracing::warn!("the lease of the pinned programs had ended: calls since then were not counted");
        self.first_with_gap = Some(self.number + 1);
    }
}

impl Sampler {
    /// Counts what the programs counted since the daemon before saved its state, and judges it.
    pub(super) fn take_over(&mut self) {
        let Some(mut lasting) = self.lasting.take() else { return };
        let previous = self.kernel.take_previous();
        if self.kernel.has_gap() {
            lasting.has_gap();
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
        let (own, calls): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| self.kernel.made(call));
        self.apply_events(calls, changes);
        if self.kernel.has_gap() {
            // These cgroups were born before the gap.
            self.model.forget_all_births();
        }
        let mut snapshot = tables.snapshot();
        self.exclude_own_calls(&own, &mut snapshot);
        let freed: HashMap<u32, &SlotCounts> = freed.iter().map(|slot| (slot.slot, slot)).collect();
        snapshot.slots.retain(|slot| freed.get(&slot.slot) != Some(&slot));
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

    /// Excludes what this daemon called before its own programs ran, as they exclude its calls: it loads programs,
    /// which no policy allows a container. Calls of others in its container are excluded too, if they were made between
    /// its start and this takeover, and it made the same call first.
    fn exclude_own_calls(&self, own: &[FirstCallEvent], snapshot: &mut Snapshot) {
        let calls = &self.publisher.facts.calls;
        let id = |call: &FirstCallEvent| (call.cgroup_id, calls.reported(call.abi, call.number, call.class));
        let own: HashSet<(u64, CallId)> = own.iter().map(id).collect();
        for slot in &mut snapshot.slots {
            let cgroup = slot.cgroup_id;
            if own.iter().any(|&(of_own, _)| of_own == cgroup) {
                slot.counts = Arc::new(slot.counts.in_container_init(|call| own.contains(&(cgroup, call))));
            }
        }
    }

    /// Hands the state after a snapshot to be saved.
    pub(super) fn save(&mut self, taken: Instant) {
        let (Some(lasting), Some(generation)) = (&mut self.lasting, self.kernel.pinned_id()) else { return };
        let poll_interval = self.tunables.borrow().poll_interval;
        // A daemon that polls rarely must not let its own programs stop.
        if self.kernel.renew_lease(2 * poll_interval) {
            // The daemon was stopped for longer than the lease.
            lasting.has_gap();
            self.model.forget_all_births();
        }
        if !lasting.is_due(taken, poll_interval) {
            return;
        }
        lasting.last_save = Some(taken);
        lasting.number += 1;
        let totals = SavedTotals {
            generation,
            absorbed: lasting.previous.iter().map(PreviousTables::id).chain(lasting.absorbed.iter().copied()).collect(),
            freed: lasting.retired.values().map(|(_, slot)| slot.clone()).collect(),
            model: self.model.to_save(taken),
        };
        lasting.states.send_replace(Some((lasting.number, Arc::new(totals))));
    }

    /// Frees what waited for a saved state, and removes the tables of the daemon before.
    pub(super) fn saved(&mut self, number: u64, is_saved: bool) {
        let Some(lasting) = &mut self.lasting else { return };
        // If they could not be saved, a restart loses their counts; otherwise, new cgroups would find no slot.
        let free: Vec<u32> =
            lasting.retired.extract_if(|_, (first, _)| *first <= number).map(|(slot, _)| slot).collect();
        if is_saved
            && lasting.first_with_gap.take_if(|first| *first <= number).is_some()
            && let Err(error) = self.kernel.gap_is_saved()
        {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot remove the mark of missing calls");
        }
        if is_saved {
            for tables in std::mem::take(&mut lasting.previous) {
                let id = tables.id();
                if let Err(error) = tables.remove() {
                    tracing::error!(id, error = &error as &dyn std::error::Error, "cannot remove pinned tables");
                    // Otherwise, the next daemon would count their calls again.
                    lasting.absorbed.push(id);
                }
            }
        }
        self.free(&free);
    }
}
