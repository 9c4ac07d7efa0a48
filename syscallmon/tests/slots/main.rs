//! A model of the protocol of slots and series. stateright explores every interleaving.
//!
//! Programs on two CPUs count calls while user space reclaims slots. There are no locks. `state.rs` has the states,
//! `program.rs` the steps of the programs, `sampler.rs` the steps of user space, `invariants.rs` the properties. Each
//! step names the function that it stands for. A change of `syscallmon-ebpf/src/{count,slot,allocate,pool,reclaim}.rs`
//! or `syscallmon/src/kernel/tables.rs` needs the same change here.
//!
//! Memory is sequentially consistent in the model. x86 differs in one way: a CPU may read before other CPUs see its
//! earlier writes. No program depends on that order, and system calls order the writes of user space. On arm64, user
//! space may see a slot in `SLOTS` before its owner. A cgroup that makes its first call within these nanoseconds is
//! neither dead nor known to be nested.
//!
//! The model may retire any cgroup at any time, because `Kernel::retire` promises that this is harmless for a live
//! cgroup: nested cgroups move to the slot of their root while they run.

mod invariants;
mod program;
mod sampler;
mod state;

use std::{collections::BTreeSet, thread::available_parallelism, time::Instant};

use invariants::{LOST, OWN};
use state::{At, CGROUPS, CPUS, Calls, Cgroup, Cpu, Numbers, SERIES, SLOTS, Sampler, State, Step, Tables, Then};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// The size of a scenario, and the protections that are active.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "protections that are taken away one at a time")]
pub(crate) struct Scenario {
    cgroups: usize,
    /// Calls that tasks make on each CPU.
    calls: [u8; CPUS],
    samples: u8,
    /// How often the kernel may refuse to reclaim something.
    failures: u8,
    /// A cgroup and its parent. User space makes the parent an attribution root at some time.
    nested: Option<(Cgroup, Cgroup)>,
    /// `kernel::wait_for_programs` waits for running programs.
    has_membarrier: bool,
    /// `slot::slot` compares the owner of a cached slot.
    has_owner_check: bool,
    /// `slot::slot` reads the owner once when it fills the cache.
    reads_owner_once: bool,
    /// `slot::find_or_take` writes the owner before it enters the slot in the hash table, and `known_slot` compares it.
    has_owner_first: bool,
}

/// The real protocol: all protections are active.
const PROTECTED: Scenario = Scenario {
    cgroups: 2,
    calls: [1, 2],
    samples: 1,
    failures: 0,
    nested: None,
    has_membarrier: true,
    has_owner_check: true,
    reads_owner_once: true,
    has_owner_first: true,
};

/// A possible next event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A task of a cgroup makes a call.
    Call { cpu: usize, cgroup: Cgroup },
    /// A program runs its next step.
    Program { cpu: usize, at: At },
    /// User space begins a sample that retires these cgroups.
    Sample { retire: Vec<Cgroup>, adds_root: bool },
    /// User space runs its next step.
    UserSpace(Step),
    /// The kernel refuses to reclaim the listed numbers.
    Refuse(Then),
}

impl Scenario {
    fn program_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, cpu) in state.cpus.iter().enumerate() {
            if cpu.at != At::Outside {
                actions.push(Action::Program { cpu: number, at: cpu.at });
            } else if cpu.calls_left > 0 {
                let cgroups = (1..=self.cgroups).take_while(|&cgroup| self.may_call(state, cgroup));
                actions.extend(cgroups.map(|cgroup| Action::Call { cpu: number, cgroup }));
            }
        }
    }

    /// Removes symmetric states: without nesting, cgroups are interchangeable, so they begin to call in order.
    fn may_call(&self, state: &State, cgroup: Cgroup) -> bool {
        let is_calling = |cgroup| state.cpus.iter().any(|cpu| cpu.at.cgroup() == Some(cgroup));
        let has_called = |cgroup| state.made.of(cgroup) > 0 || is_calling(cgroup);
        self.nested.is_some() || cgroup == 1 || has_called(cgroup - 1)
    }

    fn user_space_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let sampler = &state.sampler;
        match sampler.at {
            Step::Idle if sampler.samples_left == 0 => {}
            Step::Idle => {
                let may_add_root = self.nested.is_some() && !state.tables.has_root;
                for set in 0_usize..1 << self.cgroups {
                    let retire = (1..=self.cgroups).filter(|cgroup| set & 1 << (cgroup - 1) != 0);
                    let retire: Vec<Cgroup> = retire.collect();
                    let sample = |adds_root| Action::Sample { retire: retire.clone(), adds_root };
                    actions.push(sample(false));
                    actions.extend(may_add_root.then(|| sample(true)));
                }
            }
            Step::Wait if state.cpus.iter().any(|cpu| cpu.is_awaited) => {}
            at => {
                actions.push(Action::UserSpace(at));
                if let Step::Reclaim(then) = at
                    && sampler.failures_left > 0
                {
                    actions.push(Action::Refuse(then));
                }
            }
        }
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let cpu = |calls_left| Cpu {
            calls_left,
            at: At::Outside,
            cache: [None; CGROUPS],
            counters: [Calls::default(); SERIES],
            is_awaited: false,
        };
        let tables =
            Tables { free_slots: Numbers::below(SLOTS), free_series: Numbers::below(SERIES), ..Tables::default() };
        let sampler = Sampler { samples_left: self.samples, failures_left: self.failures, ..Sampler::default() };
        vec![State { cpus: self.calls.map(cpu), tables, sampler, made: Calls::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.program_actions(state, actions);
        self.user_space_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Call { cpu, cgroup } => self.begin(&mut next, cpu, cgroup),
            Action::Program { cpu, .. } => self.run(&mut next, cpu),
            Action::Sample { retire, adds_root } => sampler::sample(&mut next, &retire, adds_root),
            Action::UserSpace(_) => self.work(&mut next),
            Action::Refuse(then) => sampler::refuse(&mut next, then),
        }
        next.cpus.sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        invariants::all()
    }
}

