//! The life cycle of slots, series and histograms in user space: reclaimed, freed and reused, with failures in between.

use std::{cell::Cell, collections::BTreeMap, path::PathBuf, time::Instant};

use proptest::prelude::*;

use super::{counts::counts_and_key, programs::Programs, *};
use crate::{
    kernel::last_read::ReadCounts,
    kernel::{CountedHierarchies, Features, Options, SysEnter, TableCapacity},
    model::Model,
    snapshot::Counts,
    workload::{ResolvedWorkload, Workload},
};

const CPUS: usize = 2;
const CGROUPS: u64 = 5;
const SLOTS: u32 = 3;
const SERIES: u32 = 12;
const HISTOGRAMS: u32 = 3;

/// A step of a test.
#[derive(Clone, Debug)]
enum Op {
    /// A cgroup makes a call, possibly as the second of two CPUs that meet the first call.
    Call {
        cpu: usize,
        cgroup: u64,
        position: u16,
        is_second: bool,
    },
    Fail {
        cpu: usize,
        cgroup: u64,
        position: u16,
        errno: u16,
    },
    Refuse {
        cpu: usize,
        cgroup: u64,
        position: u16,
    },
    Time {
        cpu: usize,
        cgroup: u64,
        position: u16,
    },
    /// A call has a class of arguments.
    Classify {
        cpu: usize,
        cgroup: u64,
        position: u16,
    },
    /// Takes a snapshot, and retires the slots of these cgroups. The kernel refuses operations after this many entries.
    Sample {
        retire: Vec<u64>,
        refuses_after: Option<usize>,
        roots: Vec<u64>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let who = || (0..CPUS, 1..=CGROUPS, 0..4_u16);
    prop_oneof![
        6 => (who(), any::<bool>()).prop_map(|((cpu, cgroup, position), second)| {
            Op::Call { cpu, cgroup, position, is_second: second }
        }),
        2 => (who(), 1..4_u16).prop_map(|((cpu, cgroup, position), errno)| Op::Fail { cpu, cgroup, position, errno }),
        1 => who().prop_map(|(cpu, cgroup, position)| Op::Refuse { cpu, cgroup, position }),
        1 => who().prop_map(|(cpu, cgroup, position)| Op::Time { cpu, cgroup, position }),
        1 => who().prop_map(|(cpu, cgroup, position)| Op::Classify { cpu, cgroup, position }),
        3 => (
            proptest::collection::vec(1..=CGROUPS, 0..4),
            proptest::option::of(0..12_usize),
            proptest::collection::vec(1..=CGROUPS, 0..2),
        )
            .prop_map(|(retire, refuses_after, roots)| Op::Sample { retire, refuses_after, roots }),
    ]
}

/// Both sides, the totals, and the true counts.
struct World {
    programs: Programs,
    tables: Tables,
    model: Model,
    /// Calls, errors, denied calls, measured calls and classes of arguments of each cgroup.
    truth: BTreeMap<u64, [u64; 5]>,
}

/// Calls, errors, denied calls, measured calls and classes of arguments.
fn sums(counts: &Counts) -> [u64; 5] {
    let measured = counts.durations.iter().map(|(_, durations)| durations.count()).sum();
    [counts.calls.sum(), counts.errors.sum(), counts.denied.sum(), measured, counts.arguments.sum()]
}

fn plus(mut a: [u64; 5], b: [u64; 5]) -> [u64; 5] {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

impl World {
    fn new() -> Self {
        let capacity = TableCapacity {
            cgroups: SLOTS,
            series: SERIES,
            errors: 3,
            denied: 3,
            histograms: HISTOGRAMS,
            timed_calls: 8,
        };
        let options = Options {
            capacity,
            sysfs: PathBuf::new(),
            sys_enter: SysEnter::Auto,
            features: Features {
                errors: true,
                denied: true,
                latency: true,
                io_uring: false,
                arguments: crate::syscalls::ArgumentClasses::Security,
            },
            hierarchies: CountedHierarchies { cgroup2: true, cgroup2_root: 1, v1: None },
            pin: None,
        };
        let sizes = Sizes::new(&options, capacity);
        let programs = Programs::new(sizes);
        let map = |name, len| Ok(programs.map(name, len));
        let tables = Tables::over(&map, programs.series_index(), &programs.runner(), &sizes, (CPUS, 0)).unwrap();
        Self { programs, tables, model: Model::new(usize::MAX), truth: BTreeMap::new() }
    }

    fn perform(&mut self, op: &Op) {
        let programs = &self.programs;
        let (cgroup, what) = match *op {
            Op::Call { cpu, cgroup, position, is_second } => {
                programs.call(cpu, cgroup, position, is_second);
                (cgroup, [1, 0, 0, 0, 0])
            }
            Op::Fail { cpu, cgroup, position, errno } => {
                programs.fail(cpu, cgroup, position, errno);
                (cgroup, [0, 1, 0, 0, 0])
            }
            Op::Refuse { cpu, cgroup, position } => {
                programs.refuse(cpu, cgroup, position);
                (cgroup, [0, 0, 1, 0, 0])
            }
            Op::Time { cpu, cgroup, position } => {
                programs.time(cpu, cgroup, position);
                (cgroup, [0, 0, 0, 1, 0])
            }
            Op::Classify { cpu, cgroup, position } => {
                programs.classify(cpu, cgroup, position);
                (cgroup, [0, 0, 0, 0, 1])
            }
            Op::Sample { ref retire, refuses_after, ref roots } => {
                programs.refuses_after.set(refuses_after);
                self.sample(retire, roots);
                self.programs.refuses_after.set(None);
                return;
            }
        };
        let truth = self.truth.entry(cgroup).or_default();
        *truth = plus(*truth, what);
    }

    /// As `Sampler::sample`. When the kernel refuses, it returns the error and tries again.
    fn sample(&mut self, retire: &[u64], roots: &[u64]) -> Snapshot {
        let Self { programs, tables, model, .. } = self;
        let run = programs.runner();
        let retired = tables.retire(&run, || {}, &retire.iter().copied().collect()).unwrap_or_default();
        let snapshot = tables.snapshot();
        let roots: Vec<_> = roots.iter().map(|&cgroup| (cgroup, Some(Root::OfAll))).collect();
        let _ = tables.set_roots(&run, &roots);
        let now = Instant::now();
        model.apply(&snapshot, now, |cgroup| Some(named(cgroup)));
        let _ = tables.free(&run, &retired);
        model.forget_slots(&retired, now);
        snapshot
    }

    /// Returns the totals of a cgroup.
    fn totals(&self, cgroup: u64) -> [u64; 5] {
        self.model.view().get(&named(cgroup).workload).map_or([0; 5], |totals| sums(&totals.counts))
    }

    /// Returns the totals of all cgroups, and what was counted in the remainder.
    fn everything(&self, snapshot: &Snapshot) -> [u64; 5] {
        let remainder = plus(sums(&snapshot.remainder), [0, 0, 0, snapshot.losses.histograms_full, 0]);
        (1..=CGROUPS).map(|cgroup| self.totals(cgroup)).fold(remainder, plus)
    }
}

fn named(cgroup: u64) -> ResolvedWorkload {
    let workload = Workload::cgroup(format!("/{cgroup}").into());
    let Workload::Resolved(metadata) = workload.clone() else { unreachable!() };
    ResolvedWorkload { workload, metadata }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_to_slots_calls_are_counted_once_for_their_own_cgroup(
        ops in proptest::collection::vec(op(), 0..60),
    ) {
        let mut world = World::new();
        for op in &ops {
            let before: Vec<_> = (1..=CGROUPS).map(|cgroup| world.totals(cgroup)).collect();
            world.perform(op);
            for (cgroup, before) in (1..=CGROUPS).zip(before) {
                let totals = world.totals(cgroup);
                let truth = world.truth.get(&cgroup).copied().unwrap_or_default();
                for kind in 0..5 {
                    prop_assert!(before[kind] <= totals[kind], "a total fell");
                    prop_assert!(totals[kind] <= truth[kind], "{cgroup} has calls that it did not make");
                }
            }
        }
        let all: Vec<u64> = (1..=CGROUPS).collect();
        let snapshot = world.sample(&all, &[]);
        let truth = world.truth.values().copied().fold([0; 5], plus);
        prop_assert_eq!(world.everything(&snapshot), truth);
    }

    #[test]
    fn every_number_that_was_taken_back_is_free_again_once(ops in proptest::collection::vec(op(), 0..60)) {
        let mut world = World::new();
        for op in &ops {
            world.perform(op);
        }
        let all: Vec<u64> = (1..=CGROUPS).collect();
        world.sample(&all, &[]);
        let numbers = |count| (1..=count).collect::<Vec<u32>>();
        prop_assert_eq!(world.programs.free(), [numbers(SLOTS), numbers(SERIES), numbers(HISTOGRAMS)]);
        prop_assert_eq!(world.programs.entries(), 0);
        let empty = world.sample(&[], &[]);
        prop_assert_eq!((empty.slots.len(), empty.series, empty.histograms), (0, 0, 0));
        prop_assert!((1..=SLOTS).all(|slot| world.programs.owner(slot) == 0));
        prop_assert!(!world.tables.are_slots_exhausted());
    }
}

#[test]
fn programs_are_waited_for_when_a_slot_is_in_no_table_and_has_no_owner() {
    let mut world = World::new();
    world.programs.call(0, 1, 0, false);
    let World { programs, tables, .. } = &mut world;
    let seen = Cell::new(None);
    let wait = || seen.set(Some((programs.entries(), programs.owner(1))));
    let retired = tables.retire(&programs.runner(), wait, &[1].into()).unwrap();
    assert_eq!((retired, seen.get()), (vec![1], Some((0, 0))));
}

#[test]
fn a_slot_whose_cgroup_could_not_be_taken_out_stays_its_own() {
    let mut world = World::new();
    world.programs.call(0, 1, 0, false);
    world.programs.refuses_after.set(Some(0));
    let World { programs, tables, .. } = &mut world;
    let waited = || panic!("nothing to wait for");
    assert!(tables.retire(&programs.runner(), waited, &[1].into()).is_err());
    assert_eq!((programs.owner(1), tables.snapshot().losses.reclaim), (1, 1));
    world.programs.refuses_after.set(None);
    world.programs.call(1, 1, 0, false);
    let snapshot = world.sample(&[1], &[]);
    assert_eq!(snapshot.slots.iter().map(|slot| sums(&slot.counts)[0]).collect::<Vec<_>>(), [2]);
    assert_eq!(world.programs.free()[0].len(), SLOTS as usize);
}

#[test]
fn counts_belong_to_the_key_that_is_read_after_them() {
    let key = Cell::new(1);
    let counts = || {
        // Another program took the series meanwhile.
        key.set(2);
        ReadCounts { count: 7, of_container_init: 0 }
    };
    assert_eq!(counts_and_key(|| key.get(), counts).0, 2);
}
