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
    workload::Workload,
};

/// What is known of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What was counted.
    pub counts: Counts,
    /// Slots that count towards it now.
    slots: usize,
    /// When its last slot was freed.
    gone_since: Option<Instant>,
}

/// Every workload that made a call and was not forgotten yet.
#[derive(Debug, Default)]
pub struct Model {
    workloads: BTreeMap<Workload, Totals>,
    slots: HashMap<u32, Counted>,
    remainder: Counts,
    folded: u64,
}

/// How far the counts of a slot are in the totals.
#[derive(Debug)]
struct Counted {
    workload: Workload,
    counts: Counts,
}

impl Model {
    /// Adds what happened since the last snapshot. `path` names a cgroup; what it cannot name goes to
    /// [`Workload::Unknown`], and its later calls to the right one as soon as it can.
    pub fn apply<'a>(&mut self, snapshot: &Snapshot, path: impl Fn(u64) -> Option<&'a Arc<str>>) {
        for slot in &snapshot.slots {
            let workload = path(slot.cgroup_id).map_or(Workload::Unknown, |path| Workload::Cgroup(path.clone()));
            self.apply_slot(slot, workload);
        }
        let new = snapshot.remainder.since(&self.remainder);
        if !new.is_empty() {
            self.workloads.entry(Workload::Remainder).or_default().counts.add(&new);
            self.remainder.clone_from(&snapshot.remainder);
        }
    }

    fn apply_slot(&mut self, slot: &SlotCounts, workload: Workload) {
        let known = self.slots.get(&slot.slot);
        let new = known.map_or_else(|| slot.counts.clone(), |known| slot.counts.since(&known.counts));
        if new.is_empty() && known.is_none_or(|known| known.workload == workload) {
            return;
        }
        if known.is_none_or(|known| known.workload != workload) {
            self.leave(slot.slot, None);
            let totals = self.workloads.entry(workload.clone()).or_default();
            totals.slots += 1;
            totals.gone_since = None;
        }
        self.workloads.entry(workload.clone()).or_default().counts.add(&new);
        self.slots.insert(slot.slot, Counted { workload, counts: slot.counts.clone() });
    }

    /// Forgets slots that were freed, after their last counts were applied: they start anew.
    pub fn forget_slots(&mut self, freed: &[u32], now: Instant) {
        for &slot in freed {
            self.leave(slot, Some(now));
        }
    }

    /// Takes a slot out of its workload; `gone` when it was freed.
    fn leave(&mut self, slot: u32, gone: Option<Instant>) {
        let Some(counted) = self.slots.remove(&slot) else { return };
        let Some(totals) = self.workloads.get_mut(&counted.workload) else { return };
        totals.slots -= 1;
        // The unnamed stay: somebody else's calls are in there too.
        if totals.slots == 0 && matches!(counted.workload, Workload::Cgroup(_)) {
            totals.gone_since = gone.or(totals.gone_since);
        }
    }

    /// Forgets workloads that have been gone for longer than `keep`, unless `is_there` says that their cgroup was made
    /// again. Of the others that are gone, at most `most_series` series are kept: the oldest workloads beyond that are
    /// folded into [`Workload::Gone`], where their calls stay counted.
    pub fn expire(&mut self, now: Instant, keep: Duration, most_series: usize, is_there: impl Fn(&Workload) -> bool) {
        let due = |totals: &Totals| totals.gone_since.is_some_and(|since| now.duration_since(since) >= keep);
        self.workloads.retain(|workload, totals| !due(totals) || is_there(workload));
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
            let counts = self.workloads.remove(&workload).map(|totals| totals.counts).unwrap_or_default();
            self.workloads.entry(Workload::Gone).or_default().counts.add(&counts);
            self.folded += 1;
            excess = excess.saturating_sub(series);
        }
    }

    /// Workloads that were folded into [`Workload::Gone`] so far.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Every workload and its totals, sorted.
    pub fn workloads(&self) -> impl Iterator<Item = (&Workload, &Totals)> {
        self.workloads.iter()
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

    /// Names: id -> path.
    struct Names(HashMap<u64, Arc<str>>);

    impl Names {
        fn new(names: &[(u64, &str)]) -> Self {
            Self(names.iter().map(|&(id, path)| (id, path.into())).collect())
        }

        fn apply(&self, model: &mut Model, snapshot: &Snapshot) {
            model.apply(snapshot, |id| self.0.get(&id));
        }
    }

    fn calls(model: &Model, cgroup: &str, call: CallId) -> Option<u64> {
        let (_, totals) = model.workloads().find(|(workload, _)| workload.cgroup() == cgroup)?;
        Some(totals.counts.calls.get(call).copied().unwrap_or(0))
    }

    #[test]
    fn totals_follow_the_kernel_s_running_counts() {
        let (mut model, names) = (Model::default(), Names::new(&[(1, "/a")]));
        names.apply(&mut model, &snapshot(&[(1, &[(B, 5)])]));
        names.apply(&mut model, &snapshot(&[(1, &[(A, 1), (B, 7)])]));
        names.apply(&mut model, &snapshot(&[(1, &[(A, 1), (B, 7)])]));
        assert_eq!((calls(&model, "/a", A), calls(&model, "/a", B)), (Some(1), Some(7)));
    }

    #[test]
    fn a_path_that_is_made_again_goes_on_in_its_totals() {
        let (mut model, names, now) = (Model::default(), Names::new(&[(1, "/a"), (2, "/a")]), Instant::now());
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
        model.forget_slots(&[1], now);
        names.apply(&mut model, &snapshot(&[(2, &[(A, 3)])]));
        expire(&mut model, now + Duration::from_mins(15), Duration::from_mins(5));
        assert_eq!(calls(&model, "/a", A), Some(8));
    }

    #[test]
    fn the_dead_are_exported_until_their_time_is_over() {
        let (mut model, names, now) = (Model::default(), Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
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
        let mut model = Model::default();
        Names::new(&[(1, "/a")]).apply(&mut model, &snapshot(&[(1, &[(A, 500)])]));
        model.forget_slots(&[1], Instant::now());
        Names::new(&[(1, "/b")]).apply(&mut model, &snapshot(&[(1, &[(A, 3)])]));
        assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(500), Some(3)));
    }

    #[test]
    fn a_name_that_comes_later_gets_the_later_calls_and_nothing_twice() {
        let mut model = Model::default();
        Names::new(&[]).apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
        Names::new(&[(1, "/a")]).apply(&mut model, &snapshot(&[(1, &[(A, 9)])]));
        assert_eq!((calls(&model, "(unknown)", A), calls(&model, "/a", A)), (Some(5), Some(4)));
        expire(&mut model, Instant::now() + Duration::from_secs(9999), Duration::ZERO);
        assert_eq!(calls(&model, "(unknown)", A), Some(5), "the unknown never falls");
    }

    #[test]
    fn the_remainder_is_a_workload_of_its_own() {
        let mut model = Model::default();
        for remainder in [3, 3, 10] {
            let snapshot = Snapshot { remainder: counts(&[(A, remainder)]), ..Snapshot::default() };
            Names::new(&[]).apply(&mut model, &snapshot);
        }
        assert_eq!(calls(&model, "(remainder)", A), Some(10));
    }

    #[test]
    fn two_slots_of_one_cgroup_add_up() {
        let (mut model, names) = (Model::default(), Names::new(&[(1, "/a")]));
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
        let (mut model, names, now) = (Model::default(), Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5)]), (2, &[(A, 5)])]));
        model.forget_slots(&[1, 2], now);
        let later = now + Duration::from_mins(9);
        model.expire(later, Duration::from_mins(5), usize::MAX, |workload| workload.cgroup() == "/a");
        assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(5), None));
    }

    #[test]
    fn the_oldest_of_too_many_gone_are_folded_together() {
        let mut model = Model::default();
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
        let (mut model, names) = (Model::default(), Names::new(&[(1, "/a")]));
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
        let (mut model, names) = (Model::default(), Names::new(&[(1, "/a")]));
        names.apply(&mut model, &snapshot(&[(1, &[])]));
        assert_eq!(model.workloads().count(), 0);
    }
}
