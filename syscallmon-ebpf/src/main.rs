//! The kernel side of syscallmon: the programs and their tracepoints.
//!
//! Modules:
//! - [`count`] (hot path), [`slot`] (slots of cgroups), [`counter`], [`allocate`] (slow path), [`pool`] (free numbers),
//!   [`ancestry`] (attribution of nested cgroups), [`reclaim`] (returns numbers to the pools), [`arguments`] (classes
//!   of arguments)
//! - [`outcome`] (how calls end), [`denied`] (calls denied by seccomp), [`duration`], [`io_uring`]
//! - [`container_init`] (calls of container runtimes), [`runtime`] (which processes can be runtimes), [`cgroup`]
//!   (births and deaths)
//! - [`task`] (the calling task), [`number`] (ABI and number), [`executable`], [`origin`] (process of a first call),
//!   [`globals`], [`maps`]
//!
//! User space loads only programs that this kernel can run and that the configuration needs: `syscallmon/src/kernel/`.

#![no_std]
#![no_main]
// `core_intrinsics`: the target has no compare-and-swap, so `core` has no `AtomicU64::fetch_add`; the kernel has always
// had atomic adds without a result. `asm_experimental_arch`: one instruction. The Debian compiler for this target
// accepts both features.
#![feature(core_intrinsics, asm_experimental_arch)]
#![expect(internal_features, reason = "see above")]
#![expect(unreachable_pub, reason = "the macros that declare programs and maps ask for `pub`, in a binary too")]
#![expect(missing_docs, reason = "the functions that the macros make around programs have none")]

mod allocate;
mod ancestry;
mod arguments;
mod cgroup;
mod container_init;
mod count;
mod counter;
mod denied;
mod duration;
mod executable;
mod globals;
mod io_uring;
mod maps;
mod number;
mod origin;
mod outcome;
mod pool;
mod preemption;
mod reclaim;
mod runtime;
mod slot;
mod task;

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};

use syscallmon_common::Abi;

use crate::{
    arguments::Arguments,
    cgroup::TracedCgroup,
    globals::{COUNTS_DENIED, HAS_TASK_BTF, OFFSET_EVENT_CHILD, OFFSET_REGS_NR, TIMES_CALLS},
    io_uring::Operation,
    outcome::Exit,
    task::{BtfTask, ProbeReadTask, Task, field, typed, word_of},
};

/// Counts a call; the cheapest program. Needs `bpf_get_current_task_btf` (Linux 5.11).
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter_btf(ctx: BtfTracePointContext) -> i32 {
    count::call(&ctx, BtfTask::current(), ctx.arg(1));
    0
}

/// Counts a call. Runs on Linux 4.18 and later, with or without BTF.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter_raw(ctx: RawTracePointContext) -> i32 {
    count::call(&ctx, ProbeReadTask::current(), ctx.arg(1));
    0
}

/// Counts a call. For kernels that preempt raw tracepoint programs (some from Linux 7 on) and then skip calls of other
/// tasks. Classic tracepoint programs run with preemption off, and cost more.
#[tracepoint]
pub fn sys_enter_tp(ctx: TracePointContext) -> u32 {
    // The first field after the common ones in every kernel (`events/raw_syscalls/sys_enter/format`: `long id`, offset
    // 8).
    let nr = word_of(&ctx, 8);
    if HAS_TASK_BTF.load() != 0 {
        count::call(&ctx, BtfTask::current(), nr);
    } else {
        count::call(&ctx, ProbeReadTask::current(), nr);
    }
    0
}

/// `struct pt_regs *regs, long ret`, as BTF pointers.
impl Exit for BtfTracePointContext {
    #[inline(always)]
    fn nr(&self) -> i64 {
        i64::from(typed::<i32>(self.arg(0), OFFSET_REGS_NR.load()))
    }

    #[inline(always)]
    fn returned(&self) -> i64 {
        self.arg(1)
    }

    #[inline(always)]
    fn arguments(&self, abi: Abi) -> Arguments {
        let registers: *const u8 = self.arg(0);
        arguments::at_exit(abi, |offset| typed(registers, offset))
    }
}

/// The same arguments as numbers.
impl Exit for RawTracePointContext {
    #[inline(always)]
    fn nr(&self) -> i64 {
        field::<i32>(self.arg(0), OFFSET_REGS_NR.load()).map_or(-1, i64::from)
    }

    #[inline(always)]
    fn returned(&self) -> i64 {
        self.arg(1)
    }

    #[inline(always)]
    fn arguments(&self, abi: Abi) -> Arguments {
        let registers: *const u8 = self.arg(0);
        arguments::at_exit(abi, |offset| field(registers, offset).unwrap_or(0))
    }
}

/// `long id, long ret` after the common fields, in every kernel (`events/raw_syscalls/sys_exit/format`).
impl Exit for TracePointContext {
    #[inline(always)]
    fn nr(&self) -> i64 {
        word_of(self, 8)
    }

    #[inline(always)]
    fn returned(&self) -> i64 {
        word_of(self, 16)
    }

    #[inline(always)]
    fn arguments(&self, abi: Abi) -> Arguments {
        let registers = denied::registers().unwrap_or(core::ptr::null());
        arguments::at_exit(abi, |offset| field(registers, offset).unwrap_or(0))
    }
}

