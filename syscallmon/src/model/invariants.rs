//! Invariants of totals: nothing is lost or counted twice, no counter falls, and each new call is reported once.

mod restarts;

use proptest::prelude::*;

use super::{
    series::{Granularities, Granularity},
    *,
};
use crate::{
    snapshot::{ArgumentKey, DeniedKey, ErrorKey},
    syscalls::{CallId, CallTable, Errno},
    workload::{Label, REMAINDER},
};

/// Timeout of names, and how long ended workloads are kept.
const HOLD: Duration = Duration::from_secs(10);
const KEEP: Duration = Duration::from_mins(1);

/// The first call that has a name: those from here on are read, write, open and close, three of them in one set.
const FIRST_NAMED: u16 = 4;

/// An event.
#[derive(Clone, Debug)]
enum Op {
    /// The cgroup of a slot makes calls, some of them in container init, and as many of each other kind.
    Calls { slot: u32, call: u16, calls: u64, container_init: u64, errors: u64, denied: u64 },
    /// Calls find the kernel's tables full.
    Remainder { call: u16, calls: u64 },
    /// The name of a container becomes known, and the path of a cgroup.
    Name(u64),
    /// A snapshot this much later, in which these slots are reclaimed.
    Sample { free: Vec<u32>, most_series: usize, seconds: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let calls = (1..6_u32, 0..4_u16, 1..9_u64, 0..3_u64, 0..3_u64, 0..3_u64);
    prop_oneof![
        6 => calls.prop_map(|(slot, call, calls, container_init, errors, denied)| {
            Op::Calls { slot, call, calls, container_init: container_init.min(calls), errors, denied }
        }),
        1 => (0..4_u16, 1..9_u64).prop_map(|(call, calls)| Op::Remainder { call, calls }),
        1 => (0..9_u64).prop_map(Op::Name),
        4 => (proptest::collection::vec(1..6_u32, 0..3), 0..20_usize, 0..40_u64)
            .prop_map(|(free, most_series, seconds)| Op::Sample { free, most_series, seconds }),
    ]
}

/// The kernel's counts, names, and the model of them.
struct World {
    model: Model,
    now: Instant,
    /// The kernel's running counts by slot. Each new cgroup has a new id.
    slots: HashMap<u32, SlotCounts>,
    remainder: Counts,
    /// The first class of arguments.
    first_class: u16,
    next_id: u64,
    named: Vec<u64>,
    /// All counts, and those that have expired.
    truth: u64,
    expired: u64,
    /// Calls outside container init, and those that were in deltas.
    own_calls: u64,
    reported: u64,
}

/// A snapshot, and what is known at that moment.
#[derive(Clone, Debug)]
struct Sample {
    now: Instant,
    renamed: HashMap<Workload, ResolvedWorkload>,
    snapshot: Snapshot,
    named: Vec<u64>,
    free: Vec<u32>,
    most_series: usize,
}

impl Sample {
    /// Does what the sampler does. Returns the new calls, and the sum of the counts that expired.
    fn apply_to(&self, model: &mut Model) -> (Vec<Delta>, u64) {
        let now = self.now;
        let mut deltas = model.rename(&self.renamed, now);
        deltas.extend(model.apply(&self.snapshot, now, |id| name(id, &self.named)));
        deltas.extend(model.release(now, HOLD));
        model.forget_slots(&self.free, now);
        let is_due = |totals: &Totals| totals.gone_since.is_some_and(|since| now.duration_since(since) >= KEEP);
        let due = model.view.workloads.iter().filter(|(_, totals)| is_due(totals));
        let expired = due.map(|(_, totals)| sum(&totals.counts)).sum::<u64>();
        deltas.extend(model.expire(now, KEEP, self.most_series, |_| false));
        (deltas, expired)
    }
}

/// Returns the sum of some counts.
fn sum(counts: &Counts) -> u64 {
    counts.calls.sum() + counts.errors.sum() + counts.denied.sum() + counts.arguments.sum()
}

impl World {
    fn new(most_series: usize) -> Self {
        Self {
            model: Model::new(most_series),
            now: Instant::now(),
            slots: HashMap::new(),
            remainder: Counts::default(),
            first_class: u16::try_from(CallTable::x86_64().iter().count()).unwrap(),
            next_id: 0,
            named: Vec::new(),
            truth: 0,
            expired: 0,
            own_calls: 0,
            reported: 0,
        }
    }

