//! Rates of each workload over the last 15 minutes.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    fair_share::{Capacity, FairShare, Priority, Tenant},
    model::{ModelView, Totals},
    stable_id::StableId,
    syscalls::{CallTable, IO_URING},
};

/// Time between two points.
pub const RATE_STEP: Duration = Duration::from_secs(10);
/// Maximum points of a workload: 15 minutes.
const MAX_RATES: usize = 90;

/// Maximum workloads with rates, and bytes of all rates together.
const CAPACITY: Capacity = Capacity { entries: 2000, bytes: 4 << 20 };

/// Bytes of an entry besides its rates: keys, counters, and the entry of a view.
const ENTRY_BYTES: usize = size_of::<History>() + 384;

/// Totals of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Sums {
    /// Calls.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Attempts that seccomp denied.
    pub denied: u64,
    /// Operations of `io_uring`.
    pub io_uring: u64,
}

impl Sums {
    /// Returns the totals of a workload.
    #[must_use]
    pub fn of(totals: &Totals, calls: &CallTable) -> Self {
        let counts = &totals.counts;
        let operations = counts.calls.iter().filter(|(call, _)| calls.call(*call).abi == IO_URING);
        let io_uring = operations.map(|(_, count)| count).sum();
        Self {
            calls: counts.calls.sum() - io_uring,
            errors: counts.errors.sum(),
            denied: counts.denied.sum(),
            io_uring,
        }
    }
}

/// Mean rates over one [`RATE_STEP`], per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Calls.
    pub calls: f32,
    /// Calls that failed.
    pub errors: f32,
    /// Attempts that seccomp denied.
    pub denied: f32,
}

impl Rate {
    /// Returns the mean rates between two totals.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a rate needs 24 bits")]
    fn between(old: Sums, new: Sums, seconds: f64) -> Self {
        let rate = |old: u64, new: u64| (new.saturating_sub(old) as f64 / seconds) as f32;
        Self {
            calls: rate(old.calls, new.calls),
            errors: rate(old.errors, new.errors),
            denied: rate(old.denied, new.denied),
        }
    }
}

/// Rates by workload, the newest last, at most [`MAX_RATES`] of each. Workloads without calls in this time have none.
#[derive(Clone, Debug, Default)]
pub struct RatesView(Arc<HashMap<StableId, Arc<[Rate]>>>);

impl RatesView {
    /// Returns the rates of a workload.
    #[must_use]
    pub fn of(&self, workload: StableId) -> &[Rate] {
        self.0.get(&workload).map_or(&[], |rates| rates)
    }
}

/// The rates of one workload, and the totals at the newest of them.
#[derive(Debug)]
struct History {
    rates: Arc<[Rate]>,
    sums: Sums,
    /// Number of the newest point.
    point: u64,
}

/// Keeps the rates of workloads. No workload displaces rates of others.
#[derive(Debug)]
pub struct RateHistory {
    workloads: FairShare<StableId, History>,
    began: Instant,
    newest: Instant,
    /// Number of points so far.
    points: u64,
    view: RatesView,
}

impl RateHistory {
    /// Returns an empty history that begins at a moment.
    #[must_use]
    pub fn new(began: Instant) -> Self {
        let workloads = FairShare::new(CAPACITY);
        Self { workloads, began, newest: began, points: 0, view: RatesView::default() }
    }

    /// Returns all rates.
    #[must_use]
    pub fn view(&self) -> RatesView {
        self.view.clone()
    }

    /// Adds a point if the next one is due; several of the same rate if snapshots are further apart.
    pub fn update(&mut self, taken: Instant, model: &ModelView, calls: &CallTable) {
        let point = taken.saturating_duration_since(self.began).as_secs() / RATE_STEP.as_secs();
        let new = usize::try_from(point - self.points).unwrap_or(MAX_RATES).min(MAX_RATES);
        if new == 0 {
            return;
        }
        let seconds = taken.saturating_duration_since(self.newest).as_secs_f64();
        (self.points, self.newest) = (point, taken);
        for (workload, totals) in model.workloads() {
            let (id, sums) = (workload.id(), Sums::of(totals, calls));
            let old = self.workloads.get(&id);
            let (rates, before) = old.map_or((&[][..], Sums::default()), |old| (&*old.rates, old.sums));
            let rate = Rate::between(before, sums, seconds);
            let rates = extended(rates, rate, new);
            let bytes = ENTRY_BYTES + size_of_val(&*rates);
            let history = History { rates, sums, point };
            if let Some(old) = self.workloads.get_mut(&id) {
                *old = history;
                self.workloads.resize(&id, bytes);
            } else {
                self.workloads.put(Tenant::of(workload, &totals.metadata), Priority::Normal, id, history, bytes);
            }
        }
        self.workloads.retain(|_, history| history.point == point);
        let rates = self.workloads.iter().filter(|(_, history)| !history.rates.is_empty());
        self.view = RatesView(Arc::new(rates.map(|(id, history)| (*id, Arc::clone(&history.rates))).collect()));
    }
}

