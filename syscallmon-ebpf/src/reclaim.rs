//! Puts back what user space has taken back: slots, series, histograms, and places in the hash tables.
//!
//! Never attached: user space writes a list and runs this on demand (`BPF_PROG_TEST_RUN`). Were it to use system calls on the
//! maps instead, the kernel would keep classic tracepoint programs from running on its CPU for as long as each takes
//! (`bpf_disable_instrumentation`), also while it is preempted in one: calls would be lost.

use aya_ebpf::bindings::BPF_ANY;
use syscallmon_common::{
    RECLAIM_ADD_ROOT, RECLAIM_CGROUP, RECLAIM_DENIED, RECLAIM_ERROR, RECLAIM_HISTOGRAM, RECLAIM_OPS_LEN,
    RECLAIM_REMOVE_ROOT, RECLAIM_SERIES, RECLAIM_SLOT, RECLAIM_TIMED, ReclaimOp,
};

use crate::maps::{
    ATTRIBUTION_ROOTS, DENIED, ERRORS, FREE_HISTOGRAMS, FREE_SERIES, FREE_SLOTS, RECLAIM_OPS, SLOT_OF_CGROUP, TIMED,
};

/// The kernel's answer for a key that a table does not have: it was removed by an earlier attempt.
const ENOENT: i32 = -2;

/// Works through the list, and strikes off what is done.
#[inline(always)]
pub fn reclaim() {
    for index in 0..RECLAIM_OPS_LEN as u32 {
        if reclaim_one(index) == 0 {
            return;
        }
    }
}

/// Works off one entry: 1 if it is done. A global function: the verifier checks it once, and not for each entry.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn reclaim_one(index: u32) -> u32 {
    let Some(entry) = RECLAIM_OPS.get_ptr_mut(index) else { return 0 };
    // SAFETY: a whole map value, which user space does not touch meanwhile.
    let ReclaimOp { kind, number, key } = unsafe { *entry };
    let done = match kind {
        RECLAIM_CGROUP => is_gone(SLOT_OF_CGROUP.remove(key)),
        RECLAIM_ERROR => is_gone(ERRORS.remove(key)),
        RECLAIM_DENIED => is_gone(DENIED.remove(key)),
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

/// Whether a key is in a table no more. Anything but `ENOENT` is no answer: a lock that is held (`EBUSY`) is tried again.
#[inline(always)]
fn is_gone(removed: Result<(), i32>) -> bool {
    removed.map_or_else(|error| error == ENOENT, |()| true)
}
