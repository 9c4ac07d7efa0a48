//! The steps of the `sys_enter` programs: `count::count`, `slot` and `allocate`. Each step is one access to shared
//! memory.
//!
//! The model omits container init, errors, denied calls and durations. The hash tables of the latter three are keyed by
//! slot, so they have the same protection as the series of the row.

use crate::{
    Scenario,
    state::{At, Cached, Cgroup, Pool, Slot, State, Tables},
};

impl Scenario {
    /// Begins a call: reads the cache of this CPU, which no other CPU sees, and runs the first step.
    pub(crate) fn begin(&self, state: &mut State, number: usize, cgroup: Cgroup) {
        let cpu = &mut state.cpus[number];
        cpu.calls_left -= 1;
        cpu.at = match cpu.cache[cgroup] {
            Some(cached) if self.has_owner_check => At::CheckOwner { cgroup, cached },
            Some(Cached { slot, .. }) => At::ReadEntry { cgroup, slot },
            None => At::Find { cgroup, key: cgroup, is_last: false },
        };
        self.run(state, number);
    }

    /// Runs the next step of a program.
    pub(crate) fn run(&self, state: &mut State, cpu: usize) {
        let next = match state.cpus[cpu].at {
            At::Outside => At::Outside,
            at @ (At::CheckOwner { .. } | At::FillCache { .. } | At::FillCacheAgain { .. }) => {
                self.use_cache(state, cpu, at)
            }
            at @ (At::Find { .. } | At::ReadValue { .. } | At::CheckFound { .. } | At::FindRoot { .. }) => {
                self.find(&state.tables, at)
            }
            at @ (At::TakeSlot { .. }
            | At::Insert { .. }
            | At::WriteHolder { .. }
            | At::WriteOwner { .. }
            | At::GiveBack { .. }) => self.allocate(&mut state.tables, at),
            at => count(state, cpu, at),
        };
        state.cpus[cpu].at = next;
        if next == At::Outside {
            state.cpus[cpu].is_awaited = false;
        }
    }

    /// `slot::slot`: the cache of this CPU.
    fn use_cache(&self, state: &mut State, cpu: usize, at: At) -> At {
        let owners = &state.tables.owners;
        let cache = &mut state.cpus[cpu].cache;
        match at {
            At::CheckOwner { cgroup, cached: Cached { owner, slot } } if owners[slot] == owner => {
                At::ReadEntry { cgroup, slot }
            }
            At::CheckOwner { cgroup, .. } => At::Find { cgroup, key: cgroup, is_last: false },
            At::FillCache { cgroup, slot } => {
                let owner = owners[slot];
                cache[cgroup] = (owner != 0).then_some(Cached { owner, slot });
                if owner == 0 || self.reads_owner_once {
                    At::ReadEntry { cgroup, slot }
                } else {
                    At::FillCacheAgain { cgroup, slot }
                }
            }
            At::FillCacheAgain { cgroup, slot } => {
                cache[cgroup] = Some(Cached { owner: owners[slot], slot });
                At::ReadEntry { cgroup, slot }
            }
            at => at,
        }
    }

    /// `slot::known_slot`, and the step that follows when there is no slot.
    fn find(&self, tables: &Tables, at: At) -> At {
        let not_found = |cgroup, key, is_last| match is_last {
            true => At::Remainder { cgroup },
            false if key == cgroup && self.nested.is_some() => At::FindRoot { cgroup },
            false => At::TakeSlot { cgroup, owner: key },
        };
        match at {
            At::Find { cgroup, key, is_last } => match tables.find(key) {
                Some(element) => At::ReadValue { cgroup, key, is_last, element },
                None => not_found(cgroup, key, is_last),
            },
            At::ReadValue { cgroup, key, is_last, element } => {
                self.found(cgroup, key, is_last, tables.elements[element].slot)
            }
            At::CheckFound { cgroup, key, slot, .. } if tables.owners[slot] == key => At::FillCache { cgroup, slot },
            At::CheckFound { cgroup, key, is_last, .. } => not_found(cgroup, key, is_last),
            At::FindRoot { cgroup } => match self.nested {
                Some((nested, root)) if nested == cgroup && tables.has_root => {
                    At::Find { cgroup, key: root, is_last: false }
                }
                _ => At::TakeSlot { cgroup, owner: cgroup },
            },
            at => at,
        }
    }

    fn found(&self, cgroup: Cgroup, key: Cgroup, is_last: bool, slot: Slot) -> At {
        if self.has_owner_first {
            At::CheckFound { cgroup, key, is_last, slot }
        } else {
            At::FillCache { cgroup, slot }
        }
    }