/// Counts how a call ends; uses the same implementation as `sys_enter`.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_btf(ctx: BtfTracePointContext) -> i32 {
    outcome::call::<_, BtfTask>(&ctx);
    0
}

/// Counts how a call ends. Needs BTF for the number.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit_raw(ctx: RawTracePointContext) -> i32 {
    outcome::call::<_, ProbeReadTask>(&ctx);
    0
}

/// Counts how a call ends.
#[tracepoint]
pub fn sys_exit_tp(ctx: TracePointContext) -> u32 {
    if HAS_TASK_BTF.load() != 0 {
        outcome::call::<_, BtfTask>(&ctx);
    } else {
        outcome::call::<_, ProbeReadTask>(&ctx);
    }
    0
}

/// Notes that a thread begins, for [`denied`].
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn task_fork(ctx: RawTracePointContext) -> i32 {
    // `struct task_struct *parent, struct task_struct *child`
    denied::forked(ctx.arg(1));
    0
}

/// The same on the classic tracepoint.
#[tracepoint]
pub fn task_fork_tp(ctx: TracePointContext) -> u32 {
    if let Some(child) = field(ctx.as_ptr().cast(), OFFSET_EVENT_CHILD.load()) {
        denied::forked_id(child);
    }
    0
}

/// Notes that a thread ends, for [`denied`] and [`duration`].
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn task_exit(_: RawTracePointContext) -> i32 {
    ended();
    0
}

/// The same on the classic tracepoint.
#[tracepoint]
pub fn task_exit_tp(_: TracePointContext) -> u32 {
    ended();
    0
}

/// Notes that a process was moved into a cgroup, for [`container_init`].
#[raw_tracepoint(tracepoint = "cgroup_attach_task")]
pub fn container_init_moved(ctx: RawTracePointContext) -> i32 {
    // `struct cgroup *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup`
    container_init::moved(ctx.arg(0), ctx.arg(2));
    0
}

/// Notes that a process was created, for [`container_init`].
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn container_init_forked(ctx: RawTracePointContext) -> i32 {
    // `struct task_struct *parent, struct task_struct *child`
    container_init::forked(ctx.arg(0), ctx.arg(1));
    0
}

/// Notes that a process executes another program, for [`container_init`].
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn container_init_executed(ctx: RawTracePointContext) -> i32 {
    // `struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm`
    container_init::executed(ctx.arg(0));
    0
}

#[inline(always)]
fn ended() {
    if TIMES_CALLS.load() != 0 {
        duration::forget(ProbeReadTask::current());
    }
    if COUNTS_DENIED.load() != 0 && denied::ended() {
        outcome::killed(ProbeReadTask::current(), denied::current_nr());
    }
}

/// Counts an io_uring operation. Attached to the tracepoint that the kernel has: `io_uring_submit_req` (Linux 6.4) or
/// `io_uring_submit_sqe`.
#[raw_tracepoint(tracepoint = "io_uring_submit_req")]
pub fn io_uring_submit(ctx: RawTracePointContext) -> i32 {
    if let Some(Operation { cgroup_id, opcode }) = Operation::of_arguments(&ctx) {
        count::operation(cgroup_id, opcode);
    }
    0
}

/// The same on the classic tracepoint.
#[tracepoint]
pub fn io_uring_submit_tp(ctx: TracePointContext) -> u32 {
    if let Some(Operation { cgroup_id, opcode }) = Operation::of_record(ctx.as_ptr().cast()) {
        count::operation(cgroup_id, opcode);
    }
    0
}

/// Runs long, to test whether this kernel preempts raw tracepoint programs. Attached only during that test.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn preemption_test(ctx: RawTracePointContext) -> i32 {
    let nr: i64 = ctx.arg(1);
    preemption::run_long_in(nr);
    0
}

/// Reclaims the numbers that user space lists. Never attached: only the daemon runs it, so the process that runs it is
/// the daemon.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn reclaim(_: RawTracePointContext) -> i32 {
    container_init::current_is_daemon();
    reclaim::reclaim();
    0
}

/// Reports the birth of a cgroup. Needs BTF.
#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: RawTracePointContext) -> i32 {
    cgroup::born(TracedCgroup::of_arguments(ctx.arg(0), ctx.arg(1)));
    0
}

/// Reports the death of a cgroup. Needs BTF.
#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: RawTracePointContext) -> i32 {
    cgroup::died(TracedCgroup::of_arguments(ctx.arg(0), ctx.arg(1)));
    0
}

/// Reports the birth of a cgroup. Needs tracefs.
#[tracepoint]
pub fn cgroup_mkdir_tp(ctx: TracePointContext) -> u32 {
    cgroup::born(TracedCgroup::of_record(ctx.as_ptr().cast()));
    0
}

/// Reports the death of a cgroup. Needs tracefs.
#[tracepoint]
pub fn cgroup_rmdir_tp(ctx: TracePointContext) -> u32 {
    cgroup::died(TracedCgroup::of_record(ctx.as_ptr().cast()));
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: no code here panics, and the verifier rejects programs that could loop.
    loop {}
}

/// The kernel offers most helpers only to GPL-compatible programs. Of the strings that it accepts
/// (`include/linux/license.h`), "Dual MIT/GPL" fits Apache-2.0 OR MIT.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
