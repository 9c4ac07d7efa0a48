//! How calls end, from `sys_exit`: errors by errno, denied calls, durations.
//!
//! Most calls succeed, are not measured, and belong to tasks without a filter. They only pay for reading the result,
//! and whether the task has a filter. All other outcomes have their own series, found by a hash lookup.

use syscallmon_common::{
    Abi, ENOSYS, ERRNO_MAX, OUTCOME_DENIED, OUTCOME_DENIED_CONTAINER_INIT, OUTCOME_DENIED_ENOSYS, SeriesKey, is_denied,
};

use crate::{
    allocate::{self, Call, known},
    arguments::{self, Arguments},
    container_init,
    counter::one_more,
    denied, duration,
    globals::{COUNTS_ARGUMENTS, COUNTS_DENIED, COUNTS_ERRORS, TIMES_CALLS},
    maps::{DENIED, ERRORS},
    number::{Numbered, PositionEntry, of_call},
    slot::slot,
    task::Task,
};

/// Number that a call seems to have when it ends with `sigreturn`, which restores the registers of the interrupted
/// code.
const NONE: i64 = -1;

/// The data of `sys_exit`.
pub trait Exit {
    /// The call's number; read only where needed.
    fn nr(&self) -> i64;
    /// The call's return value.
    fn returned(&self) -> i64;
    /// The call's arguments; likewise.
    fn arguments(&self, abi: Abi) -> Arguments;
}

/// Counts the outcome of a call.
///
/// This function holds only what every call pays for. The counting is in separate functions, also in the kernel, so
/// this one stays short and reads the task only where needed.
#[inline(always)]
pub fn call<C: Exit, T: Task>(ctx: &C) {
    if COUNTS_DENIED.load() != 0 && T::current().has_seccomp() {
        if !had_entered::<C, T>(ctx) {
            return;
        }
    } else if COUNTS_ERRORS.load() != 0 && T::current().is_traced() && !denied::left_traced(T::current()) {
        return;
    }
    if TIMES_CALLS.load() != 0 {
        let nr = ctx.nr();
        if of_call(T::current(), nr).entry.is_timed() {
            timed::<T>(nr);
        }
    }
    if COUNTS_ERRORS.load() != 0
        && let Some(errno) = errno(ctx.returned())
    {
        failed::<C, T>(ctx, errno);
    }
}

/// Builds the call of a task, for counting.
#[inline(always)]
fn call_of(task: impl Task, nr: i64) -> (Call, PositionEntry) {
    let Numbered { abi, entry } = of_call(task, nr);
    (Call { cgroup_id: task.cgroup_id(), nr, abi, position: entry.position(), is_class: false }, entry)
}

/// Whether the call of a task with a seccomp filter had entered the kernel. Counts the call if it was denied.
#[inline(never)]
fn had_entered<C: Exit, T: Task>(ctx: &C) -> bool {
    let task = T::current();
    let Some(state) = denied::left(task) else { return true };
    let (call, entry) = call_of(task, ctx.nr());
    if denied::is_denial(state, entry, ctx.returned()) {
        // A filter that answers ENOSYS tells the program to use a fallback, as on an old kernel. A runtime may load the
        // container's filter before it executes the container's program, as runc does for `exec`.
        let outcome = if ctx.returned() == -ENOSYS {
            OUTCOME_DENIED_ENOSYS
        } else if container_init::in_runtime_init() {
            OUTCOME_DENIED_CONTAINER_INIT
        } else {
            OUTCOME_DENIED
        };
        let slot = count(&call, outcome);
        if outcome == OUTCOME_DENIED && COUNTS_ARGUMENTS.load() != 0 && entry.has_classes() {
            arguments::denied(&call, slot, ctx.arguments(call.abi));
        }
    }
    false
}

/// Measures a call.
#[inline(never)]
fn timed<T: Task>(nr: i64) {
    let task = T::current();
    duration::end(task, &call_of(task, nr).0);
}

/// Counts a call that returned an error.
#[inline(never)]
fn failed<C: Exit, T: Task>(ctx: &C, errno: u16) {
    let (task, nr) = (T::current(), ctx.nr());
    let (call, entry) = call_of(task, nr);
    // `sigreturn` restores a value that is not its result, and a uretprobe returns a foreign value.
    if nr != NONE && entry.answers() && !denied::is_rolled_back(task) {
        count(&call, errno);
    }
}

/// Counts a call that seccomp denied by ending its thread. Such a call has no `sys_exit`.
#[inline(always)]
pub fn killed(task: impl Task, nr: i64) {
    let (call, entry) = call_of(task, nr);
    let slot = count(&call, OUTCOME_DENIED);
    if COUNTS_ARGUMENTS.load() != 0 && entry.has_classes() {
        arguments::killed(&call, slot);
    }
}

/// Returns the errno of a call; `None` for results and for values that only the kernel uses.
#[inline(always)]
fn errno(returned: i64) -> Option<u16> {
    let errno = returned.wrapping_neg() as u64;
    (errno.wrapping_sub(1) < u64::from(ERRNO_MAX)).then_some(errno as u16)
}

/// Counts an outcome. Returns the call's slot, 0 for none. A separate function, also in the kernel, because most calls
/// do not need it.
#[inline(never)]
fn count(call: &Call, outcome: u16) -> u32 {
    let Some((slot, _)) = slot(call.cgroup_id) else {
        allocate::outcome_without_slot(call, outcome);
        return 0;
    };
    let key = SeriesKey { slot, position: call.position as u16, outcome };
    let series = if is_denied(outcome) {
        known(&DENIED, key).or_else(|| allocate::denied(call, key))
    } else {
        known(&ERRORS, key).or_else(|| allocate::error(call, key))
    };
    if let Some(series) = series {
        one_more(series);
    }
    slot
}
