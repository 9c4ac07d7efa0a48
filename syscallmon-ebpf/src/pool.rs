//! Pools of free slots, series and histograms: queues that user space fills and refills.

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_ktime_get_ns, maps::Queue};
use aya_log_ebpf::warn;
use syscallmon_common::{LossReason, Pool};

use crate::{
    counter::lost,
    maps::{EXHAUSTED, WARNED},
};

/// Minimum time between two warnings about the same pool.
const WARN_INTERVAL_NS: u64 = 60_000_000_000;

/// Gives back a number that was not needed.
#[inline(always)]
pub fn give_back(free: &Queue<u32>, number: u32) {
    if free.push(number, BPF_ANY.into()).is_err() {
        lost(LossReason::Reclaim);
    }
}

/// Takes a number from a free list, unless the pool was found empty since user space last filled it.
#[inline(always)]
pub fn take(free: &Queue<u32>, pool: Pool) -> Option<u32> {
    if is_exhausted(pool) { None } else { free.pop().ok().flatten() }
}

/// Whether a pool was found empty since user space last filled it.
#[inline(always)]
pub fn is_exhausted(pool: Pool) -> bool {
    // SAFETY: a valid map value, read as one word.
    EXHAUSTED.get_ptr_mut(pool as u32).is_some_and(|flag| unsafe { flag.read_volatile() } != 0)
}

/// Notes that a pool is empty, and logs it at most once a minute.
#[inline(always)]
pub fn exhausted(pool: Pool) {
    note_exhausted(pool as u32);
}

/// See [`exhausted`]. A global function: the verifier checks it once for each program, not for each path to it.
#[cold]
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn note_exhausted(pool: u32) -> u32 {
    let (Some(flag), Some(warned)) = (EXHAUSTED.get_ptr_mut(pool), WARNED.get_ptr_mut(pool)) else { return 0 };
    // SAFETY: valid map values, read and written as one word each; the helper takes nothing.
    let is_due = unsafe {
        flag.write_volatile(1);
        let (now, last) = (bpf_ktime_get_ns(), warned.read_volatile());
        let is_due = last == 0 || now - last > WARN_INTERVAL_NS;
        if is_due {
            warned.write_volatile(now);
        }
        is_due
    };
    if is_due {
        log(pool);
    }
    0
}

/// Logs that a pool is empty. The macro does not use the context of the program, so it gets `()`.
#[inline(always)]
fn log(pool: u32) {
    const SLOTS: u32 = Pool::Slots as u32;
    const SERIES: u32 = Pool::Series as u32;
    const HISTOGRAMS: u32 = Pool::Histograms as u32;
    match pool {
        SLOTS => {
            warn!((), "every cgroup slot is taken: more cgroups are counted in the remainder (raise capacity.cgroups)");
        }
        SERIES => warn!((), "every series is taken: more calls are counted in the remainder (raise capacity.series)"),
        HISTOGRAMS => warn!((), "every histogram is taken: more calls are not measured (raise capacity.histograms)"),
        _ => warn!(
            (),
            "errors, denied calls or classes of arguments have used all their series: more are counted in the remainder (raise capacity.series)"
        ),
    }
}
