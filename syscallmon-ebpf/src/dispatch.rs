//! Dispatchers of the pinned mode: programs that stay attached while daemons come and go.
//!
//! Each has the name of a counting program, is attached in its place, and jumps to it (`bpf_tail_call`). A new daemon
//! puts its own program into the array. So each call runs one of the two programs, never both and never none. The array
//! index is a constant, so the kernel patches the jump into the code where it can (`bpf_arch_poke_desc_update`).
//!
//! After a [`Lease`] ends, dispatchers run nothing. They must stay as they are: a daemon takes over only dispatchers
//! with the same instructions, and otherwise starts anew.

#![no_std]
#![no_main]
#![expect(unreachable_pub, reason = "the macros that declare programs and maps ask for `pub`, in a binary too")]
#![expect(missing_docs, reason = "the functions that the macros make around programs have none")]

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map, raw_tracepoint, tracepoint},
    maps::{Array, ProgramArray},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use syscallmon_common::{
    DESCRIPTION_BYTES, DISPATCH_CGROUP_MKDIR, DISPATCH_CGROUP_RMDIR, DISPATCH_CONTAINER_INIT_EXECUTED,
    DISPATCH_CONTAINER_INIT_FORKED, DISPATCH_CONTAINER_INIT_MOVED, DISPATCH_IO_URING_SUBMIT, DISPATCH_LEN,
    DISPATCH_SYS_ENTER, DISPATCH_SYS_EXIT, DISPATCH_TASK_EXIT, DISPATCH_TASK_FORK, Lease,
};

/// Programs on raw tracepoints.
#[map]
static TO_RAW: ProgramArray = ProgramArray::with_max_entries(DISPATCH_LEN, 0);

/// Programs on classic tracepoints.
#[map]
static TO_CLASSIC: ProgramArray = ProgramArray::with_max_entries(DISPATCH_LEN, 0);

/// The BTF-typed program on `sys_enter`. An array has BTF-typed programs of one tracepoint only.
#[map]
static TO_ENTER_BTF: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The BTF-typed program on `sys_exit`.
#[map]
static TO_EXIT_BTF: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Until when the programs run without a daemon.
#[map]
static LEASE: Array<Lease> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The description of a daemon's tables, written by user space. No program uses it.
#[map]
pub static DESCRIPTION: Array<[u8; DESCRIPTION_BYTES]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Whether the lease has ended.
#[inline(always)]
fn is_over() -> bool {
    let Some(lease) = LEASE.get_ptr(0) else { return true };
    // SAFETY: a whole map value, read as one word.
    unsafe { (&raw const (*lease).is_over).read_volatile() != 0 }
}

/// Ends the lease if no daemon has renewed it. The end of a thread is frequent enough, and rare enough for a clock.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn lease(_: RawTracePointContext) -> i32 {
    let Some(lease) = LEASE.get_ptr_mut(0) else { return 0 };
    // SAFETY: a whole map value, accessed as words; the helper takes nothing.
    unsafe {
        let until = (&raw const (*lease).until_ns).read_volatile();
        if bpf_ktime_get_ns() > until {
            (&raw mut (*lease).is_over).write_volatile(1);
        }
    }
    0
}

macro_rules! dispatch {
    ($context:ty, $array:ident: $(#[$attribute:meta] $name:ident = $index:expr;)*) => {
        $(
            /// Runs the counting program of this name.
            #[$attribute]
            pub fn $name(ctx: $context) -> i32 {
                if !is_over() {
                    // SAFETY: the array has programs of this type only. Returns if it has none at this index.
                    unsafe { $array.tail_call(&ctx, $index) };
                }
                0
            }
        )*
    };
}

dispatch!(BtfTracePointContext, TO_ENTER_BTF: #[btf_tracepoint(function = "sys_enter")] sys_enter_btf = 0;);
dispatch!(BtfTracePointContext, TO_EXIT_BTF: #[btf_tracepoint(function = "sys_exit")] sys_exit_btf = 0;);
dispatch!(RawTracePointContext, TO_RAW:
    #[raw_tracepoint] sys_enter_raw = DISPATCH_SYS_ENTER;
    #[raw_tracepoint] sys_exit_raw = DISPATCH_SYS_EXIT;
    #[raw_tracepoint] task_fork = DISPATCH_TASK_FORK;
    #[raw_tracepoint] task_exit = DISPATCH_TASK_EXIT;
    #[raw_tracepoint] container_init_moved = DISPATCH_CONTAINER_INIT_MOVED;
    #[raw_tracepoint] container_init_forked = DISPATCH_CONTAINER_INIT_FORKED;
    #[raw_tracepoint] container_init_executed = DISPATCH_CONTAINER_INIT_EXECUTED;
    #[raw_tracepoint] io_uring_submit = DISPATCH_IO_URING_SUBMIT;
    #[raw_tracepoint] cgroup_mkdir = DISPATCH_CGROUP_MKDIR;
    #[raw_tracepoint] cgroup_rmdir = DISPATCH_CGROUP_RMDIR;
);
dispatch!(TracePointContext, TO_CLASSIC:
    #[tracepoint] sys_enter_tp = DISPATCH_SYS_ENTER;
    #[tracepoint] sys_exit_tp = DISPATCH_SYS_EXIT;
    #[tracepoint] task_fork_tp = DISPATCH_TASK_FORK;
    #[tracepoint] task_exit_tp = DISPATCH_TASK_EXIT;
    #[tracepoint] io_uring_submit_tp = DISPATCH_IO_URING_SUBMIT;
    #[tracepoint] cgroup_mkdir_tp = DISPATCH_CGROUP_MKDIR;
    #[tracepoint] cgroup_rmdir_tp = DISPATCH_CGROUP_RMDIR;
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
