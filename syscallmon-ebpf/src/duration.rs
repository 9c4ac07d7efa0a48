//! Measures how long selected calls take: a histogram per cgroup, call and CPU.
//!
//! A task that begins a measured call has an entry in a hash table until the call or the task ends, so dead tasks leave
//! no entries. The key is the task's address, which stays the same when an exec changes the task's id.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
};
use syscallmon_common::{DURATION_BUCKETS, LossReason, OUTCOME_ENTERED, SeriesKey, Start};

use crate::{
    allocate::{self, Call, known},
    counter::lost,
    globals::HISTOGRAMS_PER_CPU,
    maps::{HISTOGRAMS, SERIES_INDEX, STARTS, TIMED},
    slot::{owner_of, slot},
    task::Task,
};

/// Records that a task begins a call. `slot` is the call's slot, 0 for none.
#[inline(always)]
pub fn begin(task: impl Task, position: u32, slot: u32) {
    let owner = SERIES_INDEX.get_ptr(slot).map_or(0, owner_of);
    // SAFETY: the helper takes nothing.
    let start = Start { time_ns: unsafe { bpf_ktime_get_ns() }, position, slot, owner };
    if STARTS.insert(task.address(), start, BPF_ANY.into()).is_err() {
        lost(LossReason::TimedCallsFull);
    }
}

/// Measures a call that ends, if its start was recorded.
#[inline(always)]
pub fn end(task: impl Task, call: &Call) {
    let address = task.address();
    // SAFETY: only this task's own programs touch its entry.
    let Some(&Start { time_ns, position, slot: slot_at_begin, owner }) = (unsafe { STARTS.get(address) }) else {
        return;
    };
    let _ = STARTS.remove(address);
    if position != call.position {
        return;
    }
    // SAFETY: the helper takes nothing.
    let took_ns = unsafe { bpf_ktime_get_ns() }.saturating_sub(time_ns);
    // In the meantime, the task may have moved to another cgroup, or the slot may have been reclaimed.
    let is_same = owner != 0 && SERIES_INDEX.get_ptr(slot_at_begin).map_or(0, owner_of) == owner;
    let slot = if is_same { Some(slot_at_begin) } else { slot(call.cgroup_id).map(|(slot, _)| slot) };
    let Some(slot) = slot else {
        lost(LossReason::HistogramsFull);
        return;
    };
    let key = SeriesKey { slot, position: position as u16, outcome: OUTCOME_ENTERED };
    match known(&TIMED, key).or_else(|| allocate::histogram(key)) {
        Some(histogram) => add(histogram, took_ns),
        None => lost(LossReason::HistogramsFull),
    }
}

/// Removes the start of a task that ends.
#[inline(always)]
pub fn forget(task: impl Task) {
    let _ = STARTS.remove(task.address());
}

/// Adds a duration to a histogram of this CPU.
#[inline(always)]
fn add(histogram: u32, took_ns: u64) {
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(durations) = HISTOGRAMS.get_ptr_mut(cpu * HISTOGRAMS_PER_CPU.load() + histogram) else { return };
    let bucket = bucket(took_ns);
    if bucket < DURATION_BUCKETS {
        // SAFETY: a whole map value that only this CPU writes; the index was just checked.
        unsafe {
            (*durations).buckets[bucket] += 1;
            (*durations).sum_ns += took_ns;
        }
    }
}

/// Returns the first bucket with a bound, 2^n microseconds, of at least this duration.
#[inline(always)]
fn bucket(took_ns: u64) -> usize {
    let mut rest = took_ns.div_ceil(1000).saturating_sub(1);
    let mut bits = 0;
    // The target has no instruction for counting leading zeros.
    for step in [32, 16, 8, 4, 2, 1] {
        if rest >> step != 0 {
            rest >>= step;
            bits += step;
        }
    }
    let bits = bits + usize::from(rest != 0);
    if bits < DURATION_BUCKETS { bits } else { DURATION_BUCKETS - 1 }
}