    fn perform(&mut self, op: &Op) {
        match *op {
            Op::Calls { slot, call, calls, container_init, errors, denied } => {
                let next_id = &mut self.next_id;
                let of_slot = self.slots.entry(slot).or_insert_with(|| {
                    *next_id += 1;
                    SlotCounts { slot, cgroup_id: *next_id, counts: Arc::default() }
                });
                let (call, class) = (CallId(FIRST_NAMED + call), CallId(self.first_class + call));
                Arc::make_mut(&mut of_slot.counts).add(&Counts {
                    calls: [(call, calls)].into_iter().collect(),
                    container_init: [(call, container_init)].into_iter().collect(),
                    errors: [(ErrorKey::Of(call, Errno::new(2)), errors)].into_iter().collect(),
                    denied: [(DeniedKey::Of(call), denied)].into_iter().collect(),
                    arguments: [(ArgumentKey::Other, errors), (ArgumentKey::Denied(class), denied)]
                        .into_iter()
                        .collect(),
                    ..Counts::default()
                });
                self.truth += calls + 2 * (errors + denied);
                self.own_calls += calls - container_init;
            }
            Op::Remainder { call, calls } => {
                let calls_of = [(CallId(FIRST_NAMED + call), calls)].into_iter().collect();
                self.remainder.add(&Counts { calls: calls_of, ..Counts::default() });
                self.truth += calls;
                self.own_calls += calls;
            }
            Op::Name(container) => self.named.push(container),
            Op::Sample { ref free, most_series, seconds } => {
                self.sample(free, most_series);
                self.now += Duration::from_secs(seconds);
            }
        }
    }

    fn sample(&mut self, free: &[u32], most_series: usize) {
        let sample = self.taken(free, most_series);
        for slot in free {
            self.slots.remove(slot);
        }
        let (deltas, expired) = sample.apply_to(&mut self.model);
        self.expired += expired;
        self.reported +=
            deltas.iter().filter(|delta| delta.before.is_none()).map(|delta| delta.calls.sum()).sum::<u64>();
    }

    /// Takes a snapshot, in which these slots are reclaimed.
    fn taken(&self, free: &[u32], most_series: usize) -> Sample {
        let renamed = self.model.unresolved().map(|identity| (Workload::Unresolved(Arc::clone(identity)), identity));
        let renamed =
            renamed.filter_map(|(workload, identity)| Some((workload, name_of_identity(identity, &self.named)?)));
        let mut slots: Vec<SlotCounts> = self.slots.values().cloned().collect();
        slots.sort_by_key(|slot| slot.slot);
        Sample {
            now: self.now,
            renamed: renamed.collect(),
            snapshot: Snapshot { slots, remainder: self.remainder.clone(), ..Snapshot::default() },
            named: self.named.clone(),
            free: free.to_vec(),
            most_series,
        }
    }

    fn everything(&self) -> u64 {
        self.model.view.workloads.iter().map(|(_, totals)| sum(&totals.counts)).sum::<u64>() + self.expired
    }

