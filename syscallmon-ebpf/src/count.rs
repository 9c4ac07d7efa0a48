//! The hot path: (cgroup, ABI, number) -> slot -> series -> this CPU's counter.
//!
//! No atomic and no hash lookup, and three map lookups that the verifier inlines. Whatever is missing is
//! made by [`crate::allocate`], once.

use aya_ebpf::{EbpfContext, helpers::bpf_get_smp_processor_id};
use syscallmon_common::{IndexRow, Loss, POSITIONS_PER_CGROUP, SLOT_CACHE_LEN};

use crate::{
    allocate::{self, Call},
    denied, duration,
    globals::{SERIES_PER_CPU, TIMES_CALLS},
    maps::{COUNTERS, SERIES_INDEX, SLOT_CACHE},
    number::{Numbered, of_call, of_operation},
    task::Task,
};

/// Counts a call that a task begins.
#[inline(always)]
pub fn call<C: EbpfContext>(ctx: &C, task: impl Task, nr: i64) {
    denied::entered(task);
    let Numbered { abi, entry } = of_call(task, nr);
    let (cgroup_id, position) = (task.cgroup_id(), entry.position());
    // Made where it is needed only, on the slow paths.
    let slot = count(ctx, cgroup_id, position, || Call { cgroup_id, nr, abi, position });
    if TIMES_CALLS.load() != 0 && entry.is_timed() {
        duration::begin(task, position, slot);
    }
}

/// Counts one operation that was given to io_uring.
#[inline(always)]
pub fn operation<C: EbpfContext>(ctx: &C, cgroup_id: u64, opcode: u8) {
    let nr = i64::from(opcode);
    let Numbered { abi, entry } = of_operation(opcode);
    let position = entry.position();
    count(ctx, cgroup_id, position, || Call { cgroup_id, nr, abi, position });
}

/// Counts a call; the slot that it belongs to, 0 for the remainder.
#[inline(always)]
fn count<C: EbpfContext>(ctx: &C, cgroup_id: u64, position: u32, call: impl Fn() -> Call) -> u32 {
    let Some((slot, row)) = slot(ctx, cgroup_id) else {
        allocate::without_slot(&call());
        return 0;
    };
    if position as usize >= POSITIONS_PER_CGROUP {
        allocate::lost(Loss::Position);
        return slot;
    }
    // SAFETY: `row` points to a whole map value, and the position was just checked.
    let entry = unsafe { &raw mut (*row).series[position as usize] };
    // SAFETY: as above; other CPUs write the entry as one aligned word.
    let mut series = unsafe { entry.read_volatile() };
    // None yet, or none of the container's own: the flag is the sign.
    if series as i32 <= 0 {
        match allocate::series(ctx, &call(), slot, entry) {
            Some(new) => series = new,
            None => return slot,
        }
    }
    one_more(series);
    slot
}

/// Adds one to this CPU's counter of a series.
#[inline(always)]
pub fn one_more(series: u32) {
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(counter) = COUNTERS.get_ptr_mut(cpu * SERIES_PER_CPU.load() + series) {
        // SAFETY: a valid map value, which only this CPU writes.
        unsafe { *counter += 1 };
    }
}

/// The slot that a cgroup's calls are counted in, and its row; `None` when every slot is taken.
#[inline(always)]
pub fn slot<C: EbpfContext>(ctx: &C, cgroup_id: u64) -> Option<(u32, *mut IndexRow)> {
    let cache = SLOT_CACHE.get_ptr_mut(0)?;
    // SAFETY: `cache` points to a whole map value of this CPU; the index is masked to its length.
    let cached = unsafe { &mut (*cache).entries[cgroup_id as usize & (SLOT_CACHE_LEN - 1)] };
    if cached.cgroup_id == cgroup_id {
        let row = SERIES_INDEX.get_ptr_mut(cached.slot)?;
        if owner_of(row) == cached.owner {
            return Some((cached.slot, row));
        }
    }
    let slot = allocate::slot(ctx, cgroup_id)?;
    let row = SERIES_INDEX.get_ptr_mut(slot)?;
    // Read once: user space may clear it at any time. No cgroup has the id 0, so a slot that is being reclaimed is not cached.
    let owner = owner_of(row);
    cached.cgroup_id = if owner == 0 { 0 } else { cgroup_id };
    cached.owner = owner;
    cached.slot = slot;
    Some((slot, row))
}

/// The cgroup that a slot belongs to now.
#[inline(always)]
pub fn owner_of(row: *const IndexRow) -> u64 {
    // SAFETY: callers have a whole map value, whose owner everybody reads and writes as one word.
    unsafe { (&raw const (*row).owner).read_volatile() }
}
