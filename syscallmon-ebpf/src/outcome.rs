//! How calls end, from `sys_exit`: errors by errno, refused attempts, durations.
//!
//! Most calls end well, unmeasured, in tasks that nobody filters: they pay for reading what they returned, and whether their
//! task has a filter. What there is to count is counted by a hash lookup, as a series of its own.

use syscallmon_common::{ENOSYS, ERRNO_MAX, OUTCOME_DENIED, OUTCOME_DENIED_ENOSYS, SeriesKey};

use crate::{
    allocate::{self, Call, known},
    counter::one_more,
    denied, duration,
    globals::{COUNTS_DENIED, COUNTS_ERRORS, TIMES_CALLS},
    maps::{DENIED, ERRORS},
    number::{Entry, Numbered, of_call},
    slot::slot,
    task::Task,
};

/// Number of the call that seems to end with `sigreturn`, which restores the registers of whatever was interrupted.
const NONE: i64 = -1;

/// What `sys_exit` tells.
pub trait Exit {
    /// The number; read only where it is needed.
    fn nr(&self) -> i64;
    /// What the call returns.
    fn returned(&self) -> i64;
}

/// Counts what there is to count of a call that the current task ends.
///
/// Here is what every call pays for, and nothing else: what is counted is counted by functions of their own in the kernel, too, so
/// that this one is short, and the task is asked for only where it matters.
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

/// The call of a task, for counting.
#[inline(always)]
fn call_of(task: impl Task, nr: i64) -> (Call, Entry) {
    let Numbered { abi, entry } = of_call(task, nr);
    (Call { cgroup_id: task.cgroup_id(), nr, abi, position: entry.position() }, entry)
}

/// Whether the call of a task with a seccomp filter had entered the kernel; counts it if it was refused.
#[inline(never)]
fn had_entered<C: Exit, T: Task>(ctx: &C) -> bool {
    let task = T::current();
    let Some(state) = denied::left(task) else { return true };
    let (call, entry) = call_of(task, ctx.nr());
    if denied::is_refusal(state, entry, ctx.returned()) {
        // A filter that says so tells the program to do without, as on an old kernel.
        let outcome = if ctx.returned() == -ENOSYS { OUTCOME_DENIED_ENOSYS } else { OUTCOME_DENIED };
        count(&call, outcome);
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
    // What `sigreturn` restores is no answer, and what a probe returns is somebody else's.
    if nr != NONE && entry.answers() && !denied::is_rolled_back(task) {
        count(&call, errno);
    }
}

/// Counts a call that seccomp refused by ending its thread at once: there is no `sys_exit` for it.
#[inline(always)]
pub fn killed(task: impl Task, nr: i64) {
    count(&call_of(task, nr).0, OUTCOME_DENIED);
}

/// The errno that a call returned; `None` for what is a result, or known to the kernel only.
#[inline(always)]
fn errno(returned: i64) -> Option<u16> {
    let errno = returned.wrapping_neg() as u64;
    (errno.wrapping_sub(1) < u64::from(ERRNO_MAX)).then_some(errno as u16)
}

/// Counts an outcome. A function of its own in the kernel, too: most calls do not come here.
#[inline(never)]
fn count(call: &Call, outcome: u16) {
    let Some((slot, _)) = slot(call.cgroup_id) else {
        allocate::outcome_without_slot(call, outcome);
        return;
    };
    let key = SeriesKey { slot, position: call.position as u16, outcome };
    let series = if matches!(outcome, OUTCOME_DENIED | OUTCOME_DENIED_ENOSYS) {
        known(&DENIED, key).or_else(|| allocate::denied(call, key))
    } else {
        known(&ERRORS, key).or_else(|| allocate::error(call, key))
    };
    if let Some(series) = series {
        one_more(series);
    }
}
