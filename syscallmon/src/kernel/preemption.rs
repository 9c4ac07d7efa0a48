//! Finds out whether this kernel preempts raw tracepoint programs, and with that loses calls.
//!
//! Up to Linux 6.18, programs on the syscall tracepoints run with preemption off; 7.2 and 7.3 preempt them. While a task
//! is preempted inside a program, the kernel skips that program for every other task of the CPU: a tenth of all calls
//! under load. The kernel counts them (`recursion_misses`, Linux 5.12), which a test looks at; but under lazy preemption
//! it happens too seldom for a short test, so kernels that are newer than the last one known not to do it are not tested.

use std::{
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use aya::{Ebpf, programs::RawTracePoint};
use rustix::{
    system::uname,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use super::{Error, fdinfo, load::program};

/// The call that the program runs long in: harmless, and rare enough to slow nobody down.
pub(super) const TEST_NR: i64 = libc::SYS_sched_getaffinity;

/// Some time slices, even with a slow timer.
const LONGEST: Duration = Duration::from_millis(100);

/// The newest kernel whose source and whose tests here say that it does not preempt these programs.
const NEWEST_PROVEN: (u32, u32) = (6, 18);

/// Whether raw tracepoint programs may be preempted here. Takes 100 ms where they are not.
///
/// # Errors
///
/// When the test's program cannot be loaded or attached.
pub(super) fn is_possible(ebpf: &mut Ebpf) -> Result<bool, Error> {
    let is_newer = is_newer_than_proven(&uname().release().to_string_lossy());
    Ok(is_newer || is_seen(ebpf)?)
}

/// Whether a release such as `7.2.13+deb14-amd64` is newer than [`NEWEST_PROVEN`]; one that cannot be read is not.
fn is_newer_than_proven(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) > NEWEST_PROVEN)
}

fn is_seen(ebpf: &mut Ebpf) -> Result<bool, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_nobody_has_tried_are_not_trusted() {
        for newer in ["6.19.0-rc1", "7.2.13+deb14-cloud-amd64", "7.0", "10.1.2"] {
            assert!(is_newer_than_proven(newer), "{newer}");
        }
        for proven in ["6.18.44-fc-v657", "6.1.0-56-cloud-amd64", "5.10.0", "unreadable", ""] {
            assert!(!is_newer_than_proven(proven), "{proven}");
        }
    }
}
