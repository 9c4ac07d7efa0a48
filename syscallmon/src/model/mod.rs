//! Totals per workload, which never fall while the workload lives, and how workloads are forgotten.
//!
//! Pure: takes snapshots and names, does no I/O, reads no clock. The kernel's counts start anew when a cgroup
//! gets its slot; totals here only ever grow by differences between two snapshots.

#[cfg(test)]
mod invariants;
mod series;
#[cfg(test)]
mod tests;
mod workloads;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::series::{Granularities, Granularity, SeriesLayout};
pub use self::workloads::ModelView;
use crate::{
    fair_share::Tenant,
    snapshot::{Counts, DeniedKey, SlotCounts, Snapshot, SortedCounts},
    syscalls::CallId,
    workload::{CgroupIdentity, Labels, ResolvedWorkload, Workload},
};

/// What is known of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What was counted.
    pub counts: Counts,
    /// All that is known of the workload.
    pub metadata: Labels,
    /// Since when it waits for its name; not exported for so long.
    held_since: Option<Instant>,
    /// Slots that count towards it now, and the one that came last: `metadata` is of that one.
    slots: usize,
    newest_slot: u32,
    /// The cgroup that has it.
    cgroup_id: u64,
    /// When its first cgroup was born, if that was seen.
    created: Option<Instant>,
    /// When its last slot was freed.
    gone_since: Option<Instant>,
    /// Whether its cgroup is another workload now.
    is_renamed: bool,
}

/// Every workload that made a call and was not forgotten yet.
#[derive(Debug)]
pub struct Model {
    /// What is exported, and what waits for its name.
    view: ModelView,
    /// Cgroups that were born while the daemon ran, and when: every call of theirs is counted.
    births: HashMap<u64, Instant>,
    slots: HashMap<u32, SlotBaseline>,
    remainder: Counts,
    /// Most series that workloads may have together, and what one is.
    most_series: usize,
    layout: Arc<SeriesLayout>,
}

/// What a workload has done since it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The workload, and all that is known of it.
    pub named: ResolvedWorkload,
    /// The cgroup that did it; of several, the one that came last.
    pub cgroup_id: u64,
    /// The workload that the same counts were reported for before, if any.
    pub before: Option<Workload>,
    /// How often it made each call, without what was called to set it up.
    pub calls: SortedCounts<CallId>,
    /// How often seccomp denied each call, except with `ENOSYS`: programs do without such calls.
    pub denied: SortedCounts<CallId>,
}

impl Delta {
    fn new(named: ResolvedWorkload, cgroup_id: u64, counts: &Counts) -> Self {
        Self {
            named,
            cgroup_id,
            before: None,
            calls: counts.calls.since(&counts.container_init),
            denied: counts.denied.iter().filter_map(denied).collect(),
        }
    }

    /// Whether there is something to be judged.
    fn is_news(&self) -> bool {
        self.named.workload.is_judged() && self.calls.len() + self.denied.len() > 0
    }
}

/// A denied call and its count; `None` for calls without a name of their own, and for `ENOSYS`.
fn denied((denial, &attempts): (DeniedKey, &u64)) -> Option<(CallId, u64)> {
    match denial {
        DeniedKey::Of(call) => Some((call, attempts)),
        DeniedKey::Unsupported(_) | DeniedKey::Other => None,
    }
}

/// How far the counts of a slot are in the totals.
#[derive(Debug)]
struct SlotBaseline {
    workload: Workload,
    counts: Arc<Counts>,
}

impl Model {
    /// A model of nothing yet, with room for so many series.
    #[must_use]
    pub fn new(most_series: usize) -> Self {
        Self {
            view: ModelView::default(),
            births: HashMap::new(),
            slots: HashMap::new(),
            remainder: Counts::default(),
            most_series,
            layout: Arc::default(),
        }
    }

    /// The same, with the series of a layout.
    #[must_use]
    pub fn with_layout(self, layout: Arc<SeriesLayout>) -> Self {
        Self { layout, ..self }
    }

