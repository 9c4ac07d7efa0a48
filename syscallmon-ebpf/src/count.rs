//! The hot path: (cgroup, ABI, number) -> slot -> series -> this CPU's counter.
//!
//! No atomic and no hash lookup, and four map lookups that the verifier inlines. Whatever is missing is
//! made by [`crate::allocate`], once.

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_task, bpf_get_current_task_btf, bpf_get_smp_processor_id,
        bpf_probe_read_kernel,
    },
    programs::TracePointContext,
};
use syscallmon_common::{
    Abi, IndexRow, NUMBERS_PER_ABI, POSITIONS_PER_CGROUP, SLOT_CACHE_LEN, UNKNOWN_OFFSET, X32_BIT,
};

use crate::{
    allocate::{self, Call},
    globals::{
        COMPAT_MASK, OFFSET_CGROUP_KN, OFFSET_CSS_SET_DFL_CGRP, OFFSET_KERNFS_NODE_ID, OFFSET_TASK_CGROUPS,
        OFFSET_TASK_COMPAT, SERIES_PER_CPU, position,
    },
    maps::{COUNTERS, SERIES_INDEX, SLOT_CACHE},
};

/// The current task, as a pointer that the verifier knows to be a `struct task_struct`.
#[inline(always)]
pub fn current_task_btf() -> *const u8 {
    // SAFETY: the helper takes nothing, and returns a task that lives as long as the program runs.
    unsafe { bpf_get_current_task_btf().cast::<u8>().cast_const() }
}

/// Follows one field of a BTF-typed pointer.
#[inline(always)]
fn field<T: Copy>(base: *const u8, offset: u64) -> T {
    // SAFETY: the verifier checks the offset against the pointer's BTF type, and refuses the program if
    // it is not the start of a field of this size; reads of BTF pointers that went bad give 0.
    unsafe { *base.add(offset as usize).cast::<T>() }
}

/// cgroup2 id: `task->cgroups->dfl_cgrp->kn->id`.
#[inline(always)]
pub fn cgroup_id_of(task: *const u8) -> u64 {
    let css_set: *const u8 = field(task, OFFSET_TASK_CGROUPS.load());
    let cgroup: *const u8 = field(css_set, OFFSET_CSS_SET_DFL_CGRP.load());
    let kernfs_node: *const u8 = field(cgroup, OFFSET_CGROUP_KN.load());
    field(kernfs_node, OFFSET_KERNFS_NODE_ID.load())
}

/// Whether the task is in a 32-bit call.
#[inline(always)]
pub fn is_compat_of(task: *const u8) -> bool {
    field::<u32>(task, OFFSET_TASK_COMPAT.load()) & COMPAT_MASK.load() != 0
}

/// cgroup2 id of the current task, from the helper.
#[inline(always)]
pub fn current_cgroup_id() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_get_current_cgroup_id() }
}

/// Whether the current task is in a 32-bit call, where BTF is not at hand to the verifier.
#[inline(always)]
pub fn is_current_compat() -> bool {
    let offset = OFFSET_TASK_COMPAT.load();
    if offset == UNKNOWN_OFFSET {
        return false;
    }
    // SAFETY: the helper takes nothing; the read is checked by the kernel, and fails without harm.
    let flags = unsafe {
        let task = bpf_get_current_task() as *const u8;
        bpf_probe_read_kernel(task.add(offset as usize).cast::<u32>())
    };
    flags.is_ok_and(|flags| flags & COMPAT_MASK.load() != 0)
}

/// The number that a classic `raw_syscalls:sys_enter` has: the first field after the common ones, in every kernel so far
/// (`/sys/kernel/tracing/events/raw_syscalls/sys_enter/format`: `long id`, offset 8).
#[inline(always)]
pub fn number_of(ctx: &TracePointContext) -> i64 {
    // SAFETY: the verifier checks reads of the context against its size.
    unsafe { *ctx.as_ptr().cast::<u8>().add(8).cast::<i64>() }
}

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

/// Counts one call of the current task.
#[inline(always)]
pub fn count<C: EbpfContext>(ctx: &C, cgroup_id: u64, compat: bool, nr: i64) {
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
