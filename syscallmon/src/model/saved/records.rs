//! A saved model as records, of which a file has one on each line.
//!
//! Order: the model, its workloads, their slots, births. Moments are times of the clock of the boot, in nanoseconds. A
//! slot names its workload by number: 0 is the first workload.

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{ModelView, SavedModel, SlotBaseline, Totals};
use crate::{
    clock::BootClock,
    model::{
        seen::{CallTimes, Origin, Seen},
        workloads::Workloads,
    },
    snapshot::{Counts, CountsError, SavedCounts},
    syscalls::saved::{KnownCalls, UnnamedCall},
    workload::{Labels, ResolvedWorkload, SavedWorkload, Workload},
};

/// Births on one line.
const BIRTHS: usize = 1000;

/// All numbers of a file together are smaller. Otherwise sums of them could overflow.
const MAX_TOTAL: u64 = 1 << 62;

/// What belongs to no workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    at_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin_ns: Option<u64>,
    folded: u64,
    capped: u64,
    /// The part of the kernel's remainder that totals contain.
    remainder: SavedCounts,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadRecord {
    workload: SavedWorkload,
    metadata: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_since_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone_since_ns: Option<u64>,
    newest_slot: u32,
    cgroup_id: u64,
    stops: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_renamed: bool,
    counts: SavedCounts,
    /// The times of each call in `counts`, in the same order.
    seen: Vec<Seen>,
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRecord {
    slot: u32,
    cgroup_id: u64,
    workload: usize,
    /// Its own, if the workload has other metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Labels>,
    /// Its own, if the workload has other counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<SavedCounts>,
}

/// Cgroups and when they were born.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BirthsRecord(Vec<(u64, u64)>);

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Counts of another version.
    #[error(transparent)]
    Counts(#[from] CountsError),
    /// A moment that no earlier daemon can have seen.
    #[error("the time {0} ns is in the future")]
    Future(u64),
    /// Numbers that no kernel can have counted.
    #[error("the counts are too large")]
    TooLarge,
    /// Calls without times, or the reverse.
    #[error("{calls} calls have {times} times")]
    Times {
        /// Number of calls.
        calls: usize,
        /// Number of times.
        times: usize,
    },
    /// Two records of one workload.
    #[error("the workload {0} occurs twice")]
    TwoWorkloads(Workload),
    /// Two records of one slot.
    #[error("the slot {0} occurs twice")]
    TwoSlots(u32),
    /// A slot of a workload without a record.
    #[error("the slot {slot} counts for workload {workload}, and there are {all}")]
    NoWorkload {
        /// The slot.
        slot: u32,
        /// The workload's number.
        workload: usize,
        /// Number of workloads.
        all: usize,
    },
}

impl From<UnnamedCall> for RecordError {
    fn from(error: UnnamedCall) -> Self {
        CountsError::from(error).into()
    }
}

impl SavedModel {
    /// Returns what belongs to no workload.
    #[must_use]
    pub fn record(&self, clock: BootClock) -> ModelRecord {
        ModelRecord {
            at_ns: clock.nanoseconds(self.at),
            origin_ns: self.view.origin.0.map(|origin| clock.nanoseconds(origin)),
            folded: self.view.folded,
            capped: self.view.capped,
            remainder: (&*self.remainder).into(),
        }
    }

    /// Returns the workloads.
    pub fn workloads(&self, clock: BootClock) -> impl Iterator<Item = WorkloadRecord> {
        self.view.workloads.iter().map(move |(workload, totals)| {
            let Totals { held_since, newest_slot, cgroup_id, created, gone_since, stops, is_renamed, .. } = **totals;
            let time = |moment: Option<Instant>| moment.map(|moment| clock.nanoseconds(moment));
            let times = |(call, _)| totals.seen.get(call).copied().unwrap_or_default();
            WorkloadRecord {
                workload: workload.into(),
                metadata: totals.metadata.clone(),
                held_since_ns: time(held_since),
                created_ns: time(created),
                gone_since_ns: time(gone_since),
                newest_slot,
                cgroup_id,
                stops,
                is_renamed,
                counts: (&totals.counts).into(),
                seen: totals.counts.calls.iter().map(times).collect(),
            }
        })
    }

    /// Returns the slots, sorted.
    pub fn slots(&self) -> impl Iterator<Item = SlotRecord> {
        let workloads: HashMap<&Workload, (usize, &Arc<Totals>)> = self
            .view
            .workloads
            .iter()
            .zip(0..)
            .map(|((workload, totals), number)| (workload, (number, totals)))
            .collect();
        let mut slots: Vec<_> = self.slots.iter().collect();
        slots.sort_unstable_by_key(|(slot, _)| **slot);
        slots.into_iter().map(move |(&slot, baseline)| {
            let SlotBaseline { cgroup_id, named, counts } = baseline;
            // Workloads with slots stay.
            let (workload, totals) = workloads[&named.workload];
            SlotRecord {
                slot,
                cgroup_id: *cgroup_id,
                workload,
                metadata: (named.metadata != totals.metadata).then(|| named.metadata.clone()),
                counts: (**counts != totals.counts).then(|| (&**counts).into()),
            }
        })
    }

    /// Returns the births, sorted.
    pub fn births(&self, clock: BootClock) -> impl Iterator<Item = BirthsRecord> {
        let mut births: Vec<_> = self.births.iter().map(|(&id, &born)| (id, clock.nanoseconds(born))).collect();
        births.sort_unstable();
        let mut births = births.into_iter();
        std::iter::from_fn(move || {
            let some: Vec<_> = births.by_ref().take(BIRTHS).collect();
            (!some.is_empty()).then_some(BirthsRecord(some))
        })
    }
}

/// Makes a saved model of records.
#[derive(Debug)]
pub struct ModelReader {
    clock: BootClock,
    calls: KnownCalls,
    at: Instant,
    view: ModelView,
    births: HashMap<u64, Instant>,
    slots: HashMap<u32, SlotBaseline>,
    remainder: Counts,
    totals: BTreeMap<Workload, Totals>,
    workloads: Vec<Workload>,
    /// Sum of all numbers so far.
    sum: u64,
}

impl ModelReader {
    /// Returns a reader of a file with these calls.
    #[must_use]
    pub fn new(clock: BootClock, calls: KnownCalls) -> Self {
        Self {
            clock,
            calls,
            at: clock.now(),
            view: ModelView::default(),
            births: HashMap::new(),
            slots: HashMap::new(),
            remainder: Counts::default(),
            totals: BTreeMap::new(),
            workloads: Vec::new(),
            sum: 0,
        }
    }

    /// Adds what belongs to no workload.
    ///
    /// # Errors
    ///
    /// If the record cannot be used.
    pub fn model(&mut self, record: &ModelRecord) -> Result<(), RecordError> {
        let ModelRecord { at_ns, origin_ns, folded, capped, ref remainder } = *record;
        self.at = self.moment(at_ns)?;
        self.view.origin = Origin(self.some_moment(origin_ns)?);
        self.remainder = self.counts(remainder)?;
        (self.view.folded, self.view.capped) = (self.number(folded)?, self.number(capped)?);
        Ok(())
    }

    /// Adds a workload.
    ///
    /// # Errors
    ///
    /// As [`Self::model`].
    pub fn workload(&mut self, record: WorkloadRecord) -> Result<(), RecordError> {
        let WorkloadRecord { held_since_ns, created_ns, gone_since_ns, newest_slot, cgroup_id, is_renamed, .. } =
            record;
        let workload = Workload::from(record.workload);
        let totals = Totals {
            seen: self.times(&record.counts, &record.seen)?,
            counts: self.counts(&record.counts)?,
            metadata: record.metadata,
            held_since: self.some_moment(held_since_ns)?,
            slots: 0,
            newest_slot,
            cgroup_id,
            created: self.some_moment(created_ns)?,
            gone_since: self.some_moment(gone_since_ns)?,
            stops: self.number(record.stops)?,
            is_renamed,
        };
        if self.totals.insert(workload.clone(), totals).is_some() {
            return Err(RecordError::TwoWorkloads(workload));
        }
        self.workloads.push(workload);
        Ok(())
    }

    /// Adds a slot.
    ///
    /// # Errors
    ///
    /// As [`Self::model`].
    pub fn slot(&mut self, record: SlotRecord) -> Result<(), RecordError> {
        let SlotRecord { slot, cgroup_id, workload: number, metadata, counts } = record;
        let counts = counts.map(|counts| self.counts(&counts)).transpose()?;
        let workload = self.workloads.get(number);
        let totals = workload.and_then(|workload| self.totals.get_mut(workload));
        let (Some(workload), Some(totals)) = (workload, totals) else {
            return Err(RecordError::NoWorkload { slot, workload: number, all: self.workloads.len() });
        };
        let metadata = metadata.unwrap_or_else(|| totals.metadata.clone());
        let counts = counts.unwrap_or_else(|| totals.counts.clone());
        let hash_map::Entry::Vacant(free) = self.slots.entry(slot) else { return Err(RecordError::TwoSlots(slot)) };
        let named = ResolvedWorkload { workload: workload.clone(), metadata };
        free.insert(SlotBaseline { cgroup_id, named, counts: counts.into() });
        totals.slots += 1;
        Ok(())
    }

    /// Adds births.
    ///
    /// # Errors
    ///
    /// As [`Self::model`].
    pub fn births(&mut self, BirthsRecord(births): &BirthsRecord) -> Result<(), RecordError> {
        for &(id, born) in births {
            let born = self.moment(born)?;
            self.births.insert(id, born);
        }
        Ok(())
    }

    /// Returns counts with the ids of this version.
    ///
    /// # Errors
    ///
    /// As [`Self::model`].
    pub fn counts(&mut self, saved: &SavedCounts) -> Result<Counts, RecordError> {
        let counts = saved.known(&self.calls)?;
        self.number(counts.total())?;
        Ok(counts)
    }

    /// Returns the model.
    #[must_use]
    pub fn finish(mut self) -> SavedModel {
        for (workload, totals) in &mut self.totals {
            // As in every model.
            match totals.slots {
                0 if workload.is_one() => _ = totals.gone_since.get_or_insert(self.at),
                _ => totals.gone_since = None,
            }
        }
        let all = self.totals.into_iter().map(|(workload, totals)| (workload, totals.into()));
        self.view.workloads = Workloads::from(all.collect::<BTreeMap<_, _>>());
        SavedModel {
            at: self.at,
            view: self.view,
            births: self.births.into(),
            slots: self.slots.into(),
            remainder: self.remainder.into(),
        }
    }

    fn times(&self, counts: &SavedCounts, seen: &[Seen]) -> Result<CallTimes, RecordError> {
        let calls = &counts.calls;
        if calls.len() != seen.len() {
            return Err(RecordError::Times { calls: calls.len(), times: seen.len() });
        }
        let used = calls.iter().zip(seen).filter(|((_, number), _)| *number > 0);
        used.map(|(&(call, _), &seen)| Ok((self.calls.call(call)?, seen))).collect()
    }

    fn number(&mut self, number: u64) -> Result<u64, RecordError> {
        self.sum = self.sum.saturating_add(number);
        if self.sum < MAX_TOTAL { Ok(number) } else { Err(RecordError::TooLarge) }
    }

    fn moment(&self, ns: u64) -> Result<Instant, RecordError> {
        self.clock.moment(Duration::from_nanos(ns)).ok_or(RecordError::Future(ns))
    }

    fn some_moment(&self, ns: Option<u64>) -> Result<Option<Instant>, RecordError> {
        ns.map(|ns| self.moment(ns)).transpose()
    }
}
