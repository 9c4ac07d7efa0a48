//! Totals per workload, which never fall while the workload lives, and how workloads are forgotten.
//!
//! Pure: takes snapshots and names, does no I/O, reads no clock. The kernel's counts start anew when a cgroup
//! gets its slot; totals here only ever grow by differences between two snapshots.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    snapshot::{Counts, SlotCounts, Snapshot},
    workload::{Labels, Named, Place, Workload},
};

/// What is known of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What was counted.
    pub counts: Counts,
    /// All that is known of the workload.
    pub about: Labels,
    /// Since when it waits for its name; not exported for so long.
    held_since: Option<Instant>,
    /// Slots that count towards it now, and the one that came last: it is the one that `about` tells of.
    slots: usize,
    newest_slot: u32,
    /// When its last slot was freed.
    gone_since: Option<Instant>,
}

/// Every workload that made a call and was not forgotten yet.
#[derive(Debug)]
pub struct Model {
    workloads: BTreeMap<Workload, Totals>,
    slots: HashMap<u32, Counted>,
    remainder: Counts,
    folded: u64,
    /// Most series that workloads may have together, and how many they have.
    most_series: usize,
    series: usize,
    capped: u64,
}

/// How far the counts of a slot are in the totals.
#[derive(Debug)]
struct Counted {
    workload: Workload,
    counts: Counts,
}

impl Model {
    /// A model of nothing yet, with room for so many series.
    #[must_use]
    pub fn new(most_series: usize) -> Self {
        Self {
            workloads: BTreeMap::new(),
            slots: HashMap::new(),
            remainder: Counts::default(),
            folded: 0,
            most_series,
            series: 0,
            capped: 0,
        }
    }

    /// Adds what happened since the last snapshot. `name` names a cgroup; what it cannot name goes to
    /// [`Workload::Unknown`], and its later calls to the right one as soon as it can.
    pub fn apply(&mut self, snapshot: &Snapshot, now: Instant, mut name: impl FnMut(u64) -> Option<Named>) {
        for slot in &snapshot.slots {
            let unknown = || Named { workload: Workload::Unknown, about: Labels::default() };
            self.apply_slot(slot, now, name(slot.cgroup_id).unwrap_or_else(unknown));
        }
        let new = snapshot.remainder.since(&self.remainder);
        if !new.is_empty() {
            self.add(&Workload::Remainder, &new);
            self.remainder.clone_from(&snapshot.remainder);
        }
    }

    fn apply_slot(&mut self, slot: &SlotCounts, now: Instant, Named { workload, about }: Named) {
        let known = self.slots.get(&slot.slot);
        let new = known.map_or_else(|| slot.counts.clone(), |known| slot.counts.since(&known.counts));
        let is_same = known.is_some_and(|known| known.workload == workload);
        if new.is_empty() && known.is_none() {
            return;
        }
        if !is_same {
            self.leave(slot.slot, now);
            let totals = self.totals(&workload, now);
            totals.slots += 1;
            totals.gone_since = None;
            totals.newest_slot = slot.slot;
        }
        if let Some(totals) = self.workloads.get_mut(&workload).filter(|totals| totals.newest_slot == slot.slot) {
            totals.about = about;
        }
        if !new.is_empty() || !is_same {
            self.add(&workload, &new);
            self.slots.insert(slot.slot, Counted { workload, counts: slot.counts.clone() });
        }
    }

    /// The totals of a workload, new ones if it has none yet.
    fn totals(&mut self, workload: &Workload, now: Instant) -> &mut Totals {
        let held_since = matches!(workload, Workload::Unresolved(_)).then_some(now);
        self.workloads.entry(workload.clone()).or_insert_with(|| Totals { held_since, ..Totals::default() })
    }

    /// Adds counts to a workload's totals. Where series would become too many, those that it does not have yet go to the
    /// remainder.
    fn add(&mut self, workload: &Workload, new: &Counts) {
        let totals = self.workloads.entry(workload.clone()).or_default();
        if !workload.is_one() {
            totals.counts.add(new);
            return;
        }
        let before = totals.counts.series();
        if self.series + new.series() <= self.most_series {
            totals.counts.add(new);
            self.series += totals.counts.series() - before;
            return;
        }
        let (fitting, excess) = new.split(&totals.counts);
        totals.counts.add(&fitting);
        if !excess.is_empty() {
            self.capped += excess.calls.sum();
            self.add(&Workload::Remainder, &excess);
        }
    }

    /// Takes a workload out, with its series.
    fn remove(&mut self, workload: &Workload) -> Option<Totals> {
        let totals = self.workloads.remove(workload)?;
        self.series -= if workload.is_one() { totals.counts.series() } else { 0 };
        Some(totals)
    }