    /// `slot::find_or_take`, after the cgroup was not found.
    fn allocate(&self, tables: &mut Tables, at: At) -> At {
        match at {
            At::TakeSlot { cgroup, owner } => match take(tables, Pool::Slots) {
                Some(slot) if self.has_owner_first => At::WriteOwner { cgroup, owner, slot },
                Some(slot) => At::Insert { cgroup, owner, slot },
                None => At::Exhausted { cgroup, pool: Pool::Slots },
            },
            At::Insert { cgroup, owner, slot } => {
                let is_known = tables.find(owner).is_some();
                match tables.elements.iter_mut().find(|element| element.key == 0) {
                    Some(element) if !is_known => {
                        (element.key, element.slot) = (owner, slot);
                        At::WriteHolder { cgroup, owner, slot }
                    }
                    _ => At::GiveBack { cgroup, owner, slot },
                }
            }
            At::WriteHolder { cgroup, owner, slot } => {
                tables.holders[slot] = owner;
                if self.has_owner_first {
                    At::FillCache { cgroup, slot }
                } else {
                    At::WriteOwner { cgroup, owner, slot }
                }
            }
            At::WriteOwner { cgroup, owner, slot } => {
                tables.owners[slot] = owner;
                if self.has_owner_first { At::Insert { cgroup, owner, slot } } else { At::FillCache { cgroup, slot } }
            }
            At::GiveBack { cgroup, owner, slot } => {
                tables.owners[slot] = 0;
                tables.free_slots.put(slot);
                At::Find { cgroup, key: owner, is_last: true }
            }
            at => at,
        }
    }

    /// The slot that a program has taken and not yet entered in `SLOTS`.
    pub(crate) fn slot_in_hand(&self, at: At) -> Option<Slot> {
        match at {
            At::Insert { slot, .. } | At::WriteHolder { slot, .. } | At::GiveBack { slot, .. } => Some(slot),
            At::WriteOwner { slot, .. } if self.has_owner_first => Some(slot),
            _ => None,
        }
    }
}

/// `count::count` after the slot is known, `allocate::series` and the remainder.
fn count(state: &mut State, cpu: usize, at: At) -> At {
    let tables = &mut state.tables;
    match at {
        At::ReadEntry { cgroup, slot } => match tables.entries[slot] {
            0 => At::TakeSeries { cgroup, slot },
            series => At::Count { cgroup, series },
        },
        At::TakeSeries { cgroup, slot } => match take(tables, Pool::Series) {
            Some(series) => {
                tables.keys[series] = slot;
                At::WriteEntry { cgroup, slot, series }
            }
            None => At::Exhausted { cgroup, pool: Pool::Series },
        },
        At::WriteEntry { cgroup, slot, series } => {
            tables.entries[slot] = series;
            At::Count { cgroup, series }
        }
        At::Count { cgroup, series } => {
            let counters = &mut state.cpus[cpu].counters;
            counters[series] = counters[series].one_more(cgroup);
            state.made = state.made.one_more(cgroup);
            At::Outside
        }
        At::Exhausted { cgroup, pool } => {
            tables.exhausted[pool as usize] = true;
            count(state, cpu, At::Remainder { cgroup })
        }
        At::Remainder { cgroup } => {
            tables.remainder = tables.remainder.one_more(cgroup);
            state.made = state.made.one_more(cgroup);
            At::Outside
        }
        at => at,
    }
}

/// `pool::take`.
fn take(tables: &mut Tables, pool: Pool) -> Option<usize> {
    if tables.exhausted[pool as usize] {
        return None;
    }
    match pool {
        Pool::Slots => tables.free_slots.take(),
        Pool::Series => tables.free_series.take(),
    }
}

impl At {
    /// The cgroup of the call that the program counts.
    pub(crate) fn cgroup(self) -> Option<Cgroup> {
        match self {
            Self::Outside => None,
            Self::CheckOwner { cgroup, .. }
            | Self::Find { cgroup, .. }
            | Self::ReadValue { cgroup, .. }
            | Self::CheckFound { cgroup, .. }
            | Self::FindRoot { cgroup }
            | Self::TakeSlot { cgroup, .. }
            | Self::Insert { cgroup, .. }
            | Self::WriteHolder { cgroup, .. }
            | Self::WriteOwner { cgroup, .. }
            | Self::GiveBack { cgroup, .. }
            | Self::FillCache { cgroup, .. }
            | Self::FillCacheAgain { cgroup, .. }
            | Self::ReadEntry { cgroup, .. }
            | Self::TakeSeries { cgroup, .. }
            | Self::WriteEntry { cgroup, .. }
            | Self::Count { cgroup, .. }
            | Self::Exhausted { cgroup, .. }
            | Self::Remainder { cgroup } => Some(cgroup),
        }
    }
}
