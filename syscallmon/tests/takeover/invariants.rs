//! What must hold in every state. Some things must also happen in some state; otherwise an idle model would pass.

use std::cell::RefCell;

use stateright::Property;

use crate::{
    Scenario,
    daemon::{end, is_quiet, pinned, start},
    state::{At, BORN, Daemon, ENDING, PROBES, Pins, State, Step, World},
};

pub(crate) const ONE_DAEMON: &str = "one daemon is past the lock";
pub(crate) const LOST: &str = "no counted call is lost";
pub(crate) const TWICE: &str = "no call is counted twice";
pub(crate) const FELL: &str = "published totals do not fall";
pub(crate) const UNSAID: &str = "a gap is said";
pub(crate) const ONE_TABLE: &str = "the next daemon leaves one directory of tables";
pub(crate) const ALWAYS: [&str; 6] = [ONE_DAEMON, LOST, TWICE, FELL, UNSAID, ONE_TABLE];

pub(crate) const REFUSED: &str = "a daemon finds the totals locked";
pub(crate) const LATE: &str = "a program counts in tables that no entry has";
pub(crate) const MIXED: &str = "entries have programs of two daemons";
pub(crate) const TWO: &str = "a daemon takes the tables of two daemons over";
pub(crate) const HALF: &str = "a daemon finds half-written tables";
pub(crate) const AGAIN: &str = "a slot is used again";
pub(crate) const FULL: &str = "a call is in the remainder";
pub(crate) const DONE: &str = "a daemon has removed the tables of the daemons before";
pub(crate) const GAP: &str = "a daemon knows of a gap";

/// All properties.
pub(crate) fn all() -> Vec<Property<Scenario>> {
    let mut all = vec![
        Property::always(ONE_DAEMON, |_, state: &State| {
            state.daemons.iter().filter(|daemon| daemon.has_lock).count() <= 1
        }),
        Property::always(LOST, |scenario, state| !future(scenario, state).loses),
        Property::always(TWICE, |scenario, state| !future(scenario, state).doubles),
        Property::always(FELL, |_, state: &State| !state.world.has_fallen),
        Property::always(UNSAID, |scenario, state| !future(scenario, state).hides_gap),
        Property::always(ONE_TABLE, |scenario, state| !future(scenario, state).leaves_tables),
    ];
    all.extend(sometimes());
    all
}

fn any(state: &State, is: fn(&Daemon, &World) -> bool) -> bool {
    state.daemons.iter().any(|daemon| is(daemon, &state.world))
}

fn sometimes() -> [Property<Scenario>; 9] {
    [
        Property::sometimes(REFUSED, |_, state| {
            any(state, |daemon, world| daemon.at == Step::ReadTotals && world.is_directory_locked)
        }),
        Property::sometimes(LATE, |_, state: &State| {
            let entries = state.world.entries;
            state.world.cpus.iter().any(|cpu| matches!(cpu.at, At::Count { id, .. } if !entries.contains(&id)))
        }),
        Property::sometimes(MIXED, |_, state: &State| {
            let [first, second] = state.world.entries;
            first != second && second != 0
        }),
        Property::sometimes(TWO, |_, state| {
            any(state, |daemon, _| daemon.at == Step::Running && daemon.previous.iter().count() == 2)
        }),
        Property::sometimes(HALF, |_, state| {
            any(state, |daemon, world| {
                daemon.at == Step::OpenTables && world.tables.iter().any(|table| table.pins == Pins::Half)
            })
        }),
        Property::sometimes(AGAIN, |_, state: &State| {
            // No other tables were there when the first cgroup counted.
            let World { tables, made, next_id, .. } = &state.world;
            *next_id == 2 && made[ENDING] != [0; PROBES] && tables[1].slot.holder == BORN
        }),
        Property::sometimes(FULL, |_, state: &State| state.world.made[0] != [0; PROBES]),
        Property::sometimes(DONE, |_, state| {
            any(state, |daemon, world| daemon.at == Step::Running && daemon.id > 1 && pinned(world).iter().count() == 1)
        }),
        Property::sometimes(GAP, |_, state| {
            any(state, |daemon, _| daemon.at == Step::Running && daemon.first_with_gap.is_some())
        }),
    ]
}

/// What is wrong with the totals that follow.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each property")]
struct Future {
    loses: bool,
    doubles: bool,
    hides_gap: bool,
    leaves_tables: bool,
}

/// What the next sample of each daemon that counts finds, and what the next daemon finds after a crash of all. Nothing
/// is wrong while a program runs: it will end.
fn future(scenario: &Scenario, state: &State) -> Future {
    thread_local! {
        /// All properties of a state are asked for after each other.
        static LAST: RefCell<Option<(Scenario, State, Future)>> = const { RefCell::new(None) };
    }
    let is_same = |of: &Scenario, last: &State| of == scenario && last == state;
    let last = LAST.with_borrow(|last| last.as_ref().filter(|(of, last, _)| is_same(of, last)).map(|last| last.2));
    last.unwrap_or_else(|| {
        let future = if is_quiet(&state.world) { find_future(scenario, state) } else { Future::default() };
        LAST.set(Some((*scenario, state.clone(), future)));
        future
    })
}

fn find_future(scenario: &Scenario, state: &State) -> Future {
    let running = state.daemons.iter().filter(|daemon| daemon.at == Step::Running);
    let sampled = running.map(|daemon| {
        let (mut world, mut daemon) = (state.world.clone(), *daemon);
        scenario.sample(&mut world, &mut daemon, false);
        (world, daemon)
    });
    let next = next_daemon(scenario, state);
    let leaves_tables = pinned(&next.0).iter().count() != 1;
    sampled.chain([next]).fold(Future { leaves_tables, ..Future::default() }, |future, (world, daemon)| Future {
        loses: future.loses || loses(&world, &daemon),
        doubles: future.doubles || doubles(&world, &daemon),
        hides_gap: future.hides_gap || (world.has_missed && daemon.model.is_whole),
        ..future
    })
}

/// The state after all daemons crashed, and one started that nothing disturbs. It has sampled and saved once.
fn next_daemon(scenario: &Scenario, state: &State) -> (World, Daemon) {
    let mut world = state.world.clone();
    state.daemons.iter().for_each(|daemon| end(&mut world, &mut daemon.clone()));
    let mut daemon = Daemon::default();
    world.left.starts += 1;
    start(&mut world, &mut daemon, 0);
    let until_running = |world: &mut World, daemon: &mut Daemon| {
        while Scenario::may_step(world, daemon) {
            scenario.step(world, daemon);
        }
    };
    until_running(&mut world, &mut daemon);
    scenario.sample(&mut world, &mut daemon, false);
    while daemon.newest.is_some() {
        scenario.write(&mut world, &mut daemon, false);
    }
    scenario.saved(&mut world, &mut daemon);
    until_running(&mut world, &mut daemon);
    (world, daemon)
}

fn loses(world: &World, daemon: &Daemon) -> bool {
    // The documented limit: after a failed save, calls of cgroups that ended may be lost.
    let may_lose = |cgroup| cgroup == ENDING && world.has_failed && world.has_ended;
    let mut counts = world.made.iter().zip(daemon.model.totals).enumerate();
    counts.any(|(cgroup, (made, counted))| !may_lose(cgroup) && made.iter().zip(counted).any(|(made, of)| of < *made))
}

fn doubles(world: &World, daemon: &Daemon) -> bool {
    let mut counts = world.made.iter().zip(daemon.model.totals);
    counts.any(|(made, counted)| made.iter().zip(counted).any(|(made, counted)| counted > *made))
}
