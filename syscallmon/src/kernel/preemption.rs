//! Tests whether this kernel preempts raw tracepoint programs, and so loses calls.
//!
//! Up to Linux 6.18, programs on the syscall tracepoints run with preemption off; 7.2 and 7.3 preempt them. While a
//! task is preempted inside a program, the kernel skips that program for all other tasks of the CPU: a tenth of all
//! calls under load. There are two tests. First, kernels that let programs sleep there also preempt the others, because
//! one change made both possible ([`super::sleepable`]). Second, for kernels without that link, a test reads the
//! kernel's count of skipped runs (`recursion_misses`, Linux 5.12). It notices full preemption; lazy preemption is too
//! rare for it.

use std::{
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use aya::{Ebpf, programs::RawTracePoint};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Error, fdinfo, program};

/// Why the classic tracepoint is used although cheaper ones exist.
pub(super) const PREEMPTED: &str =
    "this kernel preempts raw tracepoint programs and skips calls of other tasks meanwhile";

/// The call in which the program runs long: harmless, and rare enough to slow nothing down.
pub(super) const TEST_NR: i64 = libc::SYS_sched_getaffinity;

/// Some time slices, even with a 100 Hz timer: two threads on one CPU alternate at each tick.
const TEST_TIMEOUT: Duration = Duration::from_millis(45);

/// Whether the test sees preemption of a raw tracepoint program. Takes 45 ms without preemption.
///
/// # Errors
///
/// When the test's program cannot be loaded or attached.
pub(super) fn is_seen(ebpf: &mut Ebpf) -> Result<bool, Error> {
    let test: &mut RawTracePoint = program(ebpf, "preemption_test")?;
    test.load()?;
    test.attach("sys_enter")?;
    // `None` ends the test. Before Linux 5.12, the kernel does not report this, and does not preempt programs.
    let misses = |test: &RawTracePoint| fdinfo::field(test.fd().ok()?.as_fd(), "recursion_misses");
    let begin = Instant::now();
    let stop = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        scope.spawn(|| call_on_one_cpu(&stop));
        scope.spawn(|| call_on_one_cpu(&stop));
        let mut seen: Option<u64> = Some(0);
        while seen == Some(0) && begin.elapsed() < TEST_TIMEOUT {
            thread::sleep(Duration::from_millis(5));
            seen = misses(test);
        }
        stop.store(true, Relaxed);
        seen
    });
    test.unload()?;
    Ok(seen.is_some_and(|misses| misses > 0))
}

/// Repeats the call, on the first CPU that this process may use.
fn call_on_one_cpu(stop: &AtomicBool) {
    if let Ok(permitted) = sched_getaffinity(None)
        && let Some(first) = (0..CpuSet::MAX_CPU).find(|&cpu| permitted.is_set(cpu))
    {
        let mut one = CpuSet::new();
        one.set(first);
        // Without this permission, the test is less sensitive.
        let _ = sched_setaffinity(None, &one);
    }
    while !stop.load(Relaxed) {
        let _ = sched_getaffinity(None);
    }
}
