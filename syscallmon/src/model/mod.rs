//! Totals per workload, which never fall while the workload lives, and the end of workloads.
//!
//! Pure: the module takes snapshots and names, does no I/O, and reads no clock. The kernel's counts begin at 0 when a
//! cgroup gets its slot. Totals here only grow by differences between two snapshots.

mod delta;
#[cfg(test)]
mod invariants;
mod saved;
mod seen;
mod series;
mod stops;
#[cfg(test)]
mod tests;
mod workloads;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use self::seen::CallTimes;
pub use self::series::{Granularities, Granularity, SeriesLayout};
pub use self::workloads::ModelView;
pub use self::{
    delta::Delta,
    saved::{
        BirthsRecord, ModelEdition, ModelReader, ModelRecord, RecordError, SavedModel, SlotRecord, WorkloadRecord,
    },
};
use crate::{
    fair_share::Tenant,
    snapshot::{Counts, SlotCounts, Snapshot},
    workload::{CgroupIdentity, Labels, ResolvedWorkload, Workload},
};

/// Among ended workloads, a tenant has few series if it has at most this part of the room: 256 series by default.
const FEW_SERIES: usize = 256;

/// The state of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Its totals.
    pub counts: Counts,
    /// All of its metadata.
    pub metadata: Labels,
    /// When each of its calls was counted first and last.
    seen: CallTimes,
    /// Since when it waits for its name. It is not exported meanwhile.
    held_since: Option<Instant>,
    /// Slots that count for it now, and the one that came last, which `metadata` belongs to.
    slots: usize,
    newest_slot: u32,
    /// Its cgroup.
    cgroup_id: u64,
    /// When its first cgroup was born, if that was seen.
    created: Option<Instant>,
    /// When its last slot was freed.
    gone_since: Option<Instant>,
    /// Number of its containers that have ended; of another cgroup, how often its last slot was freed.
    stops: u64,
    /// Whether its cgroup is another workload now.
    is_renamed: bool,
}

/// All workloads with calls that have not expired.
#[derive(Debug)]
pub struct Model {
    /// Exported workloads, and those that wait for their names.
    view: ModelView,
    /// Cgroups that were born while the daemon ran, and when. All of their calls are counted.
    births: Arc<HashMap<u64, Instant>>,
    slots: Arc<HashMap<u32, SlotBaseline>>,
    remainder: Arc<Counts>,
    /// Maximum series of all workloads together, and the layout of series.
    most_series: usize,
    layout: Arc<SeriesLayout>,
}

/// The part of a slot's counts that totals contain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SlotBaseline {
    cgroup_id: u64,
    named: ResolvedWorkload,
    counts: Arc<Counts>,
}

impl Model {
    /// Returns an empty model with room for this many series.
    #[must_use]
    pub fn new(most_series: usize) -> Self {
        Self {
            view: ModelView::default(),
            births: Arc::default(),
            slots: Arc::default(),
            remainder: Arc::default(),
            most_series,
            layout: Arc::default(),
        }
    }

    /// Returns the same with another layout of series.
    #[must_use]
    pub fn with_layout(self, layout: Arc<SeriesLayout>) -> Self {
        Self { layout, ..self }
    }

    /// Adds the differences since the last snapshot. `name` names a cgroup. Calls of a cgroup without a name go to
    /// [`Workload::Unknown`], and later calls go to the right workload once it has a name. Returns the new calls by
    /// slot. Calls that wait for a name are returned when it is known, or when they stop waiting.
    pub fn apply(
        &mut self,
        snapshot: &Snapshot,
        now: Instant,
        mut name: impl FnMut(u64) -> Option<ResolvedWorkload>,
    ) -> Vec<Delta> {
        let unknown = || ResolvedWorkload { workload: Workload::Unknown, metadata: Labels::default() };
        let slots = snapshot.slots.iter();
        let deltas = slots.filter_map(|slot| self.apply_slot(slot, now, name(slot.cgroup_id).unwrap_or_else(unknown)));
        let mut deltas: Vec<Delta> = deltas.collect();
        let new = snapshot.remainder.since(&self.remainder);
        if !new.is_empty() {
            let seen = self.view.origin.times(&new.calls, now);
            self.add(&Workload::Remainder, &new, &seen);
            self.remainder = Arc::new(snapshot.remainder.clone());
            let named = ResolvedWorkload { workload: Workload::Remainder, metadata: Labels::default() };
            deltas.extend(Some(Delta::new(named, 0, &new)).filter(Delta::has_calls_to_judge));
        }
        deltas
    }

