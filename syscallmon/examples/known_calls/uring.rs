//! Operations through io_uring, which are not system calls.

use io_uring::{IoUring, opcode, squeue, types::Fd};

/// Opens and reads a file `count` times. Each open and each read is an operation.
pub(crate) fn opens_and_reads(count: i64) {
    let mut ring = IoUring::new(8).expect("a ring");
    let path = c"/dev/zero";
    for _ in 0..count {
        let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr()).flags(libc::O_RDONLY).build();
        let fd = run(&mut ring, &open);
        let mut bytes = [0; 8];
        let read = opcode::Read::new(Fd(fd), bytes.as_mut_ptr(), 8).build();
        assert_eq!(run(&mut ring, &read), 8, "bytes read");
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(fd) };
    }
}

/// Submits `count` no-ops. A kernel thread takes them from the ring (`IORING_SETUP_SQPOLL`).
pub(crate) fn through_a_thread(count: i64) {
    let mut ring = IoUring::builder().setup_sqpoll(1000).build(8).expect("a ring with a thread");
    for _ in 0..count {
        assert_eq!(run(&mut ring, &opcode::Nop::new().build()), 0, "nop");
    }
}

/// Submits one operation and waits for its result.
fn run(ring: &mut IoUring, operation: &squeue::Entry) -> i32 {
    // SAFETY: the memory of the operation is valid until its result arrives.
    unsafe { ring.submission().push(operation) }.expect("room for one");
    ring.submit_and_wait(1).expect("submit");
    let result = ring.completion().next().expect("a result").result();
    assert!(result >= 0, "the operation failed: {result}");
    result
}