    /// Places of the workloads that have no name yet.
    pub fn unresolved(&self) -> impl Iterator<Item = &Arc<Place>> {
        self.workloads.keys().filter_map(|workload| match workload {
            Workload::Unresolved(place) => Some(place),
            _ => None,
        })
    }

    /// Gives workloads another name: all that was counted of them goes there.
    pub fn rename(&mut self, names: &HashMap<Workload, Named>, now: Instant) {
        for counted in self.slots.values_mut() {
            if let Some(named) = names.get(&counted.workload) {
                counted.workload = named.workload.clone();
            }
        }
        for (from, to) in names {
            if let Some(old) = self.remove(from) {
                self.merge(&old, to, now);
            }
        }
    }

    /// Adds the totals of a workload that is no more to another's.
    fn merge(&mut self, old: &Totals, to: &Named, now: Instant) {
        let is_new = !self.workloads.contains_key(&to.workload);
        let totals = self.totals(&to.workload, now);
        totals.slots += old.slots;
        totals.gone_since = match (is_new, totals.slots) {
            // What stands for many is never gone.
            _ if !to.workload.is_one() => None,
            (true, 0) => old.gone_since,
            (false, 0) => totals.gone_since.max(old.gone_since),
            _ => None,
        };
        if is_new || old.slots > 0 {
            totals.about = to.about.clone();
            totals.newest_slot = old.newest_slot;
        }
        self.add(&to.workload, &old.counts);
    }

    /// Lets workloads be exported that have waited for their name for so long.
    pub fn release(&mut self, now: Instant, after: Duration) {
        for totals in self.workloads.values_mut() {
            totals.held_since = totals.held_since.filter(|&since| now.duration_since(since) < after);
        }
    }

    /// Forgets slots that were freed, after their last counts were applied: they start anew.
    pub fn forget_slots(&mut self, freed: &[u32], now: Instant) {
        for &slot in freed {
            self.leave(slot, now);
        }
    }

    /// Takes a slot out of its workload: it was freed, or what it is counted for has another name now.
    fn leave(&mut self, slot: u32, now: Instant) {
        let Some(counted) = self.slots.remove(&slot) else { return };
        let Some(totals) = self.workloads.get_mut(&counted.workload) else { return };
        totals.slots -= 1;
        // What stands for many stays: somebody else's calls are in there too.
        if totals.slots == 0 && counted.workload.is_one() {
            totals.gone_since = Some(now);
        }
    }

    /// Forgets workloads that have been gone for longer than `keep`, unless `is_there` says of what is known of one that it is there
    /// again, or still. Of the others that are gone, at most `most_series` series are kept: the oldest workloads beyond that
    /// are folded into [`Workload::Gone`], where their calls stay counted.
    pub fn expire(&mut self, now: Instant, keep: Duration, most_series: usize, is_there: impl Fn(&Totals) -> bool) {
        let is_due = |totals: &Totals| totals.gone_since.is_some_and(|since| now.duration_since(since) >= keep);
        let due = self.workloads.iter().filter(|(_, totals)| is_due(totals) && !is_there(totals));
        for workload in due.map(|(workload, _)| workload.clone()).collect::<Vec<_>>() {
            self.remove(&workload);
        }
        self.fold_oldest(most_series);
    }

    fn fold_oldest(&mut self, most_series: usize) {
        let gone = |(workload, totals): (&Workload, &Totals)| {
            Some((totals.gone_since?, workload.clone(), totals.counts.series()))
        };
        let series = self.workloads.values().filter(|totals| totals.is_gone()).map(|totals| totals.counts.series());
        let mut excess = series.sum::<usize>().saturating_sub(most_series);
        if excess == 0 {
            return;
        }
        let mut oldest: Vec<_> = self.workloads.iter().filter_map(gone).collect();
        oldest.sort_unstable();
        for (_, workload, series) in oldest {
            if excess == 0 {
                break;
            }
            let counts = self.remove(&workload).map(|totals| totals.counts).unwrap_or_default();
            self.add(&Workload::Gone, &counts);
            self.folded += 1;
            excess = excess.saturating_sub(series);
        }
    }

    /// Workloads that were folded into [`Workload::Gone`] so far.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Calls that went to the remainder since there was no room for their series.
    #[must_use]
    pub fn capped(&self) -> u64 {
        self.capped
    }

