//! The slow path: gives a cgroup its slot and a call its series, or counts the call in the remainder.
//!
//! Numbers come from queues that user space fills and refills. Two CPUs may race for the same key:
//! of two slots one is given back, of two series both count and user space adds them up.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_ktime_get_ns},
    maps::{Array, Queue},
};
use aya_log_ebpf::warn;
use syscallmon_common::{Abi, FirstSeen, Loss, SeriesKey};

use crate::maps::{
    EXHAUSTED, FIRST_SEEN, FREE_SERIES, FREE_SLOTS, LOST, REMAINDER, SERIES_INDEX, SERIES_KEYS, SLOT_OF_CGROUP, SLOTS,
    WARNED,
};

/// Least time between two warnings of the same thing.
const WARN_INTERVAL_NS: u64 = 60_000_000_000;

/// One call, as counted.
pub struct Call {
    pub cgroup_id: u64,
    pub nr: i64,
    pub abi: Abi,
    pub position: u32,
}

/// The slot of the call's cgroup, given now if it had none. `None`: the call was counted in the remainder.
#[cold]
#[inline(never)]
pub fn slot<C: EbpfContext>(ctx: &C, call: &Call) -> Option<u32> {
    if let Some(slot) = known_slot(call.cgroup_id) {
        return Some(slot);
    }
    let Some(slot) = take(&FREE_SLOTS, 0) else {
        if exhausted(0) {
            warn!(
                ctx,
                "every cgroup slot is taken: more cgroups are counted in the remainder (raise capacity.cgroups)"
            );
        }
        remainder(call, Loss::CgroupsFull);
        return None;
    };
    if SLOT_OF_CGROUP.insert(call.cgroup_id, slot, BPF_NOEXIST.into()).is_ok() {
        // Until the owner is set, other CPUs that find the slot in the hash table come here each time: no harm.
        if let (Some(id), Some(row)) = (SLOTS.get_ptr_mut(slot), SERIES_INDEX.get_ptr_mut(slot)) {
            // SAFETY: valid map values; nobody else writes them before user space takes the slot back.
            unsafe {
                *id = call.cgroup_id;
                (&raw mut (*row).owner).write_volatile(call.cgroup_id);
            }
        }
        return Some(slot);
    }
    // Another CPU was first, or the table is full.
    let _ = FREE_SLOTS.push(slot, BPF_ANY.into());
    let slot = known_slot(call.cgroup_id);
    if slot.is_none() {
        remainder(call, Loss::CgroupsFull);
    }
    slot
}

#[inline(always)]
fn known_slot(cgroup_id: u64) -> Option<u32> {
    // SAFETY: user space removes an entry only when its cgroup is dead, that is, not this one's.
    unsafe { SLOT_OF_CGROUP.get(cgroup_id) }.copied()
}

/// A new series for the call, entered in the index. `None`: the call was counted in the remainder.
#[cold]
#[inline(never)]
pub fn series<C: EbpfContext>(ctx: &C, call: &Call, slot: u32, entry: *mut u32) -> Option<u32> {
    let Some(series) = take(&FREE_SERIES, 1) else {
        if exhausted(1) {
            warn!(ctx, "every series is taken: more calls are counted in the remainder (raise capacity.series)");
        }
        remainder(call, Loss::SeriesFull);
        return None;
    };
    let key = SERIES_KEYS.get_ptr_mut(series)?;
    // SAFETY: a valid map value, whose series this CPU alone has.
    unsafe { *key = SeriesKey { slot, position: call.position } };
    // SAFETY: `entry` is in a row of SERIES_INDEX, bounds checked by the caller.
    unsafe { entry.write_volatile(series) };
    report(call);
    Some(series)
}

/// A number from a free list, unless it was seen empty since user space last filled it.
#[inline(always)]
fn take(free: &Queue<u32>, list: u32) -> Option<u32> {
    // SAFETY: a valid map value, read as one word.
    if EXHAUSTED.get_ptr_mut(list).is_some_and(|flag| unsafe { flag.read_volatile() } != 0) {
        return None;
    }
    free.pop().ok().flatten()
}

/// Notes that a free list is empty; whether the log should be told, which it is once a minute at most.
#[inline(always)]
fn exhausted(list: u32) -> bool {
    let (Some(flag), Some(warned)) = (EXHAUSTED.get_ptr_mut(list), WARNED.get_ptr_mut(list)) else { return false };
    // SAFETY: valid map values, read and written as one word each; the helper takes nothing.
    unsafe {
        flag.write_volatile(1);
        let (now, last) = (bpf_ktime_get_ns(), warned.read_volatile());
        let due = last == 0 || now - last > WARN_INTERVAL_NS;
        if due {
            warned.write_volatile(now);
        }
        due
    }
}

#[inline(always)]
fn remainder(call: &Call, reason: Loss) {
    add(&REMAINDER, call.position);
    lost(reason);
}

/// Counts one loss.
#[inline(always)]
pub fn lost(reason: Loss) {
    add(&LOST, reason as u32);
}

/// Adds one to an array's entry that all CPUs share.
#[inline(always)]
fn add(array: &Array<u64>, index: u32) {
    if let Some(value) = array.get_ptr_mut(index) {
        // SAFETY: a valid, aligned map value, which everybody adds to atomically.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(value, 1) };
    }
}

/// Tells user space who made the call first.
#[inline(always)]
fn report(call: &Call) {
    let Some(mut event) = FIRST_SEEN.reserve::<FirstSeen>(0) else {
        lost(Loss::FirstSeenEvents);
        return;
    };
    let pid_tgid = bpf_get_current_pid_tgid();
    event.write(FirstSeen {
        // SAFETY: the helper takes nothing.
        time_ns: unsafe { bpf_ktime_get_ns() },
        cgroup_id: call.cgroup_id,
        nr: call.nr,
        abi: call.abi as u32,
        tgid: (pid_tgid >> 32) as u32,
        pid: pid_tgid as u32,
        uid: bpf_get_current_uid_gid() as u32,
        comm: bpf_get_current_comm().unwrap_or_default(),
    });
    event.submit(0);
}
