//! Scheduling of the threads that report first calls.

use std::io;

/// Minimum slice in nanoseconds (`kernel/sched/syscalls.c`).
const SLICE: u64 = 100_000;

/// Asks the scheduler to run the calling thread soon after it wakes up. Threads that it starts later inherit this.
///
/// The thread gets short slices. Since Linux 6.12, a thread that wakes up takes the CPU from one with a longer slice if
/// it has not used more than its share. Its share does not change, and no privilege is required. Older kernels accept
/// the request and ignore it.
pub fn prefer_short_slices() {
    if let Err(error) = set_slice(SLICE) {
        tracing::debug!("cannot set short CPU time slices: {error}");
    }
}

fn set_slice(nanoseconds: u64) -> io::Result<()> {
    let mut attributes = attributes()?;
    if !matches!(attributes.sched_policy.cast_signed(), libc::SCHED_OTHER | libc::SCHED_BATCH) {
        // A real-time policy, which an administrator has chosen, runs the thread even earlier.
        return Ok(());
    }
    attributes.sched_runtime = nanoseconds;
    // SAFETY: the structure is complete, contains its size, and is only read.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns the scheduling attributes of the calling thread.
fn attributes() -> io::Result<libc::sched_attr> {
    #[expect(clippy::cast_possible_truncation, reason = "48 bytes")]
    let size = size_of::<libc::sched_attr>() as u32;
    let mut attributes = libc::sched_attr {
        size,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the structure is complete, and its size is passed to the kernel.
    match unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) } {
        0 => Ok(attributes),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn short_slices_are_asked_for_and_nothing_else_changes() {
        thread::spawn(|| {
            let before = attributes().unwrap();
            set_slice(SLICE).unwrap();
            let after = attributes().unwrap();
            assert_eq!((after.sched_policy, after.sched_nice), (before.sched_policy, before.sched_nice));
            // Kernels before 6.12 report no slice, or the default one.
            assert!(after.sched_runtime == SLICE || after.sched_runtime == before.sched_runtime);
        })
        .join()
        .unwrap();
    }
}
