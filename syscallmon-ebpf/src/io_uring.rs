//! Operations given to io_uring, which no system call shows: their opcodes, and whose they are.
//!
//! The tracepoint and its arguments differ by kernel; user space reads which from BTF or tracefs. A submission thread
//! (`IORING_SETUP_SQPOLL`) is one of its owner's threads, in the owner's cgroup; up to Linux 5.11 it is the kernel's, and the
//! ring tells the owner.

use aya_ebpf::programs::RawTracePointContext;
use syscallmon_common::UNKNOWN_OFFSET;

use crate::{
    globals::{IO_URING_OPCODE_ARGUMENT, OFFSET_EVENT_OPCODE, OFFSET_IO_KIOCB_OPCODE, OFFSET_RING_SQO_TASK},
    task::{ProbeReadTask, Task, cgroup_of, field},
};

/// An operation, and the cgroup that it is for.
pub struct Operation {
    pub cgroup_id: u64,
    pub opcode: u8,
}

impl Operation {
    /// From a raw tracepoint's arguments: `struct io_kiocb *`, or `void *ctx` and an opcode further on.
    #[inline(always)]
    pub fn of_arguments(ctx: &RawTracePointContext) -> Option<Self> {
        // Argument numbers are written out: the verifier takes no other offsets into the context.
        let opcode = match IO_URING_OPCODE_ARGUMENT.load() {
            0 => field(ctx.arg::<*const u8>(0), OFFSET_IO_KIOCB_OPCODE.load())?,
            1 => ctx.arg::<u64>(1) as u8,
            _ => ctx.arg::<u64>(2) as u8,
        };
        Some(Self {
            cgroup_id: kernel_thread_s_owner(ctx).unwrap_or_else(|| ProbeReadTask::current().cgroup_id()),
            opcode,
        })
    }

    /// From a classic tracepoint's record.
    #[inline(always)]
    pub fn of_record(record: *const u8) -> Option<Self> {
        let opcode = field(record, OFFSET_EVENT_OPCODE.load())?;
        Some(Self { cgroup_id: ProbeReadTask::current().cgroup_id(), opcode })
    }
}

/// The cgroup of the ring's owner, where a thread of the kernel submits for it.
#[inline(always)]
fn kernel_thread_s_owner(ctx: &RawTracePointContext) -> Option<u64> {
    // `void *ctx, u8 opcode, u64 user_data, bool force_nonblock, bool sq_thread`
    if OFFSET_RING_SQO_TASK.load() == UNKNOWN_OFFSET || ctx.arg::<u64>(4) as u8 == 0 {
        return None;
    }
    cgroup_of(field(ctx.arg::<*const u8>(0), OFFSET_RING_SQO_TASK.load())?)
}
