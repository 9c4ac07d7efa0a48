//! Finds out, when the daemon starts, whether this kernel preempts raw tracepoint programs.
//!
//! It counts a program that it skipped, since another task was preempted inside of it. User space attaches this one for a
//! moment, lets two threads of one CPU make the call that it runs long in, and looks at that count.

use aya_ebpf::helpers::bpf_ktime_get_ns;

use crate::globals::PREEMPTION_TEST_NR;

/// Long against everything else that the threads do, short against a time slice.
const LONG_NS: u64 = 50_000;

/// Bounds the loop for the verifier; reading the clock takes some tens of nanoseconds.
const MAX_READINGS: u32 = 2_000;

/// Does nothing for a while in the call that the test makes, and nothing at all in any other.
#[inline(always)]
pub fn run_long_in(nr: i64) {
    if nr != PREEMPTION_TEST_NR.load() {
        return;
    }
    // SAFETY: the helper takes nothing.
    let now = || unsafe { bpf_ktime_get_ns() };
    let begin = now();
    for _ in 0..MAX_READINGS {
        if now() - begin > LONG_NS {
            break;
        }
    }
}
