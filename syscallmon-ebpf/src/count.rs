//! The hot path: (cgroup, ABI, number) -> slot -> series -> counter of this CPU.
//!
//! It has no atomic operation and no hash lookup. The verifier inlines its three map lookups; two of them are in
//! [`crate::slot`] and [`crate::counter`]. [`crate::allocate`] creates missing slots and series, once each.

use syscallmon_common::{LossReason, POSITIONS_PER_CGROUP};

use crate::{
    allocate::{self, Call},
    arguments::{self, Enter},
    counter::{lost, one_more},
    denied, duration,
    globals::{COUNTS_ARGUMENTS, TIMES_CALLS},
    number::{Numbered, of_call, of_operation},
    slot::slot,
    task::Task,
};

/// Counts a call at `sys_enter`.
#[inline(always)]
pub fn call(ctx: &impl Enter, task: impl Task, nr: i64) {
    denied::entered(task);
    let Numbered { abi, entry } = of_call(task, nr);
    let (cgroup_id, position) = (task.cgroup_id(), entry.position());
    // Built only on the slow paths, which need it.
    let slot = count(cgroup_id, position, || Call { cgroup_id, nr, abi, position, is_class: false });
    if TIMES_CALLS.load() != 0 && entry.is_timed() {
        duration::begin(task, position, slot);
    }
    if COUNTS_ARGUMENTS.load() != 0 && entry.has_classes() {
        arguments::entered(ctx, cgroup_id, nr, slot, u64::from(position) | (abi as u64) << 32);
    }
}

/// Counts one io_uring operation.
#[inline(always)]
pub fn operation(cgroup_id: u64, opcode: u8) {
    let nr = i64::from(opcode);
    let Numbered { abi, entry } = of_operation(opcode);
    let position = entry.position();
    count(cgroup_id, position, || Call { cgroup_id, nr, abi, position, is_class: false });
}

/// Counts a call. Returns its slot, or 0 if it was counted in the remainder.
#[inline(always)]
fn count(cgroup_id: u64, position: u32, call: impl Fn() -> Call) -> u32 {
    let Some((slot, row)) = slot(cgroup_id) else {
        allocate::without_slot(&call());
        return 0;
    };
    if position as usize >= POSITIONS_PER_CGROUP {
        lost(LossReason::Position);
        return slot;
    }
    // SAFETY: `row` points to a whole map value, and the position was just checked.
    let entry = unsafe { &raw mut (*row).series[position as usize] };
    // SAFETY: as above; other CPUs write the entry as one aligned word.
    let mut series = unsafe { entry.read_volatile() };
    // No series yet, or only one of container init: the entry is 0 or negative.
    if series as i32 <= 0 {
        match allocate::series(&call(), slot, entry) {
            Some(new) => series = new,
            None => return slot,
        }
    }
    one_more(series);
    slot
}
