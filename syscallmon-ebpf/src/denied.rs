//! Finds calls that seccomp denied: calls that end without having entered the kernel.
//!
//! A denied call has a `sys_exit` but no `sys_enter`. So each task with a seccomp filter has a state that says whether
//! it is in a call. Tasks without a filter cannot be denied calls, and pay only for reading `seccomp.mode`. A task has
//! a state from its fork on. A task without a state existed before the probes, or got its filter from another thread.
//! Its current call may have begun unseen, so it gets a state when the call ends, and that call is not counted.
//!
//! The table has room for every thread that the kernel can have, so no workload can fill it.

use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_task_pt_regs};
use syscallmon_common::{TASK_STATE_ROWS, TASK_STATES_PER_ROW, UNKNOWN_OFFSET};

use crate::{
    globals::{
        COUNTS_DENIED, COUNTS_ERRORS, HAS_TASK_PT_REGS, OFFSET_FILTER_NOTIF, OFFSET_FILTER_PREV, OFFSET_REGS_NR,
        OFFSET_STACK_REGS, OFFSET_TASK_EXIT_CODE, OFFSET_TASK_FLAGS, OFFSET_TASK_PENDING, OFFSET_TASK_PID,
        OFFSET_TASK_SECCOMP_FILTER, OFFSET_TASK_SECCOMP_MODE, OFFSET_TASK_STACK,
    },
    maps::TASK_STATE,
    number::PositionEntry,
    task::{ProbeReadTask, Task, field, has_seccomp},
};

/// The state is unknown.
const UNKNOWN: u8 = 0;
/// The thread is not in a call.
const NOT_IN_SYSCALL: u8 = 1;
/// The thread is in a call that has entered the kernel.
const IN_SYSCALL: u8 = 2;
/// The thread was just created. On x86, its first event is the return from the call that created it.
const NEW: u8 = 3;
/// The thread has a tracer, has no filter and is not in a call. This state and the next one prove no denial.
const TRACED_NOT_IN_SYSCALL: u8 = 4;
/// The thread has a tracer, has no filter and is in a call that has entered the kernel.
const TRACED_IN_SYSCALL: u8 = 5;

/// Maximum errno that a call can return (`include/linux/err.h`).
const MAX_ERRNO: i64 = 4095;

/// Maximum filters of a task that are read; each container or program adds one or a few.
const MAX_FILTERS: u32 = 16;

/// `SIGKILL`, `SIGSYS`, and the flag of a task that a signal ends (`PF_SIGNALED` of `include/linux/sched.h`).
const SIGKILL: u32 = 9;
const SIGSYS: u32 = 31;
const PF_SIGNALED: u32 = 0x400;

/// Returns the state of a thread.
#[inline(always)]
fn state_of(pid: u32) -> Option<*mut u8> {
    let row = TASK_STATE.get_ptr_mut(pid & (TASK_STATE_ROWS - 1))?;
    // SAFETY: a whole map value; the index is masked to its length.
    Some(unsafe { &raw mut (*row)[(pid / TASK_STATE_ROWS) as usize & (TASK_STATES_PER_ROW - 1)] })
}

/// Sets the state of a thread. Returns the previous one.
#[inline(always)]
fn set_state(pid: u32, to: u8) -> u8 {
    let Some(state) = state_of(pid) else { return UNKNOWN };
    // SAFETY: a valid map value. Only the thread itself reads and writes it, and its parent before the thread begins.
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

/// Notes that the call of a task with a tracer and without a filter has ended. Returns whether it had entered the
/// kernel, as far as known. A tracer can skip a call (`PTRACE_SYSEMU`) and set its return value.
#[inline(always)]
pub fn left_traced(task: impl Task) -> bool {
    set_state(task.pid(), TRACED_NOT_IN_SYSCALL) != TRACED_NOT_IN_SYSCALL
}

/// Notes that the call of a task with a filter has ended. Returns the task's state if the call had not entered the
/// kernel.
#[inline(always)]
pub fn left(task: impl Task) -> Option<u8> {
    let before = set_state(task.pid(), NOT_IN_SYSCALL);
    (before == NOT_IN_SYSCALL || before == NEW).then_some(before)
}

/// Whether a call that ended without entering the kernel was denied. It was not if it created the task, or if a
/// supervisor answered it.
#[inline(always)]
pub fn is_denial(state: u8, entry: PositionEntry, returned: i64) -> bool {
    if state == NEW && entry.forks() && returned == 0 {
        return false;
    }
    let is_error = returned < 0 && returned >= -MAX_ERRNO;
    is_error || !is_answered()
}

/// Notes that a task was created. It inherits its parent's filters.
#[inline(always)]
pub fn forked(child: *const u8) {
    let Some(pid) = field::<u32>(child, OFFSET_TASK_PID.load()) else { return };
    set_state(pid, if has_seccomp(child) { NEW } else { UNKNOWN });
}

/// Notes that a task was created, when only its id is known.
#[inline(always)]
pub fn forked_id(pid: u32) {
    set_state(pid, if ProbeReadTask::current().has_seccomp() { NEW } else { UNKNOWN });
}

/// Notes that the current thread ends. Returns whether seccomp ended it inside a denied call.
#[inline(always)]
pub fn ended() -> bool {
    let task = ProbeReadTask::current();
    let before = set_state(task.pid(), UNKNOWN);
    let word = |offset| field::<u32>(task.address() as *const u8, offset).unwrap_or(0);
    // A program's own exit code is in the second byte. A task that a signal ended has the flag.
    let code = word(OFFSET_TASK_EXIT_CODE.load());
    (before == NOT_IN_SYSCALL || before == NEW)
        && (code == SIGSYS || code == SIGKILL)
        && word(OFFSET_TASK_FLAGS.load()) & PF_SIGNALED == 0
        && task.has_seccomp()
}

/// Returns the number of the current task's call; -1 if unknown.
#[inline(always)]
pub fn current_nr() -> i64 {
    registers().and_then(|registers| field::<i32>(registers, OFFSET_REGS_NR.load())).map_or(-1, i64::from)
}

/// Returns the registers with which the current task entered the kernel.
#[inline(always)]
pub fn registers() -> Option<*const u8> {
    if HAS_TASK_PT_REGS.load() != 0 {
        // SAFETY: the first helper takes nothing, and the second takes the result of the first.
        return Some(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8);
    }
    // The registers are at the end of the task's stack.
    let stack: u64 = field(ProbeReadTask::current().address() as *const u8, OFFSET_TASK_STACK.load())?;
    Some((stack + OFFSET_STACK_REGS.load()) as *const u8)
}

/// Whether a supervisor (`SECCOMP_RET_USER_NOTIF`) answered a call that did not run and returned no error. Such a call
/// was not denied.
#[inline(always)]
fn is_answered() -> bool {
    !sigsys_waits() && has_supervisor()
}

/// Whether a signal denied a call. Such a call seems to return its first argument (`syscall_rollback`). For calls
/// without a task state.
#[inline(always)]
pub fn is_rolled_back(task: impl Task) -> bool {
    OFFSET_TASK_SECCOMP_MODE.load() != UNKNOWN_OFFSET && task.has_seccomp() && sigsys_waits()
}

/// Whether the signal of a denied call is pending for the current task.
#[inline(always)]
fn sigsys_waits() -> bool {
    let pending: Option<u64> = field(ProbeReadTask::current().address() as *const u8, OFFSET_TASK_PENDING.load());
    pending.is_some_and(|signals| signals & 1 << (SIGSYS - 1) != 0)
}

/// Whether one of the current task's filters has a supervisor.
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
