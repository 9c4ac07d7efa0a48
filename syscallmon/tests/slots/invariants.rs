//! What must hold in every state. Some things must also happen in some state; otherwise an idle model would pass.

use stateright::Property;

use crate::{
    Scenario,
    sampler::settled,
    state::{At, CGROUPS, Calls, Numbers, ReclaimOp, SERIES, SLOTS, State, Step},
};

pub(crate) const OWN: &str = "calls are counted for their own cgroup";
pub(crate) const TWICE: &str = "no call is counted twice";
pub(crate) const LOST: &str = "no call is lost";
pub(crate) const ONE_OWNER: &str = "a slot is in one place";
pub(crate) const ONE_SLOT: &str = "a series is in one place";
pub(crate) const FREE_AGAIN: &str = "what is retired is free again after one sample that nothing disturbs";
pub(crate) const ALWAYS: [&str; 6] = [OWN, TWICE, LOST, ONE_OWNER, ONE_SLOT, FREE_AGAIN];

const USED_AGAIN: &str = "a cached slot is another cgroup's";
const DUPLICATE: &str = "a call has two series";
const SECOND: &str = "a slot is put back, since another CPU was first";
const FULL: &str = "a call is in the remainder";
pub(crate) const SOMETIMES: [&str; 4] = [USED_AGAIN, DUPLICATE, SECOND, FULL];

/// All properties.
pub(crate) fn all() -> Vec<Property<Scenario>> {
    vec![
        Property::always(OWN, |scenario, state| !is_at_rest(state) || is_own(scenario, &settled(scenario, state))),
        Property::always(TWICE, |_, state| not_twice(state)),
        Property::always(LOST, |scenario, state| {
            !is_at_rest(state) || counted(&settled(scenario, state)) == state.made
        }),
        Property::always(ONE_OWNER, |scenario, state| {
            (1..SLOTS).all(|slot| places_of_slot(scenario, state, slot) == 1)
        }),
        Property::always(ONE_SLOT, |_, state| (1..SERIES).all(|series| places_of_series(state, series) == 1)),
        Property::always(FREE_AGAIN, |scenario, state| !is_at_rest(state) || is_all_free(&settled(scenario, state))),
        Property::sometimes(USED_AGAIN, |_, state| (1..SLOTS).any(|slot| is_used_again(state, slot))),
        Property::sometimes(DUPLICATE, |_, state: &State| {
            (1..SLOTS).any(|slot| state.tables.keys.iter().filter(|&&key| key == slot).count() > 1)
        }),
        Property::sometimes(SECOND, |_, state: &State| {
            state.cpus.iter().any(|cpu| matches!(cpu.at, At::GiveBack { .. }))
        }),
        Property::sometimes(FULL, |_, state: &State| state.tables.remainder.sum() > 0),
    ]
}

/// Whether no program runs and user space is idle.
fn is_at_rest(state: &State) -> bool {
    state.sampler.at == Step::Idle && state.cpus.iter().all(|cpu| cpu.at == At::Outside)
}

/// Whether totals contain only calls of their own cgroup, or of a cgroup nested in it.
fn is_own(scenario: &Scenario, state: &State) -> bool {
    let may_have = |of, by| of == by || scenario.nested == Some((by, of));
    let has = |of: usize, by| state.sampler.totals[of].of(by) > 0;
    (1..CGROUPS).all(|of| (1..CGROUPS).all(|by| may_have(of, by) || !has(of, by)))
}

/// Whether totals and the remainder together contain no more calls than were made or are under way.
fn not_twice(state: &State) -> bool {
    let mut begun = state.made;
    for cgroup in state.cpus.iter().filter_map(|cpu| cpu.at.cgroup()) {
        begun = begun.one_more(cgroup);
    }
    let counted = counted(state);
    (1..CGROUPS).all(|cgroup| counted.of(cgroup) <= begun.of(cgroup))
}

/// The sum of all totals and the remainder.
fn counted(state: &State) -> Calls {
    let mut counted = state.tables.remainder;
    state.sampler.totals.iter().for_each(|calls| counted.add(*calls));
    counted
}

/// The number of places that have a slot: free list, cgroup, reclaim queue, program.
fn places_of_slot(scenario: &Scenario, state: &State, slot: usize) -> usize {
    let tables = &state.tables;
    usize::from(tables.free_slots.has(slot))
        + usize::from(tables.holders[slot] != 0)
        + state.sampler.queue.iter().filter(|&&entry| entry == ReclaimOp::Slot(slot)).count()
        + state.cpus.iter().filter(|cpu| scenario.slot_in_hand(cpu.at) == Some(slot)).count()
}

fn places_of_series(state: &State, series: usize) -> usize {
    let tables = &state.tables;
    usize::from(tables.free_series.has(series))
        + usize::from(tables.keys[series] != 0)
        + state.sampler.queue.iter().filter(|&&entry| entry == ReclaimOp::Series(series)).count()
}

/// Whether every number is free and all tables are clean.
fn is_all_free(state: &State) -> bool {
    let tables = &state.tables;
    tables.free_slots == Numbers::below(SLOTS)
        && tables.free_series == Numbers::below(SERIES)
        && tables.elements.iter().all(|element| element.key == 0)
        && tables.entries.iter().chain(&tables.owners).all(|&entry| entry == 0)
        && tables.exhausted == [false; 2]
        && state.cpus.iter().all(|cpu| cpu.counters.iter().all(|calls| calls.sum() == 0))
}

/// Whether a CPU's cache still has a slot for a cgroup that lost it.
fn is_used_again(state: &State, slot: usize) -> bool {
    let holder = state.tables.holders[slot];
    let mut cached = state.cpus.iter().flat_map(|cpu| cpu.cache).flatten();
    holder != 0 && cached.any(|cached| cached.slot == slot && cached.owner != holder)
}
