//! The slow path: allocates a series for a call, or counts the call in the remainder.
//!
//! Two CPUs may race for the same key. The loser gives its outcome series or histogram back. Two series of the same
//! call may both count; user space adds them up.

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_AVAIL_DATA},
    helpers::{bpf_get_current_comm, bpf_get_current_uid_gid, bpf_ktime_get_ns},
    maps::{Array, HashMap},
};
use syscallmon_common::{
    Abi, FIRST_CALLS_BYTES, LossReason, OUTCOME_ARGUMENT, OUTCOME_DENIED, OUTCOME_ENTERED, OUTCOME_OTHER_ARGUMENTS,
    OUTCOME_OTHER_DENIED, OUTCOME_OTHER_ERRORS, Pool, RawFirstCall, Reported, SERIES_OF_CONTAINER_INIT, SeriesKey,
    is_denied,
};

use crate::{
    ancestry, container_init,
    counter::{add, lost},
    globals::{ARGUMENTS_PER_CGROUP, DENIED_PER_CGROUP, ERRORS_PER_CGROUP},
    maps::{
        ARGUMENTS, ARGUMENTS_OF_SLOT, CONTAINER_INIT_COUNTS, DENIED, DENIED_OF_SLOT, DENIED_REMAINDER, ERRORS,
        ERRORS_OF_SLOT, FIRST_CALLS, FREE_HISTOGRAMS, FREE_SERIES, HISTOGRAM_KEYS, REMAINDER, REPORTED, SERIES_KEYS,
        TIMED,
    },
    origin,
    pool::{exhausted, give_back, is_exhausted, take},
    slot::holder_of,
};

/// A call to count.
pub struct Call {
    pub cgroup_id: u64,
    pub nr: i64,
    pub abi: Abi,
    pub position: u32,
    /// Whether the position is that of a class of the call's arguments.
    pub is_class: bool,
}

/// Allocates the series of a call that the cgroup makes for the first time, and enters it in the index. `None`: the
/// call is already counted, in the remainder or as container init.
#[cold]
#[inline(never)]
pub fn series(call: &Call, slot: u32, entry: *mut u32) -> Option<u32> {
    // SAFETY: `entry` is in a row of SERIES_INDEX, bounds checked by the caller.
    let known = unsafe { entry.read_volatile() };
    let is_container_init = container_init::in_runtime_init();
    let series = if known == 0 { new_series_of_call(call, slot)? } else { known & !SERIES_OF_CONTAINER_INIT };
    let entered = if is_container_init { series | SERIES_OF_CONTAINER_INIT } else { series };
    // Container init must not set the flag again if the container's own first call came in between.
    if !(is_container_init && known != 0) {
        // SAFETY: as above.
        unsafe { entry.write_volatile(entered) };
    }
    if is_container_init {
        add(&CONTAINER_INIT_COUNTS, series);
        return None;
    }
    report(call, OUTCOME_ENTERED, holder_of(slot), false);
    Some(series)
}

/// Allocates a series for a call. `None`: the call was counted in the remainder.
#[inline(always)]
fn new_series_of_call(call: &Call, slot: u32) -> Option<u32> {
    let Some(series) = take(&FREE_SERIES, Pool::Series) else {
        exhausted(Pool::Series);
        remainder(call, LossReason::SeriesFull, holder_of(slot));
        return None;
    };
    let key = SERIES_KEYS.get_ptr_mut(series)?;
    // SAFETY: a valid map value; only this CPU has the series.
    unsafe { write_key(key, SeriesKey { slot, position: call.position as u16, outcome: OUTCOME_ENTERED }) };
    Some(series)
}

/// Counts a call of a cgroup that gets no slot.
#[cold]
#[inline(never)]
pub fn without_slot(call: &Call) {
    remainder(call, LossReason::CgroupsFull, ancestry::attributed_to(call.cgroup_id));
}

/// Allocates a series for an error and enters it in the hash table. A cgroup with too many errors gets one series for
/// all others. `None`: the error was counted as lost.
#[cold]
#[inline(never)]
pub fn error(call: &Call, key: SeriesKey) -> Option<u32> {
    let share = Share {
        table: &ERRORS,
        places: Pool::Errors,
        of_slot: &ERRORS_OF_SLOT,
        most: ERRORS_PER_CGROUP.load(),
        others: OUTCOME_OTHER_ERRORS,
    };
    let Some(Outcome { series, .. }) = share.series(key) else {
        outcome_lost(call, key.outcome, holder_of(key.slot));
        return None;
    };
    Some(series)
}

