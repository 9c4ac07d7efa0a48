//! Baselines of `cargo xtask bench`: programs that do nothing, the published design of Rezolus' latency sampler, and an
//! event for each call.
//!
//! Rezolus' design is written anew from its description, in the same language and with the same compiler, so the
//! benchmark compares the designs. Every call of every thread has its start in a hash table. Its duration goes into one
//! histogram per class of calls for the whole node, which all CPUs share.
//!
//! The event is the least that a tracer such as Tetragon does for a call whose arguments it judges in user space: a
//! record in a ring buffer with who made the call, and the arguments.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "atomic additions without a result; see main.rs")]
#![expect(unreachable_pub, reason = "the macros that declare programs and maps ask for `pub`, in a binary too")]
#![expect(missing_docs, reason = "the functions that the macros make around programs have none")]

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{btf_tracepoint, map},
    maps::{Array, HashMap, RingBuf},
    programs::BtfTracePointContext,
};

/// Classes of calls, and buckets of each: eight for each power of two of nanoseconds.
const CLASSES: u32 = 16;
const BUCKETS: u32 = 512;

/// Numbers of calls that have a class.
const NUMBERS: u32 = 1024;

/// `offsetof(struct pt_regs, orig_ax)` on x86_64, which is part of its ABI.
const ORIG_AX: usize = 120;

/// The start of each thread's call.
#[map]
static STARTS: HashMap<u32, u64> = HashMap::with_max_entries(65_536, 0);

/// The class of each number.
#[map]
static CLASS: Array<u32> = Array::with_max_entries(NUMBERS, 0);

/// Size of the ring buffer, in bytes.
const RING: u32 = 1 << 20;

/// Numbers of the registers of arguments in `struct pt_regs` of x86_64, in the order of the arguments.
const ARGUMENTS: [usize; 6] = [14, 13, 12, 7, 9, 8];

/// Who made a call, and its arguments.
#[repr(C)]
struct Event {
    at: u64,
    thread: u64,
    cgroup: u64,
    number: u64,
    arguments: [u64; 6],
    comm: [u8; 16],
}

/// An event for each call whose number has class 1.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING, 0);

/// Numbers of calls by class and duration.
#[map]
static HISTOGRAMS: Array<u64> = Array::with_max_entries(CLASSES * BUCKETS, 0);

/// Does nothing at every `sys_enter`.
#[btf_tracepoint(function = "sys_enter")]
pub fn empty(_: BtfTracePointContext) -> i32 {
    0
}

/// Does nothing at every `sys_exit`.
#[btf_tracepoint(function = "sys_exit")]
pub fn empty_exit(_: BtfTracePointContext) -> i32 {
    0
}

/// Notes the start of a call.
#[btf_tracepoint(function = "sys_enter")]
pub fn rezolus(_: BtfTracePointContext) -> i32 {
    // SAFETY: the helper takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let _ = STARTS.insert(bpf_get_current_pid_tgid() as u32, now, BPF_ANY.into());
    0
}

/// Counts the duration of a call.
#[btf_tracepoint(function = "sys_exit")]
pub fn rezolus_exit(ctx: BtfTracePointContext) -> i32 {
    let thread = bpf_get_current_pid_tgid() as u32;
    // SAFETY: only this thread's own programs touch its entry; the helper takes nothing.
    let (start, now) = unsafe { (STARTS.get(thread).copied(), bpf_ktime_get_ns()) };
    let Some(start) = start.filter(|&start| start != 0 && start < now) else { return 0 };
    let _ = STARTS.remove(thread);
    let registers: *const u8 = ctx.arg(0);
    // SAFETY: the verifier knows the struct.
    let number = unsafe { *registers.add(ORIG_AX).cast::<u32>() };
    let class = CLASS.get(number).copied().unwrap_or(0);
    if let Some(count) = HISTOGRAMS.get_ptr_mut(class * BUCKETS + bucket(now - start)) {
        // SAFETY: a valid map value; all CPUs add to it atomically.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
    }
    0
}

/// Sends an event for a call.
#[btf_tracepoint(function = "sys_enter")]
pub fn event(ctx: BtfTracePointContext) -> i32 {
    let number: u64 = ctx.arg(1);
    if CLASS.get(number as u32) != Some(&1) {
        return 0;
    }
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else { return 0 };
    let registers: *const u64 = ctx.arg(0);
    // SAFETY: the verifier knows the struct.
    let arguments = ARGUMENTS.map(|register| unsafe { *registers.add(register) });
    // SAFETY: the helpers take nothing.
    let (at, cgroup) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_cgroup_id()) };
    let (thread, comm) = (bpf_get_current_pid_tgid(), bpf_get_current_comm().unwrap_or_default());
    entry.write(Event { at, thread, cgroup, number, arguments, comm });
    entry.submit(0);
    0
}

/// Returns the bucket of a duration: the power of two, and the three bits after the highest one.
#[inline(always)]
fn bucket(nanoseconds: u64) -> u32 {
    let mut rest = nanoseconds;
    let mut power = 0;
    for step in [32, 16, 8, 4, 2, 1] {
        if rest >> step != 0 {
            rest >>= step;
            power += step;
        }
    }
    if power < 3 { nanoseconds as u32 } else { (power as u32 - 2) * 8 + (nanoseconds >> (power - 3)) as u32 % 8 }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
