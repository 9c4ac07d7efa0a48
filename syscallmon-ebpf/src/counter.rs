//! Counters: those of each CPU, and those that all CPUs add to.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{helpers::bpf_get_smp_processor_id, maps::Array};
use syscallmon_common::LossReason;

use crate::{
    globals::SERIES_PER_CPU,
    maps::{COUNTERS, LOST},
};

/// Adds one to this CPU's counter of a series.
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

/// Adds one to an array's entry that all CPUs share.
#[inline(always)]
pub fn add(array: &Array<u64>, index: u32) {
    if let Some(value) = array.get_ptr_mut(index) {
        // SAFETY: a valid, aligned map value, which everybody adds to atomically.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(value, 1) };
    }
}