    /// Adds what happened since the last snapshot. `name` names a cgroup; what it cannot name goes to
    /// [`Workload::Unknown`], and its later calls to the right one as soon as it can. What is new is returned, by
    /// slots; what waits for its name is told when it has one, or waits no longer.
    pub fn apply(
        &mut self,
        snapshot: &Snapshot,
        now: Instant,
        mut name: impl FnMut(u64) -> Option<ResolvedWorkload>,
    ) -> Vec<Delta> {
        let unknown = || ResolvedWorkload { workload: Workload::Unknown, metadata: Labels::default() };
        let slots = snapshot.slots.iter();
        let news = slots.filter_map(|slot| self.apply_slot(slot, now, name(slot.cgroup_id).unwrap_or_else(unknown)));
        let mut news: Vec<Delta> = news.collect();
        let new = snapshot.remainder.since(&self.remainder);
        if !new.is_empty() {
            self.add(&Workload::Remainder, &new);
            self.remainder.clone_from(&snapshot.remainder);
            let named = ResolvedWorkload { workload: Workload::Remainder, metadata: Labels::default() };
            news.extend(Some(Delta::new(named, 0, &new)).filter(Delta::is_news));
        }
        news
    }

    fn apply_slot(&mut self, slot: &SlotCounts, now: Instant, named: ResolvedWorkload) -> Option<Delta> {
        let ResolvedWorkload { workload, metadata } = named.clone();
        let known = self.slots.get(&slot.slot);
        let is_unchanged = known.is_some_and(|known| Arc::ptr_eq(&known.counts, &slot.counts));
        let new = match known {
            _ if is_unchanged => Counts::default(),
            Some(known) => slot.counts.since(&known.counts),
            None => Counts::clone(&slot.counts),
        };
        let is_same = known.is_some_and(|known| known.workload == workload);
        if new.is_empty() && known.is_none() {
            return None;
        }
        if !is_same {
            let left = self.leave(slot.slot, now);
            if let Some(totals) = left.and_then(|left| self.view.workloads.get_mut(&left)) {
                totals.is_renamed = totals.is_gone();
            }
            let created = self.births.get(&slot.cgroup_id).copied();
            let totals = self.totals(&workload, created, now);
            totals.slots += 1;
            (totals.gone_since, totals.is_renamed) = (None, false);
            (totals.newest_slot, totals.cgroup_id) = (slot.slot, slot.cgroup_id);
        }
        let is_changed = |totals: &Arc<Totals>| totals.newest_slot == slot.slot && totals.metadata != metadata;
        if self.view.workloads.get(&workload).is_some_and(is_changed)
            && let Some(totals) = self.view.workloads.get_mut(&workload)
        {
            totals.metadata = metadata;
        }
        if !new.is_empty() || !is_same {
            self.add(&workload, &new);
            self.slots.insert(slot.slot, SlotBaseline { workload, counts: Arc::clone(&slot.counts) });
        }
        let is_held = self.view.workloads.get(&named.workload).is_some_and(|totals| totals.held_since.is_some());
        (!is_held).then(|| Delta::new(named, slot.cgroup_id, &new)).filter(Delta::is_news)
    }

    /// The totals of a workload, new ones if it has none yet.
    fn totals(&mut self, workload: &Workload, created: Option<Instant>, now: Instant) -> &mut Totals {
        let held_since = matches!(workload, Workload::Unresolved(_)).then_some(now);
        self.view.workloads.get_or_insert(workload, || Totals { held_since, created, ..Totals::default() })
    }

    /// Adds counts to a workload's totals. Where series would become too many, those that it does not have yet go
    /// to the remainder.
    fn add(&mut self, workload: &Workload, new: &Counts) {
        let totals = self.view.workloads.get_or_insert(workload, Totals::default);
        if !workload.is_one() {
            totals.counts.add(new);
            return;
        }
        if self.view.series + self.layout.count(new) <= self.most_series {
            let before = self.layout.count(&totals.counts);
            totals.counts.add(new);
            self.view.series += self.layout.count(&totals.counts) - before;
            return;
        }
        let (fitting, excess) = self.layout.split(new, &totals.counts);
        totals.counts.add(&fitting);
        if !excess.is_empty() {
            self.view.capped += excess.calls.sum();
            self.add(&Workload::Remainder, &excess);
        }
    }

