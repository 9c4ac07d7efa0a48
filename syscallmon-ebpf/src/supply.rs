//! Free numbers of slots, series and histograms: queues that user space fills and refills.

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_ktime_get_ns, maps::Queue};
use syscallmon_common::{Loss, Supply};

use crate::{
    counter::lost,
    maps::{EXHAUSTED, WARNED},
};

/// Least time between two warnings of the same thing.
const WARN_INTERVAL_NS: u64 = 60_000_000_000;

/// Puts a number back that was taken for nothing.
#[inline(always)]
pub fn give_back(free: &Queue<u32>, number: u32) {
    if free.push(number, BPF_ANY.into()).is_err() {
        lost(Loss::Reclaim);
    }
}

/// A number from a free list, unless it was seen empty since user space last filled it.
#[inline(always)]
pub fn take(free: &Queue<u32>, supply: Supply) -> Option<u32> {
    if is_exhausted(supply) { None } else { free.pop().ok().flatten() }
}

/// Whether a supply was seen empty since user space last filled it.
#[inline(always)]
pub fn is_exhausted(supply: Supply) -> bool {
    // SAFETY: a valid map value, read as one word.
    EXHAUSTED.get_ptr_mut(supply as u32).is_some_and(|flag| unsafe { flag.read_volatile() } != 0)
}

/// Notes that a supply is used up; whether the log should be told, which it is once a minute at most.
#[inline(always)]
pub fn exhausted(supply: Supply) -> bool {
    let (Some(flag), Some(warned)) = (EXHAUSTED.get_ptr_mut(supply as u32), WARNED.get_ptr_mut(supply as u32)) else {
        return false;
    };
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
