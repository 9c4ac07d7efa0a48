//! The steps of user space: `Sampler::sample`, from `Tables::retire` to `Tables::free`.

use crate::{
    Scenario,
    state::{At, CGROUPS, Calls, Cgroup, Numbers, ReclaimOp, SERIES, SLOTS, Sampler, State, Step, Then},
};

/// `Sampler::retire_dead`: begins a sample that reclaims the slots of these cgroups, which may be alive. Finds their
/// slots in `SLOTS`.
pub(crate) fn sample(state: &mut State, retire: &[Cgroup], adds_root: bool) {
    let State { tables, sampler, .. } = state;
    sampler.samples_left -= 1;
    sampler.adds_root = adds_root;
    sampler.retired = (1..SLOTS).filter(|&slot| retire.contains(&tables.holders[slot])).collect();
    sampler.queue.extend(sampler.retired.iter().map(|slot| ReclaimOp::Cgroup(tables.holders[slot])));
    reclaim(state, Then::ClearOwners);
}

impl Scenario {
    /// Runs the next step of user space.
    pub(crate) fn work(&self, state: &mut State) {
        match state.sampler.at {
            Step::Idle => {}
            Step::Reclaim(then) => {
                reclaim_one(state);
                reclaim(state, then);
            }
            Step::ClearOwner(mut left) => {
                left.take().into_iter().for_each(|slot| state.tables.owners[slot] = 0);
                if left.is_empty() {
                    self.wait(state);
                } else {
                    state.sampler.at = Step::ClearOwner(left);
                }
            }
            Step::Wait => state.sampler.at = Step::Snapshot,
            Step::Snapshot => {
                apply(state);
                state.sampler.queue.extend(state.sampler.adds_root.then_some(ReclaimOp::AddRoot));
                reclaim(state, Then::Clear);
            }
            Step::Clear => {
                clear(state);
                reclaim(state, Then::ClearExhausted);
            }
            Step::ClearExhausted => {
                state.tables.exhausted = [false; 2];
                let Sampler { retired, counted, at, adds_root, .. } = &mut state.sampler;
                retired.iter().for_each(|slot| counted[slot] = None);
                (*retired, *at, *adds_root) = (Numbers::default(), Step::Idle, false);
            }
        }
    }

    /// `kernel::wait_for_programs`: marks the programs that run now.
    fn wait(&self, state: &mut State) {
        state.cpus.iter_mut().for_each(|cpu| cpu.is_awaited = self.has_membarrier && cpu.at != At::Outside);
        state.sampler.at = Step::Wait;
    }
}

/// `ReclaimQueue::reclaim`: does not run the program for an empty queue.
fn reclaim(state: &mut State, then: Then) {
    if state.sampler.queue.is_empty() {
        after(state, then);
    } else {
        state.sampler.at = Step::Reclaim(then);
    }
}

/// The kernel refuses. The remaining entries stay in the queue.
pub(crate) fn refuse(state: &mut State, then: Then) {
    state.sampler.failures_left -= 1;
    if then == Then::ClearOwners {
        state.sampler.retired = Numbers::default();
    }
    after(state, then);
}

/// The step after a list is done or given up.
fn after(state: &mut State, then: Then) {
    let sampler = &mut state.sampler;
    sampler.at = match then {
        Then::ClearOwners if sampler.retired.is_empty() => Step::Snapshot,
        Then::ClearOwners => Step::ClearOwner(sampler.retired),
        Then::Clear => Step::Clear,
        Then::ClearExhausted => Step::ClearExhausted,
    };
}

/// `reclaim::reclaim` in the kernel: one entry.
fn reclaim_one(state: &mut State) {
    let tables = &mut state.tables;
    match state.sampler.queue.pop_front() {
        Some(ReclaimOp::Cgroup(cgroup)) => {
            if let Some(element) = tables.find(cgroup) {
                tables.elements[element].key = 0;
            }
        }
        Some(ReclaimOp::Slot(slot)) => tables.free_slots.put(slot),
        Some(ReclaimOp::Series(series)) => tables.free_series.put(series),
        Some(ReclaimOp::AddRoot) => tables.has_root = true,
        None => {}
    }
}

/// `Tables::read_series`, `LastRead::read_series`, `Tables::slot_counts` and `Model::apply`.
fn apply(state: &mut State) {
    let State { cpus, tables, sampler, .. } = state;
    for series in 1..SERIES {
        let (mut sum, key) = (Calls::default(), tables.keys[series]);
        for cpu in cpus.iter() {
            sum.add(cpu.counters[series]);
        }
        let (known_key, known) = std::mem::replace(&mut sampler.read[series], (key, sum));
        sampler.counts[key].add(sum.since(if known_key == key { known } else { Calls::default() }));
    }
    for slot in (1..SLOTS).filter(|&slot| tables.holders[slot] != 0) {
        let counts = sampler.counts[slot];
        let known = sampler.counted[slot].map_or_else(Calls::default, |(_, counts)| counts);
        sampler.totals[tables.holders[slot]].add(counts.since(known));
        sampler.counted[slot] = Some((tables.holders[slot], counts));
    }
}

/// `Tables::free`, before the kernel reclaims the listed numbers.
fn clear(state: &mut State) {
    let State { cpus, tables, sampler, .. } = state;
    let retired = sampler.retired;
    for series in 1..SERIES {
        let slot = tables.keys[series];
        if !retired.has(slot) {
            continue;
        }
        for cpu in cpus.iter_mut() {
            cpu.counters[series] = Calls::default();
        }
        tables.entries[slot] = 0;
        tables.keys[series] = 0;
        sampler.read[series] = Default::default();
        sampler.queue.push_back(ReclaimOp::Series(series));
    }
    for slot in retired.iter() {
        tables.holders[slot] = 0;
        sampler.counts[slot] = Calls::default();
        sampler.queue.push_back(ReclaimOp::Slot(slot));
    }
}

/// The state after one more undisturbed sample that reclaims every slot. Only for states in which no program runs.
pub(crate) fn settled(scenario: &Scenario, state: &State) -> State {
    let mut settled = state.clone();
    settled.sampler.samples_left += 1;
    let everything: Vec<Cgroup> = (1..CGROUPS).collect();
    sample(&mut settled, &everything, false);
    while settled.sampler.at != Step::Idle {
        scenario.work(&mut settled);
    }
    settled
}