    fn apply_slot(&mut self, slot: &SlotCounts, now: Instant, named: ResolvedWorkload) -> Option<Delta> {
        let known = self.slots.get(&slot.slot);
        if known.is_some_and(|known| Arc::ptr_eq(&known.counts, &slot.counts) && known.named == named) {
            return None;
        }
        // After a failed save, the file may have the baseline of a cgroup that had the slot before.
        let baseline = known.filter(|known| known.cgroup_id == slot.cgroup_id);
        let new = baseline.map_or_else(|| Counts::clone(&slot.counts), |known| slot.counts.since(&known.counts));
        let is_same = known.is_some_and(|known| known.named.workload == named.workload);
        if new.is_empty() && known.is_none() {
            return None;
        }
        let ResolvedWorkload { workload, metadata } = &named;
        if !is_same {
            let left = self.leave(slot.slot, now);
            if let Some(totals) = left.and_then(|left| self.view.workloads.get_mut(&left)) {
                totals.is_renamed = totals.is_gone();
            }
            let created = self.births.get(&slot.cgroup_id).copied();
            let totals = self.totals(workload, created, now);
            totals.slots += 1;
            (totals.gone_since, totals.is_renamed) = (None, false);
            (totals.newest_slot, totals.cgroup_id) = (slot.slot, slot.cgroup_id);
        }
        let is_changed = |totals: &Arc<Totals>| totals.newest_slot == slot.slot && totals.metadata != *metadata;
        if self.view.workloads.get(workload).is_some_and(is_changed)
            && let Some(totals) = self.view.workloads.get_mut(workload)
        {
            totals.metadata.clone_from(metadata);
        }
        if !new.is_empty() || !is_same {
            let seen = self.view.origin.times(&new.calls, now);
            self.add(workload, &new, &seen);
        }
        let (cgroup_id, counts) = (slot.cgroup_id, Arc::clone(&slot.counts));
        Arc::make_mut(&mut self.slots).insert(slot.slot, SlotBaseline { cgroup_id, named: named.clone(), counts });
        let is_held = self.view.workloads.get(&named.workload).is_some_and(|totals| totals.held_since.is_some());
        (!is_held).then(|| Delta::new(named, slot.cgroup_id, &new)).filter(Delta::has_calls_to_judge)
    }

    /// Returns the totals of a workload, new ones if it has none.
    fn totals(&mut self, workload: &Workload, created: Option<Instant>, now: Instant) -> &mut Totals {
        let held_since = matches!(workload, Workload::Unresolved(_)).then_some(now);
        self.view.workloads.get_or_insert(workload, || Totals { held_since, created, ..Totals::default() })
    }

    /// Adds counts to a workload's totals. If there would be too many series, counts that need new series go to the
    /// remainder. `seen` has the times of the calls.
    fn add(&mut self, workload: &Workload, new: &Counts, seen: &CallTimes) {
        let totals = self.view.workloads.get_or_insert(workload, Totals::default);
        if !workload.is_one() {
            totals.counts.add(new);
            totals.seen.add(seen);
            return;
        }
        if self.view.series + self.layout.count(new) <= self.most_series {
            let before = self.layout.count(&totals.counts);
            totals.counts.add(new);
            totals.seen.add(seen);
            self.view.series += self.layout.count(&totals.counts) - before;
            return;
        }
        let (fitting, excess) = self.layout.split(new, &totals.counts);
        totals.counts.add(&fitting);
        let (seen, excess_seen) = seen.split(|call| fitting.calls.get(call).is_some());
        totals.seen.add(&seen);
        if !excess.is_empty() {
            self.view.capped += excess.calls.sum();
            self.add(&Workload::Remainder, &excess, &excess_seen);
        }
    }

    /// Removes a workload with its series.
    fn remove(&mut self, workload: &Workload) -> Option<Totals> {
        let totals = self.view.workloads.remove(workload)?;
        self.view.series -= if workload.is_one() { self.layout.count(&totals.counts) } else { 0 };
        Some(totals)
    }

    /// Notes that a cgroup was born. All of its calls will be counted.
    pub fn born(&mut self, cgroup_id: u64, now: Instant) {
        // The next daemon reads the events of its birth again.
        Arc::make_mut(&mut self.births).entry(cgroup_id).or_insert(now);
    }

    /// Whether all calls that a cgroup ever made are counted for its current workload.
    #[must_use]
    pub fn is_whole(&self, cgroup_id: u64) -> bool {
        self.births.contains_key(&cgroup_id)
    }