    /// Returns calls of containers that wait for their names: they are in a later delta.
    fn held(&self) -> u64 {
        let workloads = self.model.view.workloads.iter();
        let held = workloads.filter(|(_, totals)| totals.held_since.is_some());
        held.map(|(_, totals)| totals.counts.calls.since(&totals.counts.container_init).sum()).sum()
    }
}

fn called(label: Label, name: &str) -> ResolvedWorkload {
    let labels = Labels::new([(label, name.into())]);
    ResolvedWorkload { workload: Workload::Resolved(labels.clone()), metadata: labels }
}

/// Three kinds of cgroups: units, containers with a name now or later, and cgroups with an unknown path.
fn name(id: u64, named: &[u64]) -> Option<ResolvedWorkload> {
    match id % 3 {
        0 => Some(called(Label::Cgroup, &format!("/unit-{}", id % 4))),
        1 => {
            let identity = CgroupIdentity::of(&format!("/docker/{:064x}", id % 9).into());
            let unresolved = || ResolvedWorkload {
                workload: Workload::Unresolved(identity.clone().into()),
                metadata: Labels::default(),
            };
            Some(name_of_identity(&identity, named).unwrap_or_else(unresolved))
        }
        _ => named.contains(&(id % 9)).then(|| called(Label::Cgroup, &format!("/found-{}", id % 9))),
    }
}

/// Two containers may have one name, one after the other.
fn name_of_identity(identity: &CgroupIdentity, named: &[u64]) -> Option<ResolvedWorkload> {
    let container = identity.path().bytes().last().map(|digit| u64::from(digit - b'0'))?;
    named.contains(&container).then(|| called(Label::Container, &format!("web-{}", container % 2)))
}

proptest! {
    #[test]
    fn whatever_happens_every_call_is_in_one_total(
        ops in proptest::collection::vec(op(), 0..80), most_series in prop_oneof![Just(usize::MAX), 0..12_usize],
        by in prop::sample::select(vec![Granularity::Name, Granularity::Set, Granularity::None]),
    ) {
        let granularities = Granularities { syscalls: by, errors: by, denied: by, latency: by };
        let layout = Arc::new(SeriesLayout::new(granularities, &CallTable::x86_64()));
        let mut world = World::new(most_series);
        world.model = world.model.with_layout(Arc::clone(&layout));
        for op in &ops {
            world.perform(op);
            if let Op::Sample { .. } = op {
                prop_assert_eq!(world.everything(), world.truth);
                let ones = world.model.view.workloads.iter().filter(|(workload, _)| workload.is_one());
                let series = ones.map(|(_, totals)| layout.count(&totals.counts)).sum::<usize>();
                prop_assert_eq!(world.model.view.series, series);
                prop_assert!(world.model.view.series <= most_series);
                for (workload, totals) in world.model.view.workloads.iter() {
                    prop_assert_eq!(totals.seen.len(), totals.counts.calls.len(), "{}", workload);
                    for (call, _) in totals.counts.calls.iter() {
                        let seen = world.model.view.seen(totals, call);
                        prop_assert!(seen.is_some_and(|(first, last)| first <= last && last <= world.now));
                    }
                }
            }
        }
    }

    #[test]
    fn whatever_happens_no_total_falls_while_its_workload_is_there(
        ops in proptest::collection::vec(op(), 0..80), most_series in prop_oneof![Just(usize::MAX), 0..12_usize],
    ) {
        let mut world = World::new(most_series);
        for op in &ops {
            let before = world.model.view().clone();
            world.perform(op);
            for (workload, before) in before.workloads() {
                let Some(now) = world.model.view().get(workload) else { continue };
                let (now, before) = (&now.counts, &before.counts);
                prop_assert!(before.calls.iter().all(|(call, count)| now.calls.get(call) >= Some(count)));
                prop_assert!(before.errors.iter().all(|(failure, count)| now.errors.get(failure) >= Some(count)));
                prop_assert!(before.denied.iter().all(|(denial, count)| now.denied.get(denial) >= Some(count)));
            }
        }
    }

    #[test]
    fn whatever_happens_every_call_is_in_one_delta(ops in proptest::collection::vec(op(), 0..80)) {
        let mut world = World::new(usize::MAX);
        for op in &ops {
            world.perform(op);
            if let Op::Sample { .. } = op {
                prop_assert_eq!(world.reported + world.held(), world.own_calls);
            }
        }
    }
}

#[test]
fn the_ops_reach_what_they_are_for() {
    let mut world = World::new(6);
    let calls = |slot, call| Op::Calls { slot, call, calls: 3, container_init: 1, errors: 1, denied: 1 };
    let sample = |free: &[u32], most_series, seconds| Op::Sample { free: free.to_vec(), most_series, seconds };
    let ops = [
        calls(1, 0),
        calls(2, 0),
        calls(3, 0),
        sample(&[1], 13, 20),
        sample(&[3], 0, 99),
        Op::Name(1),
        sample(&[], 13, 0),
    ];
    for op in ops {
        world.perform(&op);
    }
    let view = world.model.view();
    assert!(view.folded() > 0 && view.capped() > 0, "{view:?}");
    assert!(view.workloads().any(|(workload, _)| workload.label("cgroup") == REMAINDER));
}