    /// Takes a workload out, with its series.
    fn remove(&mut self, workload: &Workload) -> Option<Totals> {
        let totals = self.view.workloads.remove(workload)?;
        self.view.series -= if workload.is_one() { self.layout.count(&totals.counts) } else { 0 };
        Some(totals)
    }

    /// A cgroup was born, and all that it calls will be counted.
    pub fn born(&mut self, cgroup_id: u64, now: Instant) {
        self.births.insert(cgroup_id, now);
    }

    /// Whether all that a cgroup ever called is counted, as what it is now.
    #[must_use]
    pub fn is_whole(&self, cgroup_id: u64) -> bool {
        self.births.contains_key(&cgroup_id)
    }

    /// Forgets when cgroups were born: they are gone, or something else now.
    pub fn forget_births(&mut self, cgroups: &[u64]) {
        for id in cgroups {
            self.births.remove(id);
        }
        if self.births.capacity() > 1024 && self.births.len() < self.births.capacity() / 4 {
            self.births.shrink_to_fit();
        }
    }

    /// Places of the workloads that have no name yet.
    pub fn unresolved(&self) -> impl Iterator<Item = &Arc<CgroupIdentity>> {
        self.view.workloads.iter().filter_map(|(workload, _)| match workload {
            Workload::Unresolved(identity) => Some(identity),
            _ => None,
        })
    }

    /// Gives workloads another name: all that was counted of them goes there, and is returned.
    pub fn rename(&mut self, names: &HashMap<Workload, ResolvedWorkload>, now: Instant) -> Vec<Delta> {
        for counted in self.slots.values_mut() {
            if let Some(named) = names.get(&counted.workload) {
                counted.workload = named.workload.clone();
            }
        }
        let mut news = Vec::new();
        for (from, to) in names {
            if let Some(old) = self.remove(from) {
                self.merge(&old, to, now);
                let before = old.held_since.is_none().then(|| from.clone());
                news.push(Delta { before, ..Delta::new(to.clone(), old.cgroup_id, &old.counts) });
            }
        }
        news.retain(Delta::is_news);
        news
    }

    /// Adds the totals of a workload that is no more to another's.
    fn merge(&mut self, old: &Totals, to: &ResolvedWorkload, now: Instant) {
        let is_new = !self.view.workloads.contains(&to.workload);
        let totals = self.totals(&to.workload, old.created, now);
        totals.slots += old.slots;
        totals.gone_since = match (is_new, totals.slots) {
            // What stands for many is never gone.
            _ if !to.workload.is_one() => None,
            (true, 0) => old.gone_since,
            (false, 0) => totals.gone_since.max(old.gone_since),
            _ => None,
        };
        if is_new || old.slots > 0 {
            totals.metadata = to.metadata.clone();
            (totals.newest_slot, totals.cgroup_id) = (old.newest_slot, old.cgroup_id);
        }
        self.add(&to.workload, &old.counts);
    }

    /// Lets workloads be exported that have waited for their name for so long. All that they have done is returned.
    pub fn release(&mut self, now: Instant, after: Duration) -> Vec<Delta> {
        let mut news = Vec::new();
        let is_due = |totals: &Totals| totals.held_since.is_some_and(|since| now.duration_since(since) >= after);
        let due = self.view.workloads.iter().filter(|(_, totals)| is_due(totals)).map(|(workload, _)| workload.clone());
        for workload in due.collect::<Vec<_>>() {
            let Some(totals) = self.view.workloads.get_mut(&workload) else { continue };
            totals.held_since = None;
            let named = ResolvedWorkload { workload, metadata: totals.metadata.clone() };
            news.push(Delta::new(named, totals.cgroup_id, &totals.counts));
        }
        news.retain(Delta::is_news);
        news
    }

