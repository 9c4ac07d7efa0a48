//! The hot path: (cgroup, ABI, number) -> slot -> series -> this CPU's counter.
//!
//! No atomic and no hash lookup, and three map lookups that the verifier inlines: two of them in [`crate::slot`] and
//! [`crate::counter`]. Whatever is missing is made by [`crate::allocate`], once.

use syscallmon_common::{LossReason, POSITIONS_PER_CGROUP};

use crate::{
    allocate::{self, Call},
    counter::{lost, one_more},
    denied, duration,
    globals::TIMES_CALLS,
    number::{Numbered, of_call, of_operation},
    slot::slot,
    task::Task,
};

/// Counts a call that a task begins.
#[inline(always)]
pub fn call(task: impl Task, nr: i64) {
    denied::entered(task);
    let Numbered { abi, entry } = of_call(task, nr);
    let (cgroup_id, position) = (task.cgroup_id(), entry.position());
    // Made where it is needed only, on the slow paths.
    let slot = count(cgroup_id, position, || Call { cgroup_id, nr, abi, position });
    if TIMES_CALLS.load() != 0 && entry.is_timed() {
        duration::begin(task, position, slot);
    }
}

/// Counts one operation that was given to io_uring.
#[inline(always)]
pub fn operation(cgroup_id: u64, opcode: u8) {
    let nr = i64::from(opcode);
    let Numbered { abi, entry } = of_operation(opcode);
    let position = entry.position();
    count(cgroup_id, position, || Call { cgroup_id, nr, abi, position });
}

/// Counts a call; the slot that it belongs to, 0 for the remainder.
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
    // None yet, or none of the container's own: the flag is the sign.
    if series as i32 <= 0 {
        match allocate::series(&call(), slot, entry) {
            Some(new) => series = new,
            None => return slot,
        }
    }
    one_more(series);
    slot
}
