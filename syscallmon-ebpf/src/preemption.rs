//! Tests at start whether this kernel preempts raw tracepoint programs.
//!
//! Such a kernel counts runs that it skipped because another task was preempted inside the program. User space attaches
//! this program for a moment, lets two threads on one CPU make the call in which it runs long, and reads that count.

use aya_ebpf::helpers::bpf_ktime_get_ns;

use crate::globals::PREEMPTION_TEST_NR;

/// Long compared with the other work of the threads, short compared with a time slice.
const RUN_TIME_NS: u64 = 50_000;

/// Bounds the loops for the verifier, to 2,000 readings of the clock. Each takes some tens of nanoseconds.
const MAX_ROUNDS: u32 = 40;
const READINGS_PER_ROUND: u32 = 50;

/// Runs for a while in the call of the test, and returns at once in any other call.
#[inline(always)]
pub fn run_long_in(nr: i64) {
    if nr != PREEMPTION_TEST_NR.load() {
        return;
    }
    // SAFETY: the helper takes nothing.
    let begin = unsafe { bpf_ktime_get_ns() };
    for _ in 0..MAX_ROUNDS {
        if read_clock_often() - begin > RUN_TIME_NS {
            break;
        }
    }
}

/// Reads the clock many times. Returns the last reading. A global function: the verifier checks it once, not in each
/// round.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn read_clock_often() -> u64 {
    let mut now = 0;
    for _ in 0..READINGS_PER_ROUND {
        // SAFETY: the helper takes nothing.
        now = unsafe { bpf_ktime_get_ns() };
    }
    now
}