/// Returns rates with a new one, which stands for `times` points. None if all of them are zero.
fn extended(rates: &[Rate], rate: Rate, times: usize) -> Arc<[Rate]> {
    let excess = (rates.len() + times).saturating_sub(MAX_RATES);
    let kept = &rates[excess.min(rates.len())..];
    if rate == Rate::default() && kept.iter().all(|kept| *kept == rate) {
        return Arc::default();
    }
    kept.iter().copied().chain(std::iter::repeat_n(rate, times)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Model,
        snapshot::{Counts, SlotCounts, Snapshot},
        workload::{Labels, ResolvedWorkload, Workload},
    };

    /// Counts of one call in cgroups, by their number.
    struct Host {
        model: Model,
        calls: CallTable,
        history: RateHistory,
        began: Instant,
    }

    impl Host {
        fn new() -> Self {
            let began = Instant::now();
            Self { model: Model::new(100_000), calls: CallTable::x86_64(), history: RateHistory::new(began), began }
        }

        fn name(cgroup: u64) -> Workload {
            Workload::cgroup(format!("/c{cgroup}").into())
        }

        /// Takes a snapshot in which cgroups have made so many calls.
        fn at(&mut self, seconds: f64, made: &[(u64, u64)]) {
            let read = self.calls.id("x86_64", "read").expect("read is a call");
            let slot = |&(cgroup, calls): &(u64, u64)| {
                let counts = Counts { calls: std::iter::once((read, calls)).collect(), ..Counts::default() };
                let slot = u32::try_from(cgroup).expect("few cgroups");
                SlotCounts { slot, cgroup_id: cgroup, counts: Arc::new(counts) }
            };
            let snapshot = Snapshot { slots: made.iter().map(slot).collect(), ..Snapshot::default() };
            let named = |id| Some(ResolvedWorkload { workload: Self::name(id), metadata: Labels::default() });
            let now = self.began + Duration::from_secs_f64(seconds);
            self.model.apply(&snapshot, now, named);
            self.history.update(now, self.model.view(), &self.calls);
        }

        fn rates(&self, cgroup: u64) -> Vec<f32> {
            self.history.view().of(Self::name(cgroup).id()).iter().map(|rate| rate.calls).collect()
        }
    }

    #[test]
    fn a_point_is_the_mean_rate_since_the_one_before() {
        let mut host = Host::new();
        host.at(4.0, &[(1, 40)]);
        assert!(host.rates(1).is_empty());
        host.at(10.0, &[(1, 50)]);
        host.at(15.0, &[(1, 100)]);
        host.at(22.0, &[(1, 110), (2, 24)]);
        assert_eq!((host.rates(1), host.rates(2)), (vec![5.0, 5.0], vec![2.0]));
    }

    #[test]
    fn snapshots_that_are_far_apart_leave_no_gap() {
        let mut host = Host::new();
        host.at(10.0, &[(1, 10)]);
        host.at(40.0, &[(1, 100)]);
        assert_eq!(host.rates(1), [1.0, 3.0, 3.0, 3.0]);
        host.at(1e6, &[(1, 100)]);
        assert!(host.rates(1).is_empty());
    }

    #[test]
    fn the_oldest_points_go_and_a_quiet_workload_needs_no_memory() {
        let mut host = Host::new();
        let step = RATE_STEP.as_secs();
        for point in 1..=200 {
            host.at((point * step) as f64, &[(1, point * step * point)]);
        }
        assert_eq!(host.rates(1).len(), MAX_RATES);
        let busy = host.history.workloads.bytes();
        for point in 201..=300 {
            host.at((point * step) as f64, &[(1, 200 * step * 200)]);
        }
        assert!(host.rates(1).is_empty());
        assert!(host.history.workloads.bytes() < busy - MAX_RATES * size_of::<Rate>() + 1);
    }

    #[test]
    fn a_thousand_workloads_take_at_most_two_mebibytes_and_many_no_more_than_the_bound() {
        for (workloads, most) in [(1000, 2 << 20), (4000, CAPACITY.bytes)] {
            let mut host = Host::new();
            for point in (1..=MAX_RATES as u64).step_by(9) {
                let made: Vec<(u64, u64)> = (0..workloads).map(|cgroup| (cgroup, point)).collect();
                host.at((point * RATE_STEP.as_secs()) as f64, &made);
            }
            let bytes = host.history.workloads.bytes();
            assert!(bytes <= most, "{workloads}: {bytes}");
        }
    }

    #[test]
    fn what_is_gone_has_no_rates() {
        let mut host = Host::new();
        host.at(10.0, &[(1, 10), (2, 10)]);
        host.model.forget_slots(&[1], host.began);
        host.model.expire(host.began + Duration::from_hours(1), Duration::from_mins(5), usize::MAX, |_| false);
        host.at(20.0, &[(2, 20)]);
        assert!(host.rates(1).is_empty());
        assert_eq!(host.rates(2), [1.0, 1.0]);
    }
}