    /// Series that there are, of all workloads together but those that stand for many.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series
    }

    /// Every workload and its totals, sorted, but those that wait for their name.
    pub fn workloads(&self) -> impl Iterator<Item = (&Workload, &Totals)> {
        self.workloads.iter().filter(|(_, totals)| totals.held_since.is_none())
    }

    /// How many wait for their name.
    #[must_use]
    pub fn held(&self) -> usize {
        self.workloads.values().filter(|totals| totals.held_since.is_some()).count()
    }
}

impl Totals {
    /// Whether no slot counts towards it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        snapshot::Failure,
        syscalls::{CallId, Errno},
        workload::Label,
    };

    const A: CallId = CallId(10);
    const B: CallId = CallId(20);

    fn counts(calls: &[(CallId, u64)]) -> Counts {
        Counts { calls: calls.iter().copied().collect(), ..Counts::default() }
    }

    /// A snapshot of cgroups that have the slots of their own numbers.
    fn snapshot(cgroups: &[(u32, &[(CallId, u64)])]) -> Snapshot {
        let slot = |&(slot, calls): &(u32, _)| SlotCounts { slot, cgroup_id: slot.into(), counts: counts(calls) };
        Snapshot { slots: cgroups.iter().map(slot).collect(), ..Snapshot::default() }
    }

    /// Nothing that is gone was made again, and there is room for all of it.
    fn expire(model: &mut Model, now: Instant, keep: Duration) {
        model.expire(now, keep, usize::MAX, |_| false);
    }

    fn model() -> Model {
        Model::new(usize::MAX)
    }

    fn named(path: &Arc<str>) -> Named {
        let workload = Workload::cgroup(Arc::clone(path));
        let Workload::Named(about) = workload.clone() else { unreachable!() };
        Named { workload, about }
    }

    /// Names: id -> path.
    struct Names(HashMap<u64, Arc<str>>);

    impl Names {
        fn new(names: &[(u64, &str)]) -> Self {
            Self(names.iter().map(|&(id, path)| (id, path.into())).collect())
        }

        fn apply(&self, model: &mut Model, snapshot: &Snapshot) {
            model.apply(snapshot, Instant::now(), |id| self.0.get(&id).map(named));
        }
    }

    fn calls(model: &Model, cgroup: &str, call: CallId) -> Option<u64> {
        let (_, totals) = model.workloads().find(|(workload, _)| workload.label("cgroup") == cgroup)?;
        Some(totals.counts.calls.get(call).copied().unwrap_or(0))
    }

    #[test]
    fn totals_follow_the_kernel_s_running_counts() {
        let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
        names.apply(&mut model, &snapshot(&[(1, &[(B, 5)])]));
        names.apply(&mut model, &snapshot(&[(1, &[(A, 1), (B, 7)])]));
        names.apply(&mut model, &snapshot(&[(1, &[(A, 1), (B, 7)])]));
        assert_eq!((calls(&model, "/a", A), calls(&model, "/a", B)), (Some(1), Some(7)));
    }

    #[test]
    fn a_path_that_is_made_again_goes_on_in_its_totals() {
        let (mut model, names, now) = (model(), Names::new(&[(1, "/a"), (2, "/a")]), Instant::now());
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
        model.forget_slots(&[1], now);
        names.apply(&mut model, &snapshot(&[(2, &[(A, 3)])]));
        expire(&mut model, now + Duration::from_mins(15), Duration::from_mins(5));
        assert_eq!(calls(&model, "/a", A), Some(8));
    }

    #[test]
    fn the_dead_are_exported_until_their_time_is_over() {
        let (mut model, names, now) = (model(), Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5)]), (2, &[(A, 1)])]));
        model.forget_slots(&[1], now);
        let keep = Duration::from_mins(5);
        expire(&mut model, now + Duration::from_secs(299), keep);
        assert_eq!(calls(&model, "/a", A), Some(5));
        expire(&mut model, now + keep, keep);
        assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (None, Some(1)));
    }

    #[test]
    fn a_slot_that_another_cgroup_gets_starts_from_zero() {
        let mut model = model();
        Names::new(&[(1, "/a")]).apply(&mut model, &snapshot(&[(1, &[(A, 500)])]));
        model.forget_slots(&[1], Instant::now());
        Names::new(&[(1, "/b")]).apply(&mut model, &snapshot(&[(1, &[(A, 3)])]));
        assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(500), Some(3)));
    }

    #[test]
    fn a_name_that_comes_later_gets_the_later_calls_and_nothing_twice() {
        let mut model = model();
        Names::new(&[]).apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
        Names::new(&[(1, "/a")]).apply(&mut model, &snapshot(&[(1, &[(A, 9)])]));
        assert_eq!((calls(&model, "(unknown)", A), calls(&model, "/a", A)), (Some(5), Some(4)));
        expire(&mut model, Instant::now() + Duration::from_secs(9999), Duration::ZERO);
        assert_eq!(calls(&model, "(unknown)", A), Some(5), "the unknown never falls");
    }

    #[test]
    fn the_remainder_is_a_workload_of_its_own() {
        let mut model = model();
        for remainder in [3, 3, 10] {
            let snapshot = Snapshot { remainder: counts(&[(A, remainder)]), ..Snapshot::default() };
            Names::new(&[]).apply(&mut model, &snapshot);
        }
        assert_eq!(calls(&model, "(remainder)", A), Some(10));
    }

    #[test]
    fn two_slots_of_one_cgroup_add_up() {
        let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
        let slot = |slot, calls| SlotCounts { slot, cgroup_id: 1, counts: counts(&[(A, calls)]) };
        for (old, new) in [(10, 1), (10, 5)] {
            names.apply(&mut model, &Snapshot { slots: vec![slot(3, old), slot(4, new)], ..Snapshot::default() });
        }
        model.forget_slots(&[3], Instant::now());
        names.apply(&mut model, &Snapshot { slots: vec![slot(4, 6)], ..Snapshot::default() });
        assert_eq!(calls(&model, "/a", A), Some(16));
        assert!(model.workloads().all(|(_, totals)| !totals.is_gone()));
    }

    #[test]
    fn a_path_that_was_made_again_is_kept_even_if_it_makes_no_call() {
        let (mut model, names, now) = (model(), Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5)]), (2, &[(A, 5)])]));
        model.forget_slots(&[1, 2], now);
        let later = now + Duration::from_mins(9);
        model.expire(later, Duration::from_mins(5), usize::MAX, |totals| {
            totals.about.get(Label::Cgroup).is_some_and(|path| path.as_ref() == "/a")
        });
        assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(5), None));
    }

    #[test]
    fn the_oldest_of_too_many_gone_are_folded_together() {
        let mut model = model();
        let now = Instant::now();
        for slot in 1..=10 {
            let path = format!("/{slot}");
            Names::new(&[(slot.into(), &path)]).apply(&mut model, &snapshot(&[(slot, &[(A, 1), (B, 2)])]));
            model.forget_slots(&[slot], now + Duration::from_secs(slot.into()));
        }
        model.expire(now, Duration::from_mins(5), 7, |_| false);
        assert_eq!((calls(&model, "(gone)", A), calls(&model, "(gone)", B)), (Some(7), Some(14)));
        assert_eq!((calls(&model, "/7", A), calls(&model, "/8", A), model.folded()), (None, Some(1), 7));
        model.expire(now + Duration::from_mins(99), Duration::from_mins(5), 7, |_| false);
        assert_eq!(calls(&model, "(gone)", A), Some(7), "what was folded never falls");
    }

    #[test]
    fn every_kind_of_count_follows_the_kernel_s() {
        let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
        let enoent = Failure::Of(A, Errno::new(2));
        for times in [2, 5, 5] {
            let of = |call| [(call, times)].into_iter().collect();
            let counts = Counts { errors: [(enoent, times)].into_iter().collect(), denied: of(B), ..Counts::default() };
            let slot = SlotCounts { slot: 1, cgroup_id: 1, counts };
            names.apply(&mut model, &Snapshot { slots: vec![slot], ..Snapshot::default() });
        }
        let (_, totals) = model.workloads().next().unwrap();
        assert_eq!((totals.counts.errors.get(enoent), totals.counts.denied.get(B)), (Some(&5), Some(&5)));
        assert_eq!(totals.counts.series(), 2);
    }

    #[test]
    fn a_cgroup_that_made_no_call_is_no_workload() {
        let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
        names.apply(&mut model, &snapshot(&[(1, &[])]));
        assert_eq!(model.workloads().count(), 0);
    }

    const HOLD: Duration = Duration::from_secs(10);

    /// A container that has no name yet.
    fn unresolved() -> Named {
        let place = Place::of(&format!("/docker/{}", "a".repeat(64)).into());
        Named { workload: Workload::Unresolved(place.into()), about: Labels::default() }
    }

    fn web() -> Named {
        let labels = Labels::new([(Label::Container, "web".into())]);
        Named { workload: Workload::Named(labels.clone()), about: labels }
    }

    #[test]
    fn a_container_waits_for_its_name_and_takes_all_its_calls_there() {
        let (mut model, now) = (model(), Instant::now());
        model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
        model.release(now, HOLD);
        assert_eq!((model.workloads().count(), model.held(), model.unresolved().count()), (0, 1, 1));
        model.rename(&HashMap::from([(unresolved().workload, web())]), now);
        model.apply(&snapshot(&[(1, &[(A, 7)])]), now, |_| Some(web()));
        let (workload, totals) = model.workloads().next().unwrap();
        assert_eq!((workload, totals.counts.calls.get(A)), (&web().workload, Some(&7)));
        assert_eq!((model.held(), model.series()), (0, 1));
    }

    #[test]
    fn a_container_that_nobody_knows_is_exported_by_its_path_in_the_end() {
        let (mut model, now) = (model(), Instant::now());
        model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
        model.release(now + HOLD, HOLD);
        let path = format!("/docker/{}", "a".repeat(64));
        assert_eq!(calls(&model, &path, A), Some(5));
        model.rename(&HashMap::from([(unresolved().workload, web())]), now);
        assert_eq!((calls(&model, &path, A), calls(&model, "", A)), (None, Some(5)), "not twice");
    }

    #[test]
    fn a_name_that_comes_after_the_end_still_comes_and_starts_no_new_life() {
        let (mut model, now) = (model(), Instant::now());
        model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
        model.forget_slots(&[1], now);
        model.rename(&HashMap::from([(unresolved().workload, web())]), now);
        assert_eq!(model.workloads().map(|(_, totals)| totals.is_gone()).collect::<Vec<_>>(), [true]);
        // The next instance goes on where it ended.
        model.apply(&snapshot(&[(2, &[(A, 2)])]), now, |_| Some(web()));
        let (_, totals) = model.workloads().next().unwrap();
        assert_eq!((totals.is_gone(), totals.counts.calls.get(A)), (false, Some(&7)));
        expire(&mut model, now + 99 * HOLD, HOLD);
        assert_eq!(model.workloads().count(), 1);
    }

    #[test]
    fn a_workload_whose_cgroup_gets_another_name_leaves() {
        let (mut model, now) = (model(), Instant::now());
        model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(named(&"/a".into())));
        model.apply(&snapshot(&[(1, &[(A, 7)])]), now, |_| Some(web()));
        assert_eq!((calls(&model, "/a", A), calls(&model, "", A)), (Some(5), Some(2)));
        expire(&mut model, now + HOLD, HOLD);
        assert_eq!((calls(&model, "/a", A), calls(&model, "", A), model.series()), (None, Some(2), 1));
    }

    #[test]
    fn what_stands_for_many_is_never_gone() {
        let (mut model, now) = (model(), Instant::now());
        let pause = Named { workload: Workload::Pause, about: Labels::default() };
        model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
        model.forget_slots(&[1], now);
        model.rename(&HashMap::from([(unresolved().workload, pause)]), now);
        expire(&mut model, now + HOLD, HOLD);
        assert_eq!(calls(&model, "(pause)", A), Some(5));
    }

    #[test]
    fn what_is_known_is_known_of_the_newest_even_if_it_makes_no_call() {
        let (mut model, now) = (model(), Instant::now());
        let about = |image: &str| {
            let about = Labels::new([(Label::Container, "web".into()), (Label::Image, image.into())]);
            Named { workload: web().workload, about }
        };
        let both = snapshot(&[(1, &[(A, 5)]), (2, &[(A, 5)])]);
        model.apply(&both, now, |id| Some(about(if id == 1 { "old" } else { "new" })));
        model.apply(&both, now, |id| Some(about(if id == 1 { "old" } else { "newer" })));
        let (_, totals) = model.workloads().next().unwrap();
        assert_eq!(totals.about.get(Label::Image).map(AsRef::as_ref), Some("newer"));
    }

    #[test]
    fn series_beyond_the_limit_are_counted_in_the_remainder() {
        let (mut model, names) = (Model::new(2), Names::new(&[(1, "/a"), (2, "/b")]));
        names.apply(&mut model, &snapshot(&[(1, &[(A, 1)]), (2, &[(A, 2)])]));
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5), (B, 7)]), (2, &[(A, 3)])]));
        assert_eq!(
            (calls(&model, "/a", A), calls(&model, "/a", B), calls(&model, "/b", A)),
            (Some(5), Some(0), Some(3))
        );
        assert_eq!((calls(&model, "(remainder)", B), model.capped()), (Some(7), 7));
        // Room that others leave is for what comes then.
        model.forget_slots(&[2], Instant::now());
        expire(&mut model, Instant::now() + HOLD, HOLD);
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5), (B, 8)])]));
        assert_eq!((calls(&model, "/a", B), calls(&model, "(remainder)", B)), (Some(1), Some(7)));
    }
}
