//! The kernel side of syscallmon: the programs, and which tracepoint each belongs to.
//!
//! What they share is one idea a file: [`task`] (who calls), [`count`] (the hot path), [`allocate`] (its slow
//! path, taken once a series), [`returns`] (what comes back), [`cgroup`] (births and deaths), [`globals`] (what user space sets before loading) and
//! [`maps`]. User space loads only the programs that this kernel can run; see `syscallmon/src/kernel/`.

#![no_std]
#![no_main]
// The target has no compare-and-swap, so `core` gives it no `AtomicU64::fetch_add`; the kernel has had atomic adds
// without a result from the start. The Debian compiler that has this target takes the feature.
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "see above")]
#![expect(unreachable_pub, reason = "the macros that declare programs and maps ask for `pub`, in a binary too")]
#![expect(missing_docs, reason = "the functions that the macros make around programs have none")]

mod allocate;
mod cgroup;
mod count;
mod globals;
mod maps;
mod preemption;
mod returns;
mod task;

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};

use crate::{cgroup::Subject, task::Caller};

/// Counts a call; the cheapest. Needs `bpf_get_current_task_btf` (Linux 5.11).
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter_btf(ctx: BtfTracePointContext) -> i32 {
    count::count(&ctx, Caller::by_btf(), ctx.arg(1));
    0
}

/// Counts a call. Runs from Linux 4.18 on, with or without BTF.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter_raw(ctx: RawTracePointContext) -> i32 {
    count::count(&ctx, Caller::by_helpers(), ctx.arg(1));
    0
}

/// Counts a call; for kernels that let raw tracepoint programs be preempted (some from Linux 7 on), and then skip the calls
/// of whoever runs meanwhile. The classic tracepoint runs with preemption off, and costs more.
#[tracepoint]
pub fn sys_enter_tp(ctx: TracePointContext) -> u32 {
    // The first field after the common ones, in every kernel (`events/raw_syscalls/sys_enter/format`: `long id`, offset 8).
    // SAFETY: the verifier checks reads of the context against its size.
    let nr = unsafe { *ctx.as_ptr().cast::<u8>().add(8).cast::<i64>() };
    count::count(&ctx, Caller::current(), nr);
    0
}

/// Runs long, in the test whether this kernel preempts raw tracepoint programs. Never attached otherwise.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn preemption_test(ctx: RawTracePointContext) -> i32 {
    let nr: i64 = ctx.arg(1);
    preemption::run_long_in(nr);
    0
}

/// Puts back what user space lists; run by it, never attached.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn put_back(_: RawTracePointContext) -> i32 {
    returns::put_back();
    0
}

/// Reports that a cgroup was made. Needs BTF.
#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: RawTracePointContext) -> i32 {
    cgroup::born(Subject::of_arguments(ctx.arg(0), ctx.arg(1)));
    0
}

/// Reports that a cgroup was removed. Needs BTF.
#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: RawTracePointContext) -> i32 {
    cgroup::died(Subject::of_arguments(ctx.arg(0), ctx.arg(1)));
    0
}

/// Reports that a cgroup was made. Needs tracefs.
#[tracepoint]
pub fn cgroup_mkdir_tp(ctx: TracePointContext) -> u32 {
    cgroup::born(Subject::of_record(ctx.as_ptr().cast()));
    0
}

/// Reports that a cgroup was removed. Needs tracefs.
#[tracepoint]
pub fn cgroup_rmdir_tp(ctx: TracePointContext) -> u32 {
    cgroup::died(Subject::of_record(ctx.as_ptr().cast()));
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here panics: the verifier refuses a program that could loop.
    loop {}
}

/// The kernel offers most helpers to GPL-compatible programs only; "Dual MIT/GPL" is one of the strings
/// that it takes (`include/linux/license.h`), and the one that fits Apache-2.0 OR MIT.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