/// Allocates a series for a denied call in the same way. `None`: the call was counted in the remainder.
#[cold]
#[inline(never)]
pub fn denied(call: &Call, key: SeriesKey) -> Option<u32> {
    let share = Share {
        table: &DENIED,
        places: Pool::Denied,
        of_slot: &DENIED_OF_SLOT,
        most: DENIED_PER_CGROUP.load(),
        others: OUTCOME_OTHER_DENIED,
    };
    let Some(Outcome { series, is_new, is_other }) = share.series(key) else {
        outcome_lost(call, key.outcome, holder_of(key.slot));
        return None;
    };
    if key.outcome == OUTCOME_DENIED {
        if is_other {
            report_once(call, OUTCOME_DENIED, holder_of(key.slot));
        } else if is_new {
            report(call, OUTCOME_DENIED, holder_of(key.slot), false);
        }
    }
    Some(series)
}

/// Allocates a series for a class of arguments in the same way. `None`: the call was counted as lost. Calls of
/// container init are not counted by class until the container's own program makes one of that class.
#[inline(always)]
pub fn argument(call: &Call, key: SeriesKey) -> Option<u32> {
    let share = Share {
        table: &ARGUMENTS,
        places: Pool::Arguments,
        of_slot: &ARGUMENTS_OF_SLOT,
        most: ARGUMENTS_PER_CGROUP.load(),
        others: OUTCOME_OTHER_ARGUMENTS,
    };
    let Some(Outcome { series, is_new, is_other }) = share.series(key) else {
        lost(LossReason::ArgumentsFull);
        report_class(call, key.outcome, holder_of(key.slot), true);
        return None;
    };
    if is_other || is_new {
        report_class(call, key.outcome, holder_of(key.slot), is_other);
    }
    Some(series)
}

/// Counts a class of arguments of a cgroup that has no slot.
#[inline(always)]
pub fn argument_without_slot(call: &Call, outcome: u16) {
    lost(LossReason::ArgumentsFull);
    report_class(call, outcome, ancestry::attributed_to(call.cgroup_id), true);
}

/// Reports a class of arguments. `uncounted`: it has no series of its own, and is reported once.
#[inline(always)]
fn report_class(call: &Call, outcome: u16, owner: u64, uncounted: bool) {
    let of_call = if outcome == OUTCOME_ARGUMENT { OUTCOME_ENTERED } else { OUTCOME_DENIED };
    if uncounted {
        report_once(call, of_call, owner);
    } else {
        report(call, of_call, owner, false);
    }
}

/// One cgroup's share of a table of outcomes. It prevents a cgroup from using up the table.
struct Share<'a> {
    table: &'a HashMap<u64, u32>,
    places: Pool,
    /// Series that each slot has.
    of_slot: &'a Array<u64>,
    most: u32,
    /// The outcome that stands for all further ones.
    others: u16,
}

/// The series of an outcome.
struct Outcome {
    series: u32,
    is_new: bool,
    /// Whether it stands for all outcomes beyond the cgroup's share.
    is_other: bool,
}

impl Share<'_> {
    /// Allocates a series for an outcome that the table does not have: a new one, or the one for all others. `None`: no
    /// series is free.
    #[inline(always)]
    fn series(&self, key: SeriesKey) -> Option<Outcome> {
        let of_slot = self.of_slot.get_ptr_mut(key.slot)?;
        // SAFETY: a valid map value, read as one word.
        let has = unsafe { of_slot.read_volatile() };
        let is_other = has >= u64::from(self.most);
        let key = if is_other { SeriesKey { position: 0, outcome: self.others, ..key } } else { key };
        if let Some(series) = known(self.table, key) {
            return Some(Outcome { series, is_new: false, is_other });
        }
        let (series, is_new) = new_series(self.table, self.places, key)?;
        if is_new && !is_other {
            // SAFETY: as above. Two CPUs at the same time may exceed the share by one series.
            unsafe { of_slot.write_volatile(has + 1) };
        }
        Some(Outcome { series, is_new, is_other })
    }
}

/// Returns a series for a key that the table does not have, and whether it is new. Another CPU may be faster.
#[inline(always)]
fn new_series(table: &HashMap<u64, u32>, places: Pool, key: SeriesKey) -> Option<(u32, bool)> {
    if is_exhausted(places) {
        return None;
    }
    let Some(series) = take(&FREE_SERIES, Pool::Series) else {
        exhausted(Pool::Series);
        return None;
    };
    let entry = SERIES_KEYS.get_ptr_mut(series)?;
    // SAFETY: a valid map value; only this CPU has the series.
    unsafe { write_key(entry, key) };
    if table.insert(key.word(), series, BPF_NOEXIST.into()).is_ok() {
        return Some((series, true));
    }
    // Another CPU won the race, or the table is full.
    // SAFETY: as above.
    unsafe { write_key(entry, SeriesKey::default()) };
    give_back(&FREE_SERIES, series);
    let known = known(table, key);
    if known.is_none() {
        exhausted(places);
    }
    known.map(|series| (series, false))
}

