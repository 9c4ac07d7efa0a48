//! Invariants of totals that outlast the daemon.

use std::sync::LazyLock;

use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::{
    clock::BootClock,
    model::ModelReader,
    syscalls::saved::{KnownCalls, SavedCalls},
};

/// Exceeds the number of every slot.
const OFFSET: u32 = 1000;

/// A world, and a model of the same snapshots that is saved and restored in between.
struct Restarting {
    world: World,
    model: Model,
    layout: Arc<SeriesLayout>,
    /// What is added to the numbers of slots.
    offset: u32,
    /// The counts at the last handover. The kernel's new tables have only the later ones.
    before: HashMap<u32, SlotCounts>,
    remainder_before: Counts,
}

impl Restarting {
    fn new(most_series: usize, by: Granularity) -> Self {
        let granularities = Granularities { syscalls: by, errors: by, denied: by, latency: by };
        let layout = Arc::new(SeriesLayout::new(granularities, &CallTable::x86_64()));
        let new = || Model::new(most_series).with_layout(Arc::clone(&layout));
        Self {
            world: World { model: new(), ..World::new(most_series) },
            model: new(),
            layout,
            offset: 0,
            before: HashMap::new(),
            remainder_before: Counts::default(),
        }
    }

    fn restart(&mut self) {
        let saved = through_records(&self.model.to_save(self.world.now));
        self.model = Model::restored(saved, OFFSET, self.model.most_series, Arc::clone(&self.layout));
        self.offset += OFFSET;
    }

    /// Returns a snapshot with the slots that the restarted model knows.
    fn shifted(&self, mut sample: Sample) -> Sample {
        for slot in &mut sample.snapshot.slots {
            slot.slot += self.offset;
        }
        sample.free.iter_mut().for_each(|slot| *slot += self.offset);
        sample
    }

    /// Returns what the kernel's tables of this daemon have of a snapshot.
    fn since_handover(&self, mut sample: Sample) -> Sample {
        for slot in &mut sample.snapshot.slots {
            let before = self.before.get(&slot.slot).filter(|before| before.cgroup_id == slot.cgroup_id);
            if let Some(before) = before {
                slot.counts = slot.counts.since(&before.counts).into();
            }
        }
        // A cgroup gets a slot when it makes a call.
        sample.snapshot.slots.retain(|slot| !slot.counts.is_empty());
        sample.snapshot.remainder = sample.snapshot.remainder.since(&self.remainder_before);
        sample
    }

    fn perform(&mut self, op: &Op) -> Option<Sample> {
        let Op::Sample { free, most_series, .. } = op else {
            self.world.perform(op);
            return None;
        };
        let sample = self.world.taken(free, *most_series);
        self.world.perform(op);
        Some(sample)
    }

    /// Takes the kernel's tables over, and goes on with new ones.
    fn hand_over(&mut self) {
        self.restart();
        let last = self.world.taken(&[], usize::MAX);
        last.apply_to(&mut self.world.model);
        let last = self.since_handover(last);
        self.shifted(last.clone()).apply_to(&mut self.model);
        let slots: Vec<u32> = self.model.slots.keys().copied().collect();
        self.model.hand_over(&slots, self.world.now);
        self.model.begin_again();
        self.offset = 0;
        (self.before, self.remainder_before) = (self.world.slots.clone(), self.world.remainder.clone());
    }
}

/// Returns a saved model as the next daemon reads it.
fn through_records(saved: &SavedModel) -> SavedModel {
    static CALLS: LazyLock<KnownCalls> = LazyLock::new(|| {
        let table = CallTable::x86_64();
        through_json(&SavedCalls::of(&table)).known(&table)
    });
    let clock = BootClock::at(saved.at());
    let mut reader = ModelReader::new(clock, CALLS.clone());
    reader.model(&through_json(&saved.record(clock))).unwrap();
    saved.workloads(clock).for_each(|workload| reader.workload(through_json(&workload)).unwrap());
    saved.slots().for_each(|slot| reader.slot(through_json(&slot)).unwrap());
    saved.births(clock).for_each(|births| reader.births(&through_json(&births)).unwrap());
    reader.finish()
}

fn through_json<T: Serialize + DeserializeOwned>(record: &T) -> T {
    serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap()
}

