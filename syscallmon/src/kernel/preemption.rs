//! Finds out whether this kernel preempts raw tracepoint programs, and with that loses calls.
//!
//! Up to Linux 6.18, programs on the syscall tracepoints run with preemption off; 7.2 and 7.3 preempt them. While a task
//! is preempted inside a program, the kernel skips that program for every other task of the CPU: a tenth of all calls
//! under load. Two ways to know. Kernels that let programs sleep there preempt the others, too: one change made both
//! possible ([`super::sleepable`]). For kernels in which that should not be so, a test watches the kernel count skipped runs
//! (`recursion_misses`, Linux 5.12); it notices full preemption, while lazy preemption is too seldom for it.

use std::{
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use aya::{Ebpf, programs::RawTracePoint};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Error, fdinfo, program};

/// Why the classic tracepoint is used where cheaper ones are to be had, or would have to be.
pub(super) const PREEMPTED: &str =
    "this kernel preempts raw tracepoint programs and skips calls of other tasks meanwhile";

/// The call that the program runs long in: harmless, and rare enough to slow nobody down.
pub(super) const TEST_NR: i64 = libc::SYS_sched_getaffinity;

/// Some time slices, even with a timer of 100 Hz: two threads that want one CPU take turns at each tick.
const LONGEST: Duration = Duration::from_millis(45);

/// Whether a raw tracepoint program is seen to be preempted. Takes 45 ms where it is not.
///
/// # Errors
///
/// When the test's program cannot be loaded or attached.
pub(super) fn is_seen(ebpf: &mut Ebpf) -> Result<bool, Error> {
    let test: &mut RawTracePoint = program(ebpf, "preemption_test")?;
    test.load()?;
    test.attach("sys_enter")?;
    // `None`, which ends the test, before Linux 5.12: that kernel does not tell, and does not preempt them either.
    let misses = |test: &RawTracePoint| fdinfo::field(test.fd().ok()?.as_fd(), "recursion_misses");
    let begin = Instant::now();
    let stop = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        scope.spawn(|| call_on_one_cpu(&stop));
        scope.spawn(|| call_on_one_cpu(&stop));
        let mut seen: Option<u64> = Some(0);
        while seen == Some(0) && begin.elapsed() < LONGEST {
            thread::sleep(Duration::from_millis(5));
            seen = misses(test);
        }
        stop.store(true, Relaxed);
        seen
    });
    test.unload()?;
    Ok(seen.is_some_and(|misses| misses > 0))
}

/// Makes the call again and again, on the first CPU that this process may use.
fn call_on_one_cpu(stop: &AtomicBool) {
    if let Ok(permitted) = sched_getaffinity(None)
        && let Some(first) = (0..CpuSet::MAX_CPU).find(|&cpu| permitted.is_set(cpu))
    {
        let mut one = CpuSet::new();
        one.set(first);
        // Where it is not permitted the test is less sharp.
        let _ = sched_setaffinity(None, &one);
    }
    while !stop.load(Relaxed) {
        let _ = sched_getaffinity(None);
    }
}
