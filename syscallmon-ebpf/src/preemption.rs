//! Tests at start whether this kernel preempts raw tracepoint programs.
//!
//! Such a kernel counts runs that it skipped because another task was preempted inside the program. User space attaches
//! this program for a moment, lets two threads on one CPU make the call in which it runs long, and reads that count.

use aya_ebpf::helpers::bpf_ktime_get_ns;

use crate::globals::PREEMPTION_TEST_NR;

/// Long compared with the other work of the threads, short compared with a time slice.
const RUN_TIME_NS: u64 = 50_000;

/// Bounds the loop for the verifier. Reading the clock takes some tens of nanoseconds.
const MAX_CLOCK_READS: u32 = 2_000;

/// Runs for a while in the call of the test, and returns at once in any other call.
#[inline(always)]
pub fn run_long_in(nr: i64) {
    if nr != PREEMPTION_TEST_NR.load() {
        return;
    }
    // SAFETY: the helper takes nothing.
    let now = || unsafe { bpf_ktime_get_ns() };
    let begin = now();
    for _ in 0..MAX_CLOCK_READS {
        if now() - begin > RUN_TIME_NS {
            break;
        }
    }
}
