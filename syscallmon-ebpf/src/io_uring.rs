//! Operations of io_uring, which are not system calls: their opcodes and cgroups.
//!
//! The tracepoint and its arguments differ by kernel; user space reads them from BTF or tracefs. A submission thread
//! (`IORING_SETUP_SQPOLL`) is a thread of the ring's owner, in the owner's cgroup. Up to Linux 5.11 it is a kernel
//! thread, and the ring leads to the owner.

use aya_ebpf::programs::RawTracePointContext;
use syscallmon_common::UNKNOWN_OFFSET;

use crate::{
    globals::{IO_URING_OPCODE_ARGUMENT, OFFSET_EVENT_OPCODE, OFFSET_IO_KIOCB_OPCODE, OFFSET_RING_SQO_TASK},
    task::{ProbeReadTask, Task, cgroup_of, field},
};

/// An operation and its cgroup.
pub struct Operation {
    pub cgroup_id: u64,
    pub opcode: u8,
}

impl Operation {
    /// Reads a raw tracepoint's arguments: `struct io_kiocb *`, or `void *ctx` and a later opcode.
    #[inline(always)]
    pub fn of_arguments(ctx: &RawTracePointContext) -> Option<Self> {
        // Argument numbers are literals: the verifier accepts only constant offsets into the context.
        let opcode = match IO_URING_OPCODE_ARGUMENT.load() {
            0 => field(ctx.arg::<*const u8>(0), OFFSET_IO_KIOCB_OPCODE.load())?,
            1 => ctx.arg::<u64>(1) as u8,
            _ => ctx.arg::<u64>(2) as u8,
        };
        Some(Self { cgroup_id: ring_owner_cgroup(ctx).unwrap_or_else(|| ProbeReadTask::current().cgroup_id()), opcode })
    }

    /// Reads a classic tracepoint's record.
    #[inline(always)]
    pub fn of_record(record: *const u8) -> Option<Self> {
        let opcode = field(record, OFFSET_EVENT_OPCODE.load())?;
        Some(Self { cgroup_id: ProbeReadTask::current().cgroup_id(), opcode })
    }
}

/// Returns the cgroup of the ring's owner if a kernel thread submits the operation.
#[inline(always)]
fn ring_owner_cgroup(ctx: &RawTracePointContext) -> Option<u64> {
    // `void *ctx, u8 opcode, u64 user_data, bool force_nonblock, bool sq_thread`
    if OFFSET_RING_SQO_TASK.load() == UNKNOWN_OFFSET || ctx.arg::<u64>(4) as u8 == 0 {
        return None;
    }
    cgroup_of(field(ctx.arg::<*const u8>(0), OFFSET_RING_SQO_TASK.load())?)
}
