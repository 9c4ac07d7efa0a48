//! The hot path: (cgroup, ABI, number) -> slot -> series -> this CPU's counter.
//!
//! No atomic and no hash lookup, and three map lookups that the verifier inlines. Whatever is missing is
//! made by [`crate::allocate`], once.

use aya_ebpf::{EbpfContext, helpers::bpf_get_smp_processor_id};
use syscallmon_common::{Abi, IndexRow, NUMBERS_PER_ABI, POSITIONS_PER_CGROUP, SLOT_CACHE_LEN, X32_BIT};

use crate::{
    allocate::{self, Call},
    globals::{SERIES_PER_CPU, position},
    maps::{COUNTERS, SERIES_INDEX, SLOT_CACHE},
    task::Caller,
};

/// Which ABI the number belongs to, and the position of its call.
#[inline(always)]
fn classify(compat: bool, nr: u64) -> (Abi, u32) {
    let (abi, number) = if compat {
        (Abi::Compat, nr)
    } else if nr.wrapping_sub(X32_BIT) < NUMBERS_PER_ABI as u64 {
        (Abi::X32, nr - X32_BIT)
    } else {
        (Abi::Native, nr)
    };
    if number >= NUMBERS_PER_ABI as u64 {
        return (abi, abi.unknown_position());
    }
    let index = abi as usize * NUMBERS_PER_ABI + number as usize;
    (abi, position(index).unwrap_or(abi.unknown_position()))
}

/// Counts one call of a task.
#[inline(always)]
pub fn count<C: EbpfContext>(ctx: &C, Caller { cgroup_id, compat }: Caller, nr: i64) {
    let (abi, position) = classify(compat, nr as u64);
    // Made where it is needed only, on the slow paths.
    let call = || Call { cgroup_id, nr, abi, position };
    let Some((slot, row)) = slot(ctx, cgroup_id, call) else { return };
    if position as usize >= POSITIONS_PER_CGROUP {
        return;
    }
    // SAFETY: `row` points to a whole map value, and the position was just checked.
    let entry = unsafe { &raw mut (*row).series[position as usize] };
    // SAFETY: as above; other CPUs write the entry as one aligned word.
    let mut series = unsafe { entry.read_volatile() };
    if series == 0 {
        match allocate::series(ctx, &call(), slot, entry) {
            Some(new) => series = new,
            None => return,
        }
    }
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(counter) = COUNTERS.get_ptr_mut(cpu * SERIES_PER_CPU.load() + series) {
        // SAFETY: a valid map value, which only this CPU writes.
        unsafe { *counter += 1 };
    }
}

/// The cgroup's slot and its row; `None` when the call went to the remainder instead.
#[inline(always)]
fn slot<C: EbpfContext>(ctx: &C, cgroup_id: u64, call: impl Fn() -> Call) -> Option<(u32, *mut IndexRow)> {
    let cache = SLOT_CACHE.get_ptr_mut(0)?;
    // SAFETY: `cache` points to a whole map value of this CPU; the index is masked to its length.
    let cached = unsafe { &mut (*cache).entries[cgroup_id as usize & (SLOT_CACHE_LEN - 1)] };
    if cached.cgroup_id == cgroup_id {
        let row = SERIES_INDEX.get_ptr_mut(cached.slot)?;
        // SAFETY: a whole map value, whose owner everybody reads and writes as one word.
        if unsafe { (&raw const (*row).owner).read_volatile() } == cgroup_id {
            return Some((cached.slot, row));
        }
    }
    let slot = allocate::slot(ctx, &call())?;
    cached.cgroup_id = cgroup_id;
    cached.slot = slot;
    Some((slot, SERIES_INDEX.get_ptr_mut(slot)?))
}