/// Returns the counts of each workload with counts.
fn counts(model: &Model) -> Vec<(&Workload, &Counts)> {
    let all = model.view.workloads.iter().map(|(workload, totals)| (workload, &totals.counts));
    all.filter(|(_, counts)| !counts.is_empty()).collect()
}

/// Returns everything that a model has, with this offset of its slots.
fn everything(model: &Model, offset: u32) -> impl PartialEq + std::fmt::Debug {
    let number = |slot: u32| if slot == 0 { 0 } else { slot + offset };
    let ModelView { workloads, folded, capped, series, origin } = &model.view;
    let numbered = |(workload, totals): (&Workload, &Arc<Totals>)| {
        let newest_slot = number(totals.newest_slot);
        (workload.clone(), Totals { newest_slot, ..Totals::clone(totals) })
    };
    let workloads: Vec<_> = workloads.iter().map(numbered).collect();
    let slots: HashMap<_, _> = model.slots.iter().map(|(slot, baseline)| (number(*slot), baseline.clone())).collect();
    let (births, remainder) = (HashMap::clone(&model.births), Counts::clone(&model.remainder));
    ((workloads, *folded, *capped, *series, *origin), slots, births, remainder)
}

fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 0..most)
}

/// Returns the same events with other samples.
fn with_samples(ops: Vec<Op>, sample: impl Fn(Vec<u32>) -> Op) -> Vec<Op> {
    let with = |op| match op {
        Op::Sample { free, .. } => sample(free),
        op => op,
    };
    ops.into_iter().map(with).collect()
}

/// A sample after no time, with room for all series.
fn sample(free: Vec<u32>) -> Op {
    Op::Sample { free, most_series: usize::MAX, seconds: 0 }
}

proptest! {
    #[test]
    fn a_model_that_was_saved_and_restored_is_exactly_as_it_was(
        ops in ops(80), restarts in proptest::collection::vec(0..80_usize, 0..4),
        most_series in prop_oneof![Just(usize::MAX), 0..12_usize],
        by in prop::sample::select(vec![Granularity::Name, Granularity::Set, Granularity::None]),
    ) {
        let mut test = Restarting::new(most_series, by);
        for (index, op) in ops.iter().enumerate() {
            if restarts.contains(&index) {
                test.restart();
            }
            let id = test.world.next_id;
            let sample = test.perform(op);
            if id < test.world.next_id && id.is_multiple_of(2) {
                test.world.model.born(id + 1, test.world.now);
                test.model.born(id + 1, test.world.now);
            }
            if let Some(sample) = sample {
                test.shifted(sample).apply_to(&mut test.model);
                prop_assert_eq!(everything(&test.world.model, test.offset), everything(&test.model, 0));
            }
        }
    }

    #[test]
    fn a_model_that_was_saved_earlier_has_all_calls_after_the_next_snapshot(earlier in ops(40), later in ops(40)) {
        let mut test = Restarting::new(usize::MAX, Granularity::Name);
        for op in earlier.iter().chain([&sample(Vec::new())]) {
            if let Some(sample) = test.perform(op) {
                sample.apply_to(&mut test.model);
            }
        }
        test.restart();
        // The kernel frees a slot only after a file has its last counts.
        let later = with_samples(later, |_| sample(Vec::new())).into_iter();
        for op in later.filter(|op| !matches!(op, Op::Name(_))) {
            test.perform(&op);
        }
        let last = test.perform(&sample(Vec::new()));
        test.shifted(last.unwrap()).apply_to(&mut test.model);
        prop_assert_eq!(counts(&test.model), counts(&test.world.model));
    }

    #[test]
    fn a_daemon_with_new_tables_continues_the_totals(
        ops in ops(80), restarts in proptest::collection::vec(0..80_usize, 0..4),
    ) {
        let mut test = Restarting::new(usize::MAX, Granularity::Name);
        let ops = with_samples(ops, sample);
        for (index, op) in ops.iter().enumerate() {
            if restarts.contains(&index) {
                test.hand_over();
            }
            if let Some(sample) = test.perform(op) {
                test.since_handover(sample).apply_to(&mut test.model);
                prop_assert_eq!(counts(&test.model), counts(&test.world.model));
            }
        }
    }
}
