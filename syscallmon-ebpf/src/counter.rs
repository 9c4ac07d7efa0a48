//! Counters per CPU, and counters that all CPUs share.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{helpers::bpf_get_smp_processor_id, maps::Array};
use syscallmon_common::LossReason;

use crate::{
    globals::SERIES_PER_CPU,
    maps::{COUNTERS, LOST},
};

/// Increments the counter of a series on this CPU.
#[inline(always)]
pub fn one_more(series: u32) {
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(counter) = COUNTERS.get_ptr_mut(cpu * SERIES_PER_CPU.load() + series) {
        // SAFETY: a valid map value, which only this CPU writes.
        unsafe { *counter += 1 };
    }
}

/// Counts one loss.
#[inline(always)]
pub fn lost(reason: LossReason) {
    add(&LOST, reason as u32);
}

/// Increments an array entry that all CPUs share.
#[inline(always)]
pub fn add(array: &Array<u64>, index: u32) {
    if let Some(value) = array.get_ptr_mut(index) {
        // SAFETY: a valid, aligned map value; all CPUs add to it atomically.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(value, 1) };
    }
}
