//! A model of the pinned mode: takeover, handover and lease. stateright explores every order of events.
//!
//! Daemons start one after the other, or two at once, and crash at any step. Programs count on two CPUs meanwhile, also
//! late: after the entry that they read was changed. `state.rs` has the states, `program.rs` the kernel side and the
//! host, `daemon.rs` a start until the takeover, `sampler.rs` samples, saves and what follows them, `invariants.rs` the
//! properties. Each step names the function that it stands for. A change of `syscallmon/src/kernel/pinned/`,
//! `syscallmon/src/engine/sampler/handover.rs`, `syscallmon/src/command/continuation.rs`,
//! `syscallmon/src/store/totals.rs` or `Tables::free` needs the same change here.
//!
//! A property holds in a state if it holds for the totals of the next sample, and for the totals of a next daemon after
//! a crash in this state. `protections.rs` takes each protection away, and the checker must find the fault.
//!
//! Counting itself is one step here: `tests/slots` explores it. Cgroups are retired only after their end. A live cgroup
//! that is retired can lose calls if it gets the same slot again, makes exactly as many calls as before, and the daemon
//! crashes before the next save: `freed` does not tell the two uses of the slot apart.
//!
//! Not in the model: other dispatchers or another layout of tables, states of threads, a lost file of totals, and two
//! daemons with one directory of pins and two state directories.

mod daemon;
mod invariants;
mod program;
mod protections;
mod sampler;
mod state;

use std::{collections::BTreeSet, thread::available_parallelism, time::Instant};

use invariants::{AGAIN, DONE, FULL, GAP, HALF, LATE, MIXED, REFUSED, TWO};
use program::HostAction;
use state::{CGROUPS, Daemon, File, Lease, Left, PROBES, State, Step, TABLES, Table, World};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// The size of a scenario, and the protections that are active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "protections that are taken away one at a time")]
pub(crate) struct Scenario {
    /// Daemons at the same time.
    processes: usize,
    /// Probes that see calls.
    probes: usize,
    /// Samples of each daemon, besides the last one of an orderly end.
    samples: u8,
    /// What may happen how often.
    left: Left,
    /// Whether a cgroup may end, and another one may be born later.
    has_ends: bool,
    has_births: bool,
    /// Whether published totals are compared. Otherwise, there are fewer states.
    publishes: bool,
    /// `directory::Directory::lock` keeps a second daemon out.
    locks_pins: bool,
    /// `Continuation::read` ends the daemon if another one uses the file of totals.
    ends_if_locked: bool,
    /// `TotalsFile::read` makes the directory, so that it has the lock even if there is no file.
    makes_directory: bool,
    /// `load::load` pins tables and description before a program of the daemon runs.
    describes_first: bool,
    /// `load::load` waits for programs of the daemon before.
    waits_for_programs: bool,
    /// `Sampler::saved` removes tables, and not `Sampler::take_over`.
    saves_before_removal: bool,
    /// `Sampler::saved` frees slots, and not `Sampler::sample`.
    frees_after_save: bool,
    /// `Sampler::saved` frees only slots that are in the saved state.
    compares_numbers: bool,
    /// `Sampler::take_over` skips tables of earlier generations than the file's, also if they could not be removed.
    skips_earlier: bool,
    /// `Sampler::take_over_tables` skips freed slots.
    knows_freed: bool,
    /// `Tables::free` clears the owner of a slot before its series.
    clears_holder_first: bool,
    /// `Sampler::take_over` gives slots of other tables than those of the file other numbers.
    knows_generation: bool,
    /// `Model::apply_slot` uses the baseline of the same cgroup only.
    compares_cgroup: bool,
    /// `file::replace_without_sync` renames the file.
    renames: bool,
    /// `Sampler::take_over` asks `Kernel::has_gap`.
    reports_gap: bool,
    /// `Dispatchers::renew_lease` lets programs run again only after it saw that the lease had ended.
    looks_before_renewal: bool,
    /// `Dispatchers::renew_lease` leaves a mark until saved totals know of the gap.
    marks_gap: bool,
    /// `Sampler::take_over_tables` forgets births of cgroups in the ring buffers too.
    forgets_after_events: bool,
}

