//! How calls end, from `sys_exit`: errors by errno, refused attempts, durations.
//!
//! Most calls end well, unmeasured, in tasks that nobody filters: they pay for reading what they returned, and whether their
//! task has a filter. What there is to count is counted by a hash lookup, as a series of its own.

use aya_ebpf::EbpfContext;
use syscallmon_common::{ERRNO_MAX, Loss, OUTCOME_DENIED, SeriesKey};

use crate::{
    allocate::{self, Call},
    count::{one_more, slot},
    denied, duration,
    globals::{COUNTS_DENIED, COUNTS_ERRORS, TIMES_CALLS},
    maps::OUTCOMES,
    number::{Numbered, of_call},
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

/// Counts what there is to count of a call that a task ends.
#[inline(always)]
pub fn call<C: EbpfContext>(ctx: &C, task: impl Task, exit: &impl Exit) {
    if COUNTS_DENIED.load() != 0 && denied::left(task) {
        denied_call(ctx, task, exit.nr(), exit.returned());
        return;
    }
    if TIMES_CALLS.load() != 0 {
        let nr = exit.nr();
        let Numbered { abi, entry } = of_call(task, nr);
        if entry.is_timed() {
            let call = Call { cgroup_id: task.cgroup_id(), nr, abi, position: entry.position() };
            duration::end(ctx, task, &call);
        }
    }
    if COUNTS_ERRORS.load() != 0
        && let Some(errno) = errno(exit.returned())
    {
        let nr = exit.nr();
        // What `sigreturn` restores is no answer.
        if nr != NONE {
            let Numbered { abi, entry } = of_call(task, nr);
            count(ctx, &Call { cgroup_id: task.cgroup_id(), nr, abi, position: entry.position() }, errno);
        }
    }
}

/// Counts a call that ended without having entered, unless it is none or was answered by a supervisor.
#[inline(always)]
fn denied_call<C: EbpfContext>(ctx: &C, task: impl Task, nr: i64, returned: i64) {
    let Numbered { abi, entry } = of_call(task, nr);
    // The new task's return from the call that made it.
    if entry.forks() && returned == 0 {
        return;
    }
    if errno(returned).is_none() && denied::is_answered() {
        return;
    }
    count(ctx, &Call { cgroup_id: task.cgroup_id(), nr, abi, position: entry.position() }, OUTCOME_DENIED);
}

/// Counts a call that seccomp refused by ending its thread at once: there is no `sys_exit` for it.
#[inline(always)]
pub fn killed<C: EbpfContext>(ctx: &C, task: impl Task, nr: i64) {
    let Numbered { abi, entry } = of_call(task, nr);
    count(ctx, &Call { cgroup_id: task.cgroup_id(), nr, abi, position: entry.position() }, OUTCOME_DENIED);
}

/// The errno that a call returned; `None` for what is a result, or known to the kernel only.
#[inline(always)]
fn errno(returned: i64) -> Option<u16> {
    let errno = returned.wrapping_neg() as u64;
    (errno.wrapping_sub(1) < u64::from(ERRNO_MAX)).then_some(errno as u16)
}

/// Counts an outcome. A function of its own in the kernel, too: most calls do not come here.
#[inline(never)]
fn count<C: EbpfContext>(ctx: &C, call: &Call, outcome: u16) {
    let Some((slot, _)) = slot(ctx, call.cgroup_id) else {
        allocate::outcome_lost(call, outcome);
        return;
    };
    let key = SeriesKey { slot, position: call.position as u16, outcome };
    // SAFETY: user space removes an entry only when its cgroup is dead, that is, not this one's.
    let series = match unsafe { OUTCOMES.get(key.word()) } {
        Some(series) => *series,
        None => match allocate::outcome(ctx, call, key) {
            Some(series) => series,
            None => return,
        },
    };
    one_more(series);
}

/// Why an outcome could not be counted as its own.
#[inline(always)]
pub fn loss(outcome: u16) -> Loss {
    if outcome == OUTCOME_DENIED { Loss::DeniedFull } else { Loss::ErrorsFull }
}
