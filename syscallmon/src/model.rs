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
    snapshot::{CgroupCounts, Count, Snapshot},
    syscalls::CallId,
    workload::Workload,
};

/// What is known of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How often each call was made, sorted by call.
    pub calls: Vec<Count>,
    /// Cgroups that count towards it now.
    cgroups: usize,
    /// When its last cgroup was forgotten.
    gone_since: Option<Instant>,
}

/// Every workload that made a call and was not forgotten yet.
#[derive(Debug, Default)]
pub struct Model {
    workloads: BTreeMap<Workload, Totals>,
    cgroups: HashMap<u64, Counted>,
    remainder: Vec<Count>,
}

/// How far the counts of a cgroup are in the totals.
#[derive(Debug)]
struct Counted {
    workload: Workload,
    counts: Vec<Count>,
}

impl Model {
    /// Adds what happened since the last snapshot. `path` names a cgroup; what it cannot name goes to
    /// [`Workload::Unknown`], and its later calls to the right one as soon as it can.
    pub fn apply<'a>(&mut self, snapshot: &Snapshot, path: impl Fn(u64) -> Option<&'a Arc<str>>) {
        for cgroup in &snapshot.cgroups {
            let workload = path(cgroup.id).map_or(Workload::Unknown, |path| Workload::Cgroup(path.clone()));
            self.apply_cgroup(cgroup, workload);
        }
        let new = differences(&self.remainder, &snapshot.remainder);
        if !new.is_empty() {
            add(&mut self.workloads.entry(Workload::Remainder).or_default().calls, &new);
            self.remainder.clone_from(&snapshot.remainder);
        }
    }

    fn apply_cgroup(&mut self, cgroup: &CgroupCounts, workload: Workload) {
        let known = self.cgroups.get(&cgroup.id);
        let new = differences(known.map_or(&[], |known| &known.counts), &cgroup.counts);
        if new.is_empty() && known.is_none_or(|known| known.workload == workload) {
            return;
        }
        if known.is_none_or(|known| known.workload != workload) {
            self.leave(cgroup.id, None);
            let totals = self.workloads.entry(workload.clone()).or_default();
            totals.cgroups += 1;
            totals.gone_since = None;
        }
        add(&mut self.workloads.entry(workload.clone()).or_default().calls, &new);
        self.cgroups.insert(cgroup.id, Counted { workload, counts: cgroup.counts.clone() });
    }

    /// Forgets cgroups whose last counts were applied; their kernel counts may start anew from now on.
    pub fn forget_cgroups(&mut self, dead: &[u64], now: Instant) {
        for &id in dead {
            self.leave(id, Some(now));
        }
    }

    /// Takes a cgroup out of its workload; `gone` when it left for good.
    fn leave(&mut self, id: u64, gone: Option<Instant>) {
        let Some(counted) = self.cgroups.remove(&id) else { return };
        let Some(totals) = self.workloads.get_mut(&counted.workload) else { return };
        totals.cgroups -= 1;
        // The unnamed stay: somebody else's calls are in there too.
        if totals.cgroups == 0 && matches!(counted.workload, Workload::Cgroup(_)) {
            totals.gone_since = gone.or(totals.gone_since);
        }
    }

    /// Forgets workloads that have been gone for longer than `keep`.
    pub fn expire(&mut self, now: Instant, keep: Duration) {
        self.workloads.retain(|_, totals| totals.gone_since.is_none_or(|since| now.duration_since(since) < keep));
    }

    /// Every workload and its totals, sorted.
    pub fn workloads(&self) -> impl Iterator<Item = (&Workload, &Totals)> {
        self.workloads.iter()
    }
}

impl Totals {
    /// Whether no cgroup counts towards it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }

    /// All its calls.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.calls.iter().map(|count| count.calls).sum()
    }
}

/// What `new` has over `old`; both sorted by call. Counts do not fall: one that did started anew.
fn differences(old: &[Count], new: &[Count]) -> Vec<Count> {
    let mut old = old.iter().peekable();
    let difference = |count: &Count| {
        while old.next_if(|before| before.call < count.call).is_some() {}
        let before = old.next_if(|before| before.call == count.call).map_or(0, |before| before.calls);
        Count { call: count.call, calls: count.calls.checked_sub(before).unwrap_or(count.calls) }
    };
    new.iter().map(difference).filter(|count| count.calls != 0).collect()
}

/// Adds counts to totals; both sorted by call.
fn add(totals: &mut Vec<Count>, new: &[Count]) {
    for count in new {
        match totals.binary_search_by_key(&count.call, |total| total.call) {
            Ok(index) => totals[index].calls += count.calls,
            Err(index) => totals.insert(index, *count),
        }
    }
}

/// The total of one call.
#[must_use]
pub fn total(counts: &[Count], call: CallId) -> u64 {
    counts.binary_search_by_key(&call, |count| count.call).map_or(0, |index| counts[index].calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: CallId = CallId(10);
    const B: CallId = CallId(20);

    fn counts(counts: &[(CallId, u64)]) -> Vec<Count> {
        counts.iter().map(|&(call, calls)| Count { call, calls }).collect()
    }

    fn snapshot(cgroups: &[(u64, &[(CallId, u64)])]) -> Snapshot {
        let cgroups = cgroups.iter().map(|&(id, calls)| CgroupCounts { id, counts: counts(calls) }).collect();
        Snapshot { cgroups, ..Snapshot::default() }
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
        Some(total(&totals.calls, call))
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
        model.forget_cgroups(&[1], now);
        names.apply(&mut model, &snapshot(&[(2, &[(A, 3)])]));
        model.expire(now + Duration::from_mins(15), Duration::from_mins(5));
        assert_eq!(calls(&model, "/a", A), Some(8));
    }

    #[test]
    fn the_dead_are_exported_until_their_time_is_over() {
        let (mut model, names, now) = (Model::default(), Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
        names.apply(&mut model, &snapshot(&[(1, &[(A, 5)]), (2, &[(A, 1)])]));
        model.forget_cgroups(&[1], now);
        let keep = Duration::from_mins(5);
        model.expire(now + Duration::from_secs(299), keep);
        assert_eq!(calls(&model, "/a", A), Some(5));
        model.expire(now + keep, keep);
        assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (None, Some(1)));
    }

    #[test]
    fn a_slot_that_another_cgroup_gets_starts_from_zero() {
        let (mut model, names) = (Model::default(), Names::new(&[(1, "/a"), (2, "/b")]));
        names.apply(&mut model, &snapshot(&[(1, &[(A, 500)])]));
        model.forget_cgroups(&[1], Instant::now());
        names.apply(&mut model, &snapshot(&[(2, &[(A, 3)])]));
        assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(500), Some(3)));
    }

    #[test]
    fn a_name_that_comes_later_gets_the_later_calls_and_nothing_twice() {
        let mut model = Model::default();
        Names::new(&[]).apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
        Names::new(&[(1, "/a")]).apply(&mut model, &snapshot(&[(1, &[(A, 9)])]));
        assert_eq!((calls(&model, "(unknown)", A), calls(&model, "/a", A)), (Some(5), Some(4)));
        model.expire(Instant::now() + Duration::from_secs(9999), Duration::ZERO);
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
    fn a_cgroup_that_made_no_call_is_no_workload() {
        let (mut model, names) = (Model::default(), Names::new(&[(1, "/a")]));
        names.apply(&mut model, &snapshot(&[(1, &[])]));
        assert_eq!(model.workloads().count(), 0);
    }
}
