//! Pinned mode: continues with the counts of the daemon before, and lets the next one continue.
//!
//! The saved state has the totals, and the part of the kernel's counts that they contain. The kernel's counts only
//! grow, so the next daemon adds exactly what is missing, however old the state is. A slot is freed only after a saved
//! state has its last counts, and tables of the daemon before are removed only after a saved state has theirs.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::Sampler;
use crate::{
    error_report::chain,
    kernel::{FirstCallEvent, PinGap, PreviousTables},
    snapshot::{Losses, SlotCounts, Snapshot},
    syscalls::CallId,
    view::{SavedTotals, TotalsSave, TotalsSender},
    workload::ResolvedWorkload,
};

/// What is added to the numbers of slots of previous tables. There are always fewer slots.
pub const SLOT_OFFSET: u32 = 1 << 24;

/// How long an unexpected call may wait for its process and its name before it is reported. A daemon that ends without
/// notice has not reported later ones.
const REPORT_TIME: Duration = Duration::from_secs(3);

const LEASE_ENDED: &str = "the lease of the pinned programs had ended: calls since then were not counted";

/// What a state says about tables.
#[derive(Debug, Default)]
pub struct Known {
    /// The generation of tables that the slots belong to.
    pub generation: u64,
    /// The position in their first calls from which they are not reported yet.
    pub first_calls_from: u64,
    /// Earlier generations that the totals contain, and the positions from which their first calls are not reported.
    pub absorbed: Vec<(u64, u64)>,
    /// Slots that the totals contain completely.
    pub freed: Vec<SlotCounts>,
}

impl Known {
    /// Returns the position from which first calls of a generation are not reported. All of one that is not known.
    fn first_calls_from(&self, id: u64) -> u64 {
        let absorbed = self.absorbed.iter().find(|(known, _)| *known == id);
        if id == self.generation { self.first_calls_from } else { absorbed.map_or(0, |(_, from)| *from) }
    }
}

/// What lets the next daemon continue, and what the daemon before left.
pub struct Lasting {
    states: TotalsSender,
    known: Known,
    /// Positions up to which first calls were read at recent states, the oldest first.
    first_calls: VecDeque<(Instant, u64)>,
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
    /// Tables that the totals contain, and the positions from which their first calls were read.
    previous: Vec<(PreviousTables, u64)>,
    /// When they were taken over.
    taken_over: Instant,
    /// A pin that others have removed.
    missing: Option<PathBuf>,
    /// The number of the first state that knows of calls that were not counted, until it is saved.
    first_with_gap: Option<u64>,
}