    /// All that a workload has done so far.
    #[must_use]
    pub fn all_of(&self, named: &ResolvedWorkload) -> Option<Delta> {
        let totals = self.view.workloads.get(&named.workload)?;
        Some(Delta::new(named.clone(), totals.cgroup_id, &totals.counts))
    }

    /// What is known of a workload.
    #[must_use]
    pub fn metadata(&self, workload: &Workload) -> Option<&Labels> {
        self.view.workloads.get(workload).map(|totals| &totals.metadata)
    }

    /// Whether there are totals of a workload that is not gone.
    #[must_use]
    pub fn is_there(&self, workload: &Workload) -> bool {
        self.view.workloads.get(workload).is_some_and(|totals| !totals.is_gone())
    }

    /// Whether there are totals of a workload.
    #[must_use]
    pub fn has(&self, workload: &Workload) -> bool {
        self.view.workloads.contains(workload)
    }

    /// Forgets slots that were freed, after their last counts were applied: they start anew.
    pub fn forget_slots(&mut self, freed: &[u32], now: Instant) {
        for &slot in freed {
            self.leave(slot, now);
        }
    }

    /// Takes a slot out of its workload, which is returned: it was freed, or what it is counted for has
    /// another name now.
    fn leave(&mut self, slot: u32, now: Instant) -> Option<Workload> {
        let counted = self.slots.remove(&slot)?;
        let totals = self.view.workloads.get_mut(&counted.workload)?;
        totals.slots -= 1;
        // What stands for many stays: somebody else's calls are in there too.
        if totals.slots == 0 && counted.workload.is_one() {
            totals.gone_since = Some(now);
        }
        Some(counted.workload)
    }

    /// Forgets workloads that have been gone for longer than `keep`, unless `is_there` says of what is known of one
    /// that it is there again, or still. Of the others that are gone, at most `most_series` series are kept: the oldest
    /// workloads beyond that are folded into [`Workload::Gone`], where their calls stay counted. What those have done
    /// that still waited for their names is returned.
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
        let mut news = Vec::new();
        for workload in due.map(|(workload, _)| workload.clone()).collect::<Vec<_>>() {
            self.end(&workload, &mut news);
        }
        self.fold_oldest(most_series, &mut news);
        news
    }

    /// Removes an expired workload and returns its counts, as a delta if it still waited for its name.
    fn end(&mut self, workload: &Workload, news: &mut Vec<Delta>) -> Counts {
        let Totals { counts, metadata, held_since, cgroup_id, .. } = self.remove(workload).unwrap_or_default();
        if held_since.is_some() {
            let named = ResolvedWorkload { workload: workload.clone(), metadata };
            news.extend(Some(Delta::new(named, cgroup_id, &counts)).filter(Delta::is_news));
        }
        counts
    }

    /// Folds workloads that are gone until the others have so many series at most: each time the oldest one of the
    /// tenant that has most, so that nobody's last counts are gone before they are scraped since somebody else starts
    /// and ends many workloads.
    fn fold_oldest(&mut self, most_series: usize, news: &mut Vec<Delta>) {
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
        let mut by_series: BinaryHeap<(usize, Vec<_>)> = tenants.into_values().collect();
        while excess > 0
            && let Some((series, mut workloads)) = by_series.pop()
        {
            let Some((_, workload)) = workloads.pop() else { continue };
            let counts = self.end(&workload, news);
            self.add(&Workload::Gone, &counts);
            self.view.folded += 1;
            excess = excess.saturating_sub(counts.series());
            by_series.push((series - counts.series(), workloads));
        }
    }

    /// What is exported of it now.
    #[must_use]
    pub fn view(&self) -> &ModelView {
        &self.view
    }
}

impl Totals {
    /// When its counters began to count; `None` for when the daemon did.
    #[must_use]
    pub fn created(&self) -> Option<Instant> {
        self.created
    }

    /// Whether no slot counts towards it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }
}