/// Explores all states of a scenario. Panics if a property fails.
fn holds(what: &str, scenario: Scenario) -> BTreeSet<&'static str> {
    let begin = Instant::now();
    let threads = available_parallelism().map_or(1, usize::from);
    let checker = scenario.checker().threads(threads).spawn_bfs().join();
    println!("{what}: {} states in {:.1?}", checker.unique_state_count(), begin.elapsed());
    for name in invariants::ALWAYS {
        checker.assert_no_discovery(name);
    }
    assert!(checker.is_done());
    checker.discoveries().into_keys().collect()
}

/// Explores a scenario until one of these properties fails, and prints the trace.
fn breaks(what: &str, scenario: Scenario, invariants: &[&'static str]) {
    let begin = Instant::now();
    let threads = available_parallelism().map_or(1, usize::from);
    let wanted = HasDiscoveries::AnyOf(invariants.iter().copied().collect());
    let checker = scenario.checker().threads(threads).finish_when(wanted).spawn_bfs().join();
    println!("{what}: {} states in {:.1?}", checker.unique_state_count(), begin.elapsed());
    let broken = invariants.iter().find_map(|name| Some((name, checker.discovery(name)?)));
    let (name, path) = broken.unwrap_or_else(|| panic!("{what}: {invariants:?} still hold"));
    println!("not true: {name}");
    path.into_actions().iter().for_each(|action| println!("    {action:?}"));
}

#[test]
fn every_call_is_counted_once_and_for_its_own_cgroup() {
    let mut seen = holds("two calls on each CPU", Scenario { calls: [2, 2], ..PROTECTED });
    seen.extend(holds("more cgroups than slots", Scenario { cgroups: 3, ..PROTECTED }));
    assert_eq!(seen, invariants::SOMETIMES.into(), "what a model must be able to do");
}

#[test]
fn that_holds_when_the_kernel_refuses_to_take_something_back() {
    holds("a failure", Scenario { failures: 1, ..PROTECTED });
}

#[test]
fn that_holds_when_a_nested_cgroup_moves_to_the_slot_of_its_root() {
    holds("an attribution root", Scenario { nested: Some((1, 2)), ..PROTECTED });
}

#[test]
fn without_the_membarrier_calls_are_lost() {
    breaks("no membarrier", Scenario { has_membarrier: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_the_membarrier_calls_are_counted_for_others() {
    breaks("no membarrier", Scenario { has_membarrier: false, ..PROTECTED }, &[OWN]);
}

#[test]
fn without_the_owner_check_calls_are_lost() {
    breaks("no owner check", Scenario { has_owner_check: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_the_owner_check_calls_are_counted_for_others() {
    breaks("no owner check", Scenario { has_owner_check: false, ..PROTECTED }, &[OWN]);
}

#[test]
fn an_owner_that_is_read_twice_lets_calls_get_lost() {
    breaks("an owner that is read twice", Scenario { reads_owner_once: false, ..PROTECTED }, &[LOST, OWN]);
}

#[test]
fn without_the_owner_before_the_slot_calls_are_counted_for_others() {
    breaks("the slot before its owner", Scenario { has_owner_first: false, ..PROTECTED }, &[OWN]);
}