/// What happens in a scenario: two daemons after each other.
const LEFT: Left = Left { calls: 2, starts: 2, crashes: 1, stops: 0, failures: 0, refusals: 0, ends: 0 };

/// The real protocol: all protections are active.
const PROTECTED: Scenario = Scenario {
    processes: 1,
    probes: 1,
    samples: 2,
    left: LEFT,
    has_ends: true,
    has_births: false,
    publishes: false,
    locks_pins: true,
    ends_if_locked: true,
    makes_directory: true,
    describes_first: true,
    waits_for_programs: true,
    saves_before_removal: true,
    frees_after_save: true,
    compares_numbers: true,
    skips_earlier: true,
    knows_freed: true,
    clears_holder_first: true,
    knows_generation: true,
    compares_cgroup: true,
    renames: true,
    reports_gap: true,
    looks_before_renewal: true,
    marks_gap: true,
    forgets_after_events: true,
};

const TWO_CRASHES: Left = Left { crashes: 2, ..LEFT };
const THREE: Left = Left { starts: 3, ..TWO_CRASHES };

/// A lease that ends, and a cgroup that is born.
const LEASE: Scenario =
    Scenario { has_ends: false, has_births: true, left: Left { calls: 1, ends: 1, ..LEFT }, ..PROTECTED };

/// A possible next event. Daemons are numbered anew in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Host(HostAction),
    /// A daemon is started.
    Start,
    /// A daemon does its next step.
    Step {
        daemon: usize,
        at: Step,
    },
    /// The sampler takes a sample; at SIGTERM, the last one.
    Sample {
        daemon: usize,
        stops: bool,
    },
    /// The saver writes the newest totals, or fails.
    Write {
        daemon: usize,
        fails: bool,
    },
    /// The sampler learns that totals were written.
    Saved {
        daemon: usize,
    },
    /// The kernel does not remove tables.
    Refuse {
        daemon: usize,
    },
    /// SIGKILL.
    Crash {
        daemon: usize,
    },
}

impl Scenario {
    fn daemon_actions(world: &World, daemon: usize, of: &Daemon, actions: &mut Vec<Action>) {
        let (left, at) = (world.left, of.at);
        if at == Step::Absent {
            return;
        }
        if Self::may_step(world, of) {
            actions.push(Action::Step { daemon, at });
        }
        let is_running = at == Step::Running;
        let writes = of.newest.is_some() && of.answer.is_none() && (is_running || at == Step::Ending);
        let possible = [
            (is_running && of.samples > 0, Action::Sample { daemon, stops: false }),
            (is_running && left.stops > 0, Action::Sample { daemon, stops: true }),
            (writes, Action::Write { daemon, fails: false }),
            (writes && left.failures > 0, Action::Write { daemon, fails: true }),
            (is_running && of.answer.is_some(), Action::Saved { daemon }),
            (matches!(at, Step::Remove { .. }) && left.refusals > 0, Action::Refuse { daemon }),
            // The properties look at a crash in each state. Here, it lets another daemon start.
            (left.crashes > 0 && left.starts > 0, Action::Crash { daemon }),
        ];
        actions.extend(possible.into_iter().filter(|(is_possible, _)| *is_possible).map(|(_, action)| action));
    }