    /// Removes births of cgroups that are gone, or another workload now.
    pub fn forget_births(&mut self, cgroups: &[u64]) {
        if !cgroups.iter().any(|id| self.births.contains_key(id)) {
            return;
        }
        let births = Arc::make_mut(&mut self.births);
        for id in cgroups {
            births.remove(id);
        }
        if births.capacity() > 1024 && births.len() < births.capacity() / 4 {
            births.shrink_to_fit();
        }
    }

    /// Returns the workloads without a name yet.
    pub fn unresolved(&self) -> impl Iterator<Item = &Arc<CgroupIdentity>> {
        self.view.workloads.iter().filter_map(|(workload, _)| match workload {
            Workload::Unresolved(identity) => Some(identity),
            _ => None,
        })
    }

    /// Renames workloads. Their counts move, and are returned.
    pub fn rename(&mut self, names: &HashMap<Workload, ResolvedWorkload>, now: Instant) -> Vec<Delta> {
        for counted in Arc::make_mut(&mut self.slots).values_mut() {
            // Only the workload: the next snapshot brings the metadata, and sees a difference.
            if let Some(named) = names.get(&counted.named.workload) {
                counted.named.workload = named.workload.clone();
            }
        }
        let mut deltas = Vec::new();
        for (from, to) in names {
            if let Some(old) = self.remove(from) {
                self.merge(&old, to, now);
                let before = old.held_since.is_none().then(|| from.clone());
                deltas.push(Delta { before, ..Delta::new(to.clone(), old.cgroup_id, &old.counts) });
            }
        }
        deltas.retain(Delta::has_calls_to_judge);
        deltas
    }

    /// Adds the totals of an ended workload to another one's.
    fn merge(&mut self, old: &Totals, to: &ResolvedWorkload, now: Instant) {
        let is_new = !self.view.workloads.contains(&to.workload);
        let totals = self.totals(&to.workload, old.created, now);
        totals.slots += old.slots;
        totals.stops += old.stops;
        totals.gone_since = match (is_new, totals.slots) {
            // A workload that stands for many never ends.
            _ if !to.workload.is_one() => None,
            (true, 0) => old.gone_since,
            (false, 0) => totals.gone_since.max(old.gone_since),
            _ => None,
        };
        if is_new || old.slots > 0 {
            totals.metadata = to.metadata.clone();
            (totals.newest_slot, totals.cgroup_id) = (old.newest_slot, old.cgroup_id);
        }
        self.add(&to.workload, &old.counts, &old.seen);
    }

    /// Exports workloads that have waited this long for their names. Returns all of their calls.
    pub fn release(&mut self, now: Instant, after: Duration) -> Vec<Delta> {
        let mut deltas = Vec::new();
        let is_due = |totals: &Totals| totals.held_since.is_some_and(|since| now.duration_since(since) >= after);
        let due = self.view.workloads.iter().filter(|(_, totals)| is_due(totals)).map(|(workload, _)| workload.clone());
        for workload in due.collect::<Vec<_>>() {
            let Some(totals) = self.view.workloads.get_mut(&workload) else { continue };
            totals.held_since = None;
            let named = ResolvedWorkload { workload, metadata: totals.metadata.clone() };
            deltas.push(Delta::new(named, totals.cgroup_id, &totals.counts));
        }
        deltas.retain(Delta::has_calls_to_judge);
        deltas
    }

    /// Returns all calls of a workload so far.
    #[must_use]
    pub fn all_of(&self, named: &ResolvedWorkload) -> Option<Delta> {
        let totals = self.view.workloads.get(&named.workload)?;
        Some(Delta::new(named.clone(), totals.cgroup_id, &totals.counts))
    }

    /// Returns every workload and its totals, sorted. Unchanged totals stay the same [`Arc`] if another one holds it.
    pub fn all(&self) -> impl Iterator<Item = (&Workload, &Arc<Totals>)> {
        self.view.all()
    }

    /// Returns the metadata of a workload.
    #[must_use]
    pub fn metadata(&self, workload: &Workload) -> Option<&Labels> {
        self.view.workloads.get(workload).map(|totals| &totals.metadata)
    }

    /// Whether a current workload has totals.
    #[must_use]
    pub fn is_there(&self, workload: &Workload) -> bool {
        self.view.workloads.get(workload).is_some_and(|totals| !totals.is_gone())
    }

    /// Whether a workload has totals.
    #[must_use]
    pub fn has(&self, workload: &Workload) -> bool {
        self.view.workloads.contains(workload)
    }

    /// Removes freed slots after their last counts were applied. The next counts begin at 0.
    pub fn forget_slots(&mut self, freed: &[u32], now: Instant) {
        for &slot in freed {
            let left = self.leave(slot, now);
            self.note_stop(left.as_ref());
        }
    }

