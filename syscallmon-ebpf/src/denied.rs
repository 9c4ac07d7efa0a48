//! Which calls seccomp refused: those that end without having begun.
//!
//! A refused call makes no `sys_enter` but a `sys_exit`. So a task with a filter has a mark that says whether it is in a
//! call; no other task can be refused one, and pays for a look at `seccomp.mode` only. A task is marked from its fork on. One that
//! is not marked yet was there before the probes, or got its filter from another thread: what it ends may have begun unseen, so
//! it is marked, and not counted.
//!
//! The table of marks has room for every thread that the kernel can have, so no workload can fill it.

use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_task_pt_regs};
use syscallmon_common::{TASK_STATE_ROWS, TASK_STATES_PER_ROW, UNKNOWN_OFFSET};

use crate::{
    globals::{
        COUNTS_DENIED, COUNTS_ERRORS, HAS_TASK_PT_REGS, OFFSET_FILTER_NOTIF, OFFSET_FILTER_PREV, OFFSET_REGS_NR,
        OFFSET_STACK_REGS, OFFSET_TASK_EXIT_CODE, OFFSET_TASK_FLAGS, OFFSET_TASK_PENDING, OFFSET_TASK_PID,
        OFFSET_TASK_SECCOMP_FILTER, OFFSET_TASK_SECCOMP_MODE, OFFSET_TASK_STACK,
    },
    maps::TASK_STATE,
    number::Entry,
    task::{ProbeReadTask, Task, field, has_seccomp},
};

/// Nothing is known of the thread.
const UNKNOWN: u8 = 0;
/// It is in no call.
const NOT_IN_SYSCALL: u8 = 1;
/// It is in a call that has entered the kernel.
const IN_SYSCALL: u8 = 2;
/// It was just made, and has done nothing yet. On x86 it is seen to return from the call that made it.
const NEW: u8 = 3;
/// It has a tracer and no filter, and is in no call. Whether seccomp refused one is not to be concluded from these two.
const TRACED_NOT_IN_SYSCALL: u8 = 4;
/// It has a tracer and no filter, and is in a call that has entered the kernel.
const TRACED_IN_SYSCALL: u8 = 5;

/// The highest errno that a call can return (`include/linux/err.h`).
const MAX_ERRNO: i64 = 4095;

/// How many filters of a task are looked at; each container or program adds one or a few.
const MAX_FILTERS: u32 = 16;

/// `SIGKILL` and `SIGSYS`, and the flag of a task that a signal ends (`PF_SIGNALED` of `include/linux/sched.h`).
const SIGKILL: u32 = 9;
const SIGSYS: u32 = 31;
const PF_SIGNALED: u32 = 0x400;

/// A thread's mark.
#[inline(always)]
fn state_of(pid: u32) -> Option<*mut u8> {
    let row = TASK_STATE.get_ptr_mut(pid & (TASK_STATE_ROWS - 1))?;
    // SAFETY: a whole map value; the index is masked to its length.
    Some(unsafe { &raw mut (*row)[(pid / TASK_STATE_ROWS) as usize & (TASK_STATES_PER_ROW - 1)] })
}

/// Sets a thread's mark; what it was.
#[inline(always)]
fn set_state(pid: u32, to: u8) -> u8 {
    let Some(state) = state_of(pid) else { return UNKNOWN };
    // SAFETY: a valid map value, which only the thread itself reads and writes, and before it begins its parent.
    unsafe {
        let before = state.read_volatile();
        state.write_volatile(to);
        before
    }
}

/// Notes that a task's call has entered the kernel.
#[inline(always)]
pub fn entered(task: impl Task) {
    let to = if COUNTS_DENIED.load() != 0 && task.has_seccomp() {
        IN_SYSCALL
    } else if COUNTS_ERRORS.load() != 0 && task.is_traced() {
        TRACED_IN_SYSCALL
    } else {
        return;
    };
    if let Some(state) = state_of(task.pid()) {
        // SAFETY: as in `set_state`.
        unsafe { state.write_volatile(to) };
    }
}

/// Notes that the call of a task with a tracer and without a filter has ended; whether it had entered the kernel, as far as that is known.
/// A tracer can take a call away (`PTRACE_SYSEMU`), and say what it returns.
#[inline(always)]
pub fn left_traced(task: impl Task) -> bool {
    set_state(task.pid(), TRACED_NOT_IN_SYSCALL) != TRACED_NOT_IN_SYSCALL
}