    fn of_daemon(&self, world: &mut World, daemon: &mut Daemon, action: Action) {
        match (action, daemon.at) {
            (Action::Step { .. }, _) => self.step(world, daemon),
            (Action::Sample { stops, .. }, _) => {
                world.left.stops -= u8::from(stops);
                daemon.samples -= u8::from(!stops);
                self.sample(world, daemon, stops);
            }
            (Action::Write { fails, .. }, _) => self.write(world, daemon, fails),
            (Action::Saved { .. }, _) => self.saved(world, daemon),
            (Action::Refuse { .. }, Step::Remove { left, frees }) => self.refuse(world, daemon, left, frees),
            (Action::Crash { .. }, _) => {
                world.left.crashes -= 1;
                daemon::end(world, daemon);
            }
            (Action::Host(_) | Action::Start | Action::Refuse { .. }, _) => {}
        }
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let world = World {
            cpus: Default::default(),
            entries: [0; PROBES],
            lease: Lease::default(),
            tables: [Table::default(); TABLES],
            next_id: 1,
            has_gap_mark: false,
            is_locked: false,
            has_directory: false,
            is_directory_locked: false,
            file: File::None,
            is_born: !self.has_births,
            has_ended: false,
            left: self.left,
            made: [[0; PROBES]; CGROUPS],
            has_missed: false,
            has_failed: false,
            published: [[0; PROBES]; CGROUPS],
            has_fallen: false,
        };
        vec![State { world, daemons: Default::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let State { world, daemons } = state;
        let mut of_host = Vec::new();
        self.host_actions(world, &mut of_host);
        actions.extend(of_host.into_iter().map(Action::Host));
        let running = daemons.iter().filter(|daemon| daemon.at != Step::Absent).count();
        actions.extend((running < self.processes && world.left.starts > 0).then_some(Action::Start));
        for (number, daemon) in daemons.iter().enumerate() {
            Self::daemon_actions(world, number, daemon, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let State { world, daemons } = &mut next;
        match action {
            Action::Host(action) => Self::happen(world, action),
            Action::Start => {
                let absent = daemons.iter_mut().find(|daemon| daemon.at == Step::Absent)?;
                daemon::start(world, absent, self.samples);
            }
            Action::Step { daemon, .. }
            | Action::Sample { daemon, .. }
            | Action::Write { daemon, .. }
            | Action::Saved { daemon }
            | Action::Refuse { daemon }
            | Action::Crash { daemon } => self.of_daemon(world, &mut daemons[daemon], action),
        }
        daemons.sort_unstable();
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
        if let Some(path) = checker.discovery(name) {
            println!("not true: {name}");
            path.into_actions().iter().for_each(|action| println!("    {action:?}"));
            panic!("{what}: not true: {name}");
        }
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
fn every_counted_call_is_in_the_totals_once_whenever_daemons_crash() {
    let counted = Scenario { publishes: true, probes: 2, ..PROTECTED };
    let mut seen = holds("two daemons", Scenario { left: Left { calls: 3, crashes: 2, ..LEFT }, ..counted });
    seen.extend(holds("three daemons", Scenario { left: THREE, ..counted }));
    let expected = [LATE, MIXED, TWO, HALF, AGAIN, FULL, DONE];
    assert!(expected.iter().all(|name| seen.contains(name)), "what a model must be able to do: {seen:?}");
}

#[test]
fn that_holds_for_daemons_that_overlap() {
    let left = Left { stops: 2, ..LEFT };
    let mut seen = holds("two at once", Scenario { processes: 2, probes: 2, publishes: true, left, ..PROTECTED });
    let left = Left { stops: 1, failures: 1, refusals: 1, ..TWO_CRASHES };
    seen.extend(holds("two at once with failures", Scenario { processes: 2, publishes: true, left, ..PROTECTED }));
    let left = Left { stops: 1, ..THREE };
    seen.extend(holds("two at once of three", Scenario { processes: 2, left, ..PROTECTED }));
    assert!(seen.contains(REFUSED), "{seen:?}");
}

#[test]
fn that_holds_when_totals_cannot_be_saved_or_tables_cannot_be_removed() {
    let counted = Scenario { publishes: true, ..PROTECTED };
    holds("a failed save", Scenario { left: Left { calls: 3, failures: 1, stops: 1, ..LEFT }, ..counted });
    holds("a failed save of three daemons", Scenario { left: Left { failures: 1, ..THREE }, ..counted });
    holds("tables that stay", Scenario { left: Left { refusals: 1, ..THREE }, ..counted });
}

#[test]
fn a_gap_after_the_lease_is_said_whenever_daemons_crash() {
    let mut seen = holds("the lease ends twice", Scenario { left: Left { ends: 2, ..TWO_CRASHES }, ..LEASE });
    seen.extend(holds("three daemons and a lease", Scenario { samples: 1, left: Left { ends: 1, ..THREE }, ..LEASE }));
    let left = Left { ends: 2, calls: 1, failures: 1, ..LEFT };
    seen.extend(holds("a lease and a failed save", Scenario { left, ..LEASE }));
    assert!(seen.contains(GAP), "{seen:?}");
}