    /// Removes a slot from its workload, and returns the workload: the slot was freed, or its workload has another
    /// name.
    fn leave(&mut self, slot: u32, now: Instant) -> Option<Workload> {
        self.slots.get(&slot)?;
        let counted = Arc::make_mut(&mut self.slots).remove(&slot)?;
        let workload = counted.named.workload;
        let totals = self.view.workloads.get_mut(&workload)?;
        totals.slots -= 1;
        // A workload that stands for many stays, because it has calls of others.
        if totals.slots == 0 && workload.is_one() {
            totals.gone_since = Some(now);
        }
        Some(workload)
    }

    /// Ends workloads without a slot for longer than `keep`, unless `is_there` says by their metadata that they exist.
    /// Of those that wait for that time, at most `most_series` series are kept. The oldest workloads beyond that are
    /// folded into [`Workload::Gone`], which keeps their calls. Returns the calls of ended workloads that still waited
    /// for their names.
    pub fn expire(
        &mut self,
        now: Instant,
        keep: Duration,
        most_series: usize,
        is_there: impl Fn(&Totals) -> bool,
    ) -> Vec<Delta> {
        let is_due = |totals: &Totals| totals.gone_since.is_some_and(|since| now.duration_since(since) >= keep);
        let is_there = |totals: &Totals| !totals.is_renamed && is_there(totals);
        let due = self.view.workloads.iter().filter(|(_, totals)| is_due(totals) && !is_there(totals));
        let mut deltas = Vec::new();
        for workload in due.map(|(workload, _)| workload.clone()).collect::<Vec<_>>() {
            self.end(&workload, &mut deltas);
        }
        self.fold_oldest(most_series, &mut deltas);
        deltas
    }

    /// Removes an expired workload. Returns its counts and the times of its calls, and adds a delta if it still waited
    /// for its name.
    fn end(&mut self, workload: &Workload, deltas: &mut Vec<Delta>) -> (Counts, CallTimes) {
        let Totals { counts, metadata, held_since, cgroup_id, seen, .. } = self.remove(workload).unwrap_or_default();
        if held_since.is_some() {
            let named = ResolvedWorkload { workload: workload.clone(), metadata };
            deltas.extend(Some(Delta::new(named, cgroup_id, &counts)).filter(Delta::has_calls_to_judge));
        }
        (counts, seen)
    }

    /// Folds ended workloads until the others have at most this many series. Each time, it takes the oldest workload of
    /// the tenant with most series. So a tenant that starts and ends many workloads does not remove the last counts of
    /// others before a scrape. Tenants with few series count as equally large, and of these the oldest workload is
    /// taken. So many tiny tenants do not remove a workload of usual size that has just ended.
    fn fold_oldest(&mut self, most_series: usize, deltas: &mut Vec<Delta>) {
        let gone = || self.view.workloads.iter().filter(|(_, totals)| totals.is_gone());
        let mut excess = gone().map(|(_, totals)| totals.counts.series()).sum::<usize>().saturating_sub(most_series);
        if excess == 0 {
            return;
        }
        let mut tenants: HashMap<Arc<str>, (usize, Vec<_>)> = HashMap::new();
        for (workload, totals) in gone() {
            let group = Arc::clone(Tenant::of(workload, &totals.metadata).group());
            let (series, workloads) = tenants.entry(group).or_default();
            *series += totals.counts.series();
            workloads.push((Reverse(totals.gone_since), workload.clone()));
        }
        // The oldest last.
        for (_, workloads) in tenants.values_mut() {
            workloads.sort_unstable();
        }
        let few = most_series / FEW_SERIES;
        let rank = |series: usize, mut workloads: Vec<_>| {
            let (ended, workload) = workloads.pop()?;
            Some((series.max(few), ended, series, workload, workloads))
        };
        let mut ranked: BinaryHeap<_> =
            tenants.into_values().filter_map(|(series, workloads)| rank(series, workloads)).collect();
        while excess > 0
            && let Some((_, _, series, workload, others)) = ranked.pop()
        {
            let (counts, seen) = self.end(&workload, deltas);
            self.add(&Workload::Gone, &counts, &seen);
            self.view.folded += 1;
            excess = excess.saturating_sub(counts.series());
            ranked.extend(rank(series - counts.series(), others));
        }
    }

    /// Returns the exported state.
    #[must_use]
    pub fn view(&self) -> &ModelView {
        &self.view
    }
}

impl Totals {
    /// Returns when its counters began to count; `None` for the start of the daemon.
    #[must_use]
    pub fn created(&self) -> Option<Instant> {
        self.created
    }

    /// Whether no slot counts for it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }
}