/// Notes that the call of a task with a filter has ended; the task's mark, if that says that the call had not entered.
#[inline(always)]
pub fn left(task: impl Task) -> Option<u8> {
    let before = set_state(task.pid(), NOT_IN_SYSCALL);
    (before == NOT_IN_SYSCALL || before == NEW).then_some(before)
}

/// Whether a call that ended without having entered was refused, and neither made the task nor was answered by a supervisor.
#[inline(always)]
pub fn is_refusal(state: u8, entry: Entry, returned: i64) -> bool {
    if state == NEW && entry.forks() && returned == 0 {
        return false;
    }
    let is_error = returned < 0 && returned >= -MAX_ERRNO;
    is_error || !is_answered()
}

/// Notes that a task was made. It inherits its parent's filters.
#[inline(always)]
pub fn forked(child: *const u8) {
    let Some(pid) = field::<u32>(child, OFFSET_TASK_PID.load()) else { return };
    set_state(pid, if has_seccomp(child) { NEW } else { UNKNOWN });
}

/// The same, where only the child's id is known.
#[inline(always)]
pub fn forked_id(pid: u32) {
    set_state(pid, if ProbeReadTask::current().has_seccomp() { NEW } else { UNKNOWN });
}

/// Notes that the current thread ends; whether seccomp ended it in the middle of a call that it refused.
#[inline(always)]
pub fn ended() -> bool {
    let task = ProbeReadTask::current();
    let before = set_state(task.pid(), UNKNOWN);
    let word = |offset| field::<u32>(task.address() as *const u8, offset).unwrap_or(0);
    // A program's own exit code is in the second byte, and whom a signal ends has the flag.
    let code = word(OFFSET_TASK_EXIT_CODE.load());
    (before == NOT_IN_SYSCALL || before == NEW)
        && (code == SIGSYS || code == SIGKILL)
        && word(OFFSET_TASK_FLAGS.load()) & PF_SIGNALED == 0
        && task.has_seccomp()
}

/// The number of the call that the current task is in; -1 where that cannot be known.
#[inline(always)]
pub fn current_nr() -> i64 {
    registers().and_then(|registers| field::<i32>(registers, OFFSET_REGS_NR.load())).map_or(-1, i64::from)
}

/// The registers with which the current task entered the kernel.
#[inline(always)]
fn registers() -> Option<*const u8> {
    if HAS_TASK_PT_REGS.load() != 0 {
        // SAFETY: the first helper takes nothing, and the second what the first returns.
        return Some(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8);
    }
    // They are the last on the task's stack.
    let stack: u64 = field(ProbeReadTask::current().address() as *const u8, OFFSET_TASK_STACK.load())?;
    Some((stack + OFFSET_STACK_REGS.load()) as *const u8)
}

/// Whether a call that returned no error, and that the kernel did not run, was answered by a supervisor (`SECCOMP_RET_USER_NOTIF`):
/// nobody refused it then.
#[inline(always)]
fn is_answered() -> bool {
    !sigsys_waits() && has_supervisor()
}

/// Whether a call was refused by a signal: then it seems to return what it was called with (`syscall_rollback`). For calls that
/// marks do not tell of.
#[inline(always)]
pub fn is_rolled_back(task: impl Task) -> bool {
    OFFSET_TASK_SECCOMP_MODE.load() != UNKNOWN_OFFSET && task.has_seccomp() && sigsys_waits()
}

/// Whether the signal of a refused call waits for the current task.
#[inline(always)]
fn sigsys_waits() -> bool {
    let pending: Option<u64> = field(ProbeReadTask::current().address() as *const u8, OFFSET_TASK_PENDING.load());
    pending.is_some_and(|signals| signals & 1 << (SIGSYS - 1) != 0)
}

/// Whether one of the current task's filters asks a supervisor.
#[inline(always)]
fn has_supervisor() -> bool {
    if OFFSET_FILTER_NOTIF.load() == UNKNOWN_OFFSET {
        return false;
    }
    let mut filter: u64 =
        field(ProbeReadTask::current().address() as *const u8, OFFSET_TASK_SECCOMP_FILTER.load()).unwrap_or(0);
    for _ in 0..MAX_FILTERS {
        if filter == 0 {
            return false;
        }
        if field::<u64>(filter as *const u8, OFFSET_FILTER_NOTIF.load()).is_some_and(|notif| notif != 0) {
            return true;
        }
        filter = field(filter as *const u8, OFFSET_FILTER_PREV.load()).unwrap_or(0);
    }
    false
}