/// Allocates a histogram and enters it in the hash table. `None`: no histogram is free.
#[cold]
#[inline(never)]
pub fn histogram(key: SeriesKey) -> Option<u32> {
    let Some(histogram) = take(&FREE_HISTOGRAMS, Pool::Histograms) else {
        exhausted(Pool::Histograms);
        return None;
    };
    let entry = HISTOGRAM_KEYS.get_ptr_mut(histogram)?;
    // SAFETY: a valid map value; only this CPU has the histogram.
    unsafe { write_key(entry, key) };
    if TIMED.insert(key.word(), histogram, BPF_NOEXIST.into()).is_ok() {
        return Some(histogram);
    }
    // Another CPU won the race. The table has an entry for each histogram, so it is not full.
    // SAFETY: as above.
    unsafe { write_key(entry, SeriesKey::default()) };
    give_back(&FREE_HISTOGRAMS, histogram);
    known(&TIMED, key)
}

/// Writes a key as one word, because user space reads it at the same time.
///
/// # Safety
///
/// A valid value of `SERIES_KEYS` or `HISTOGRAM_KEYS`, which are arrays of whole words.
#[inline(always)]
unsafe fn write_key(entry: *mut SeriesKey, key: SeriesKey) {
    // SAFETY: as the caller promises.
    unsafe { entry.cast::<u64>().write_volatile(key.word()) };
}

/// Returns the number that a table has for a key.
#[inline(always)]
pub fn known(table: &HashMap<u64, u32>, key: SeriesKey) -> Option<u32> {
    // SAFETY: user space removes only entries of dead cgroups, and this one is alive.
    unsafe { table.get(key.word()) }.copied()
}

/// Counts an outcome that has no series. `owner` is the cgroup that it is attributed to.
#[inline(always)]
pub fn outcome_lost(call: &Call, outcome: u16, owner: u64) {
    if !is_denied(outcome) {
        lost(LossReason::ErrorsFull);
        return;
    }
    add(&DENIED_REMAINDER, call.position);
    lost(LossReason::DeniedFull);
    if outcome == OUTCOME_DENIED {
        report_once(call, OUTCOME_DENIED, owner);
    }
}

/// Counts an outcome of a cgroup that has no slot.
#[cold]
#[inline(never)]
pub fn outcome_without_slot(call: &Call, outcome: u16) {
    outcome_lost(call, outcome, ancestry::attributed_to(call.cgroup_id));
}

/// Counts a call that has no series. Reports it once anyway, so a workload that fills the tables cannot hide calls.
#[inline(always)]
fn remainder(call: &Call, reason: LossReason, owner: u64) {
    add(&REMAINDER, call.position);
    lost(reason);
    if !container_init::in_runtime_init() {
        report_once(call, OUTCOME_ENTERED, owner);
    }
}

/// Reports a call without a series of its own, unless it was already reported. Such calls may use only half of the ring
/// buffer, so they cannot displace reports of other calls. A later call reports what did not fit.
#[cold]
#[inline(never)]
fn report_once(call: &Call, outcome: u16, owner: u64) {
    let denied = u32::from(outcome == OUTCOME_DENIED);
    let key = Reported { cgroup_id: owner, position: call.position, denied };
    // SAFETY: only checks whether the key exists.
    if unsafe { REPORTED.get(key) }.is_some() {
        return;
    }
    if FIRST_CALLS.query(BPF_RB_AVAIL_DATA.into()) > FIRST_CALLS_BYTES / 2 {
        lost(LossReason::FirstCallEvents);
        return;
    }
    if REPORTED.insert(key, 1, BPF_NOEXIST.into()).is_ok() {
        report(call, outcome, owner, true);
    }
}

/// Reports the first call, or first denied call, and its process. `owner` is the cgroup that it is attributed to.
/// `uncounted` means that the call has no series of its own.
#[inline(always)]
fn report(call: &Call, outcome: u16, owner: u64, uncounted: bool) {
    let flags = u32::from(outcome == OUTCOME_DENIED) | u32::from(uncounted) << 1;
    report_first_call(call.nr, call.abi as u32, owner, flags, if call.is_class { call.position } else { 0 });
}

/// See [`report`]. `flags` has 1 for a denied call, 2 for a call without a series of its own. A global function: the
/// verifier checks it once for each program, not for each path to it.
#[cold]
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn report_first_call(nr: i64, abi: u32, owner: u64, flags: u32, class: u32) -> u32 {
    let Some(mut event) = FIRST_CALLS.reserve::<RawFirstCall>(0) else {
        lost(LossReason::FirstCallEvents);
        return 0;
    };
    let record = event.as_mut_ptr();
    // Written by field, because the whole record is too large for the stack.
    // SAFETY: the reserved record has room for one event, and only this program has it.
    unsafe {
        (*record).time_ns = bpf_ktime_get_ns();
        (*record).cgroup_id = owner;
        (*record).nr = nr;
        (*record).abi = abi;
        (*record).uid = bpf_get_current_uid_gid() as u32;
        ((*record).denied, (*record).uncounted, (*record).class) = (flags & 1, flags >> 1 & 1, class);
        (*record).comm = bpf_get_current_comm().unwrap_or_default();
        origin::write(record);
    }
    event.submit(0);
    1
}