impl Lasting {
    /// Begins with what the daemon before saved, if anything. States to save are sent to `states`.
    #[must_use]
    pub fn new(states: TotalsSender, known: Known, names: HashMap<u64, ResolvedWorkload>) -> Self {
        Self {
            states,
            known,
            first_calls: VecDeque::new(),
            names,
            losses: Losses::default(),
            number: 0,
            last_save: None,
            retired: HashMap::new(),
            previous: Vec::new(),
            taken_over: Instant::now(),
            missing: None,
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

    /// Notes the position up to which first calls were read. Returns one up to which they are reported.
    fn reported(&mut self, now: Instant, read: u64) -> u64 {
        self.first_calls.push_back((now, read));
        let is_reported = |at: Instant| now.saturating_duration_since(at) >= REPORT_TIME;
        while self.first_calls.get(1).is_some_and(|(at, _)| is_reported(*at)) {
            self.first_calls.pop_front();
        }
        self.first_calls.front().filter(|(at, _)| is_reported(*at)).map_or(0, |(_, position)| *position)
    }

    /// Whether something waits for a state, or names and totals were not saved for this time.
    fn is_due(&self, now: Instant, interval: Duration) -> bool {
        let is_old = self.last_save.is_none_or(|last| now.saturating_duration_since(last) >= interval);
        is_old || !self.retired.is_empty() || !self.previous.is_empty() || self.first_with_gap.is_some()
    }

    /// Notes that the next state knows of calls that were not counted.
    fn has_gap(&mut self) {
        self.first_with_gap = Some(self.number + 1);
    }
}

impl Sampler {
    /// Counts what the programs counted since the daemon before saved its state, and judges it.
    pub(super) fn take_over(&mut self) {
        let Some(mut lasting) = self.lasting.take() else { return };
        let previous = self.kernel.take_previous();
        let now = Instant::now();
        let known = std::mem::take(&mut lasting.known);
        self.lasting = Some(lasting);
        let has_gap = self.report_gap(known.generation, &previous);
        let mut taken: Vec<_> =
            previous.into_iter().map(|tables| (known.first_calls_from(tables.id()), tables)).collect();
        let own = self.take_previous_events(&mut taken);
        for ((_, tables), place) in taken.iter_mut().zip(2..) {
            if tables.id() == known.generation {
                self.take_over_tables(tables, SLOT_OFFSET, (&known.freed, &own), now);
            } else if tables.id() > known.generation {
                self.take_over_tables(tables, SLOT_OFFSET * place, (&[], &own), now);
            }
        }
        if has_gap {
            self.model.forget_all_births();
        }
        tracing::info!(tables = taken.len(), "took the counts of pinned programs over");
        // Every slot so far is one of tables that no program uses.
        self.model.hand_over_all(now);
        self.model.begin_again();
        self.first_calls_lost = 0;
        if let Some(lasting) = &mut self.lasting {
            lasting.previous = taken.into_iter().map(|(from, tables)| (tables, from)).collect();
            lasting.taken_over = now;
            lasting.names.retain(|id, _| self.tree.path(*id).is_some());
        }
    }

    /// Says what calls are missing after the daemon of this generation. Returns whether any are.
    fn report_gap(&mut self, known: u64, previous: &[PreviousTables]) -> bool {
        let are_gone = known != 0 && !previous.iter().any(|tables| tables.id() == known);
        let gap = self.kernel.gap();
        if gap.is_none() && !are_gone {
            return false;
        }
        self.model.forget_all_births();
        if let Some(lasting) = &mut self.lasting {
            lasting.has_gap();
        }
        match gap {
            _ if are_gone => tracing::warn!("the pinned counts are gone: calls since the last saved totals are lost"),
            Some(PinGap::Lease) => tracing::warn!("{LEASE_ENDED}"),
            _ if previous.is_empty() => {}
            Some(PinGap::Unsaved) => {
                tracing::warn!("calls were not counted before a daemon that ended before it saved totals");
            }
            _ => tracing::warn!("the pinned programs were not attached: calls since then were not counted"),
        }
        true
    }

    /// Applies the events of tables before, and of this daemon's. While a daemon takes over, births of cgroups may be
    /// in its ring already, and their calls in the tables before. Returns what this daemon called first.
    fn take_previous_events(&mut self, previous: &mut [(u64, PreviousTables)]) -> HashSet<(u64, CallId)> {
        let (mut calls, mut changes) = (Vec::new(), Vec::new());
        let previous = previous.iter_mut().map(|(from, tables)| tables.events(*from)).collect::<Vec<_>>();
        for (more_calls, more_changes) in previous.into_iter().chain([self.events.take()]) {
            calls.extend(more_calls);
            changes.extend(more_changes);
        }
        let (own, calls): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| self.kernel.made(call));
        self.apply_events(calls, changes);
        let calls = &self.publisher.facts.calls;
        let id = |call: &FirstCallEvent| (call.cgroup_id, calls.reported(call.abi, call.number, call.class));
        own.iter().map(id).collect()
    }

    fn take_over_tables(
        &mut self,
        tables: &mut PreviousTables,
        offset: u32,
        (freed, own): (&[SlotCounts], &HashSet<(u64, CallId)>),
        now: Instant,
    ) {
        let mut snapshot = tables.snapshot();
        exclude_own_calls(own, &mut snapshot);
        let freed: HashMap<u32, &SlotCounts> = freed.iter().map(|slot| (slot.slot, slot)).collect();
        snapshot.slots.retain(|slot| freed.get(&slot.slot) != Some(&slot));
        for slot in &mut snapshot.slots {
            slot.slot += offset;
        }
        // After a state could not be saved, the kernel may have given slots to other cgroups.
        let reused = self.model.reused(&snapshot.slots);
        self.model.forget_slots(&reused, now);
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
        let poll_interval = self.tunables.borrow().poll_interval;
        // A daemon that polls rarely must not let its own programs stop.
        if self.kernel.renew_lease(2 * poll_interval) {
            // The daemon was stopped for longer than the lease.
            tracing::warn!("{LEASE_ENDED}");
            lasting.has_gap();
            self.model.forget_all_births();
        }
        if !lasting.is_due(taken, poll_interval) {
            return;
        }
        let missing = self.kernel.missing_pin();
        if let Some(path) = missing.as_ref().filter(|_| lasting.missing.is_none()) {
            tracing::error!(path = %path.display(), "a pin was removed: a restart loses calls");
        }
        lasting.missing = missing;
        lasting.last_save = Some(taken);
        lasting.number += 1;
        let totals = SavedTotals {
            generation,
            first_calls_from: lasting.reported(taken, self.kernel.first_calls_read()),
            absorbed: lasting.previous.iter().map(|(tables, from)| (tables.id(), *from)).collect(),
            freed: lasting.retired.values().map(|(_, slot)| slot.clone()).collect(),
            model: self.model.to_save(taken),
        };
        lasting.states.send_replace(Some((lasting.number, Arc::new(totals))));
    }

    /// Frees what waited for a saved state, and removes the tables of the daemon before.
    pub(super) fn saved(&mut self, number: u64, save: TotalsSave) {
        let Some(lasting) = &mut self.lasting else { return };
        // If they could not be saved, a restart loses their counts; otherwise, new cgroups would find no slot.
        let free: Vec<u32> =
            lasting.retired.extract_if(|_, (first, _)| *first <= number).map(|(slot, _)| slot).collect();
        if save == TotalsSave::Done {
            let mut removed: Vec<_> = lasting.previous.iter_mut().map(|(tables, _)| tables.remove_counts()).collect();
            if lasting.taken_over.elapsed() >= REPORT_TIME {
                removed.extend(std::mem::take(&mut lasting.previous).into_iter().map(|(tables, _)| tables.remove()));
            }
            removed.push(self.kernel.remove_remains());
            if lasting.first_with_gap.take_if(|first| *first <= number).is_some() {
                removed.push(self.kernel.gap_is_saved());
            }
            for error in removed.into_iter().filter_map(Result::err) {
                tracing::error!(error = chain(&error), "cannot remove pinned tables");
            }
        }
        if save == TotalsSave::TooLarge {
            // Many ended workloads, or long names.
            lasting.save_soon();
            let deltas = self.model.fold_half();
            self.detector.judge_counted(&deltas, SystemTime::now(), |id| !self.model.is_whole(id));
            self.publisher.changed();
        }
        self.free(&free);
    }
}

/// Excludes what this daemon called before its own programs ran, as they exclude its calls: it loads programs, which no
/// policy allows a container. Calls of others in its container are excluded too, if they were made between its start
/// and this takeover, and it made the same call first.
fn exclude_own_calls(own: &HashSet<(u64, CallId)>, snapshot: &mut Snapshot) {
    for slot in &mut snapshot.slots {
        let cgroup = slot.cgroup_id;
        if own.iter().any(|&(of_own, _)| of_own == cgroup) {
            slot.counts = Arc::new(slot.counts.in_container_init(|call| own.contains(&(cgroup, call))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting() -> Lasting {
        Lasting::new(tokio::sync::watch::Sender::new(None), Known::default(), HashMap::new())
    }

    #[test]
    fn first_calls_are_read_again_until_they_are_surely_reported() {
        let (mut lasting, start) = (lasting(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let positions = [(0, 10), (2, 20), (3, 30), (4, 40), (5, 50), (100, 60), (101, 70)];
        let from = positions.map(|(seconds, read)| lasting.reported(at(seconds), read));
        assert_eq!(from, [0, 0, 10, 10, 20, 50, 50]);
    }

    #[test]
    fn first_calls_of_tables_without_a_state_are_read_from_the_start() {
        let known = Known { generation: 7, first_calls_from: 70, absorbed: vec![(5, 50)], freed: Vec::new() };
        assert_eq!([5, 7, 8, 3].map(|id| known.first_calls_from(id)), [50, 70, 0, 0]);
    }
}
