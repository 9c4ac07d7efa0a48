//! How soon the kernel runs the threads that report a first call.

use std::io;

/// The shortest slice that the kernel takes, in nanoseconds (`kernel/sched/syscalls.c`).
const SLICE: u64 = 100_000;

/// Asks the scheduler to run the calling thread as soon as it wakes up. Threads that it starts later ask for the same.
///
/// The thread gets short slices. Since Linux 6.12 a thread that wakes up takes the CPU from one with a longer slice, as
/// long as it has not used more than its share. The share stays as it is, and no privilege is required. Older kernels
/// take the request and ignore it.
pub fn prefer_short_slices() {
    if let Err(error) = set_slice(SLICE) {
        tracing::debug!("cannot set short CPU time slices: {error}");
    }
}

fn set_slice(nanoseconds: u64) -> io::Result<()> {
    let mut attributes = attributes()?;
    if !matches!(attributes.sched_policy.cast_signed(), libc::SCHED_OTHER | libc::SCHED_BATCH) {
        // Somebody has chosen a real-time policy, which runs sooner than any slice does.
        return Ok(());
    }
    attributes.sched_runtime = nanoseconds;
    // SAFETY: the structure is whole, says its size, and is only read.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How the calling thread is scheduled.
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
    // SAFETY: the structure is whole, and the kernel is told its size.
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
            // Kernels before 6.12 report no slice, or the one that everybody has.
            assert!(after.sched_runtime == SLICE || after.sched_runtime == before.sched_runtime);
        })
        .join()
        .unwrap();
    }
}
