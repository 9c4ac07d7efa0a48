//! Reclaims slots, series, histograms and entries of hash tables that user space lists.
//!
//! Never attached: user space writes a list and runs this on demand (`BPF_PROG_TEST_RUN`). System calls on the maps
//! would lose calls instead: during each, the kernel runs no classic tracepoint program on that CPU
//! (`bpf_disable_instrumentation`), even if the caller is preempted.

use aya_ebpf::bindings::BPF_ANY;
use syscallmon_common::{
    RECLAIM_ADD_ROOT, RECLAIM_ARGUMENT, RECLAIM_CGROUP, RECLAIM_DENIED, RECLAIM_ERROR, RECLAIM_HISTOGRAM,
    RECLAIM_OPS_LEN, RECLAIM_REMOVE_ROOT, RECLAIM_SERIES, RECLAIM_SLOT, RECLAIM_TIMED, ReclaimOp,
};

use crate::maps::{
    ARGUMENTS, ATTRIBUTION_ROOTS, DENIED, ERRORS, FREE_HISTOGRAMS, FREE_SERIES, FREE_SLOTS, RECLAIM_OPS,
    SLOT_OF_CGROUP, TIMED,
};

/// Error for a missing key: an earlier attempt removed it.
const ENOENT: i32 = -2;

/// Does the listed operations, and marks each as done.
#[inline(always)]
pub fn reclaim() {
    for index in 0..RECLAIM_OPS_LEN as u32 {
        if reclaim_one(index) == 0 {
            return;
        }
    }
}

/// Does one operation. Returns 1 if it is done. A global function: the verifier checks it once, not for each entry.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn reclaim_one(index: u32) -> u32 {
    let Some(entry) = RECLAIM_OPS.get_ptr_mut(index) else { return 0 };
    // SAFETY: a whole map value, which user space does not access during the run.
    let ReclaimOp { kind, number, key } = unsafe { *entry };
    let done = match kind {
        RECLAIM_CGROUP => is_gone(SLOT_OF_CGROUP.remove(key)),
        RECLAIM_ERROR => is_gone(ERRORS.remove(key)),
        RECLAIM_DENIED => is_gone(DENIED.remove(key)),
        RECLAIM_ARGUMENT => is_gone(ARGUMENTS.remove(key)),
        RECLAIM_TIMED => is_gone(TIMED.remove(key)),
        RECLAIM_ADD_ROOT => ATTRIBUTION_ROOTS.insert(key, number, BPF_ANY.into()).is_ok(),
        RECLAIM_REMOVE_ROOT => is_gone(ATTRIBUTION_ROOTS.remove(key)),
        RECLAIM_SLOT => FREE_SLOTS.push(number, BPF_ANY.into()).is_ok(),
        RECLAIM_SERIES => FREE_SERIES.push(number, BPF_ANY.into()).is_ok(),
        RECLAIM_HISTOGRAM => FREE_HISTOGRAMS.push(number, BPF_ANY.into()).is_ok(),
        _ => false,
    };
    if done {
        // SAFETY: as above.
        unsafe { (*entry).kind = 0 };
    }
    u32::from(done)
}

/// Whether a key is no longer in a table. Errors other than `ENOENT` are retried, for example a held lock (`EBUSY`).
#[inline(always)]
fn is_gone(removed: Result<(), i32>) -> bool {
    removed.map_or_else(|error| error == ENOENT, |()| true)
}
