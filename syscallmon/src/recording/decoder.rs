//! Decodes frames into samples. Whatever a file contains, memory is bounded, and no sample makes a model fail.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Header, Sample,
    frame::{FirstCallRow, Frame, SlotRow},
    names::{self, NameError, NamedRow, WorkloadRow},
};
use crate::{
    snapshot::{ArgumentKey, Counts, DeniedKey, ErrorKey, SlotCounts, Snapshot, SortedCounts},
    syscalls::{CallId, CallTable},
    view::RecordedFirstCall,
    workload::{Labels, ProviderStatus, ResolvedWorkload, Workload},
};

/// Limits on a file. The defaults exceed the maximum configuration of a daemon.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes after decompression.
    pub bytes: u64,
    /// Samples.
    pub samples: u64,
    /// Slots at the same time.
    pub slots: usize,
    /// Series at the same time.
    pub series: usize,
    /// Births, renames and other events between two snapshots.
    pub events: usize,
    /// Workloads at the same time, with ended ones that are kept.
    pub workloads: usize,
    /// Bytes of the labels of these workloads.
    pub label_bytes: usize,
    /// Whether checksums must be correct. The fuzzer turns this off.
    pub has_checksums: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            samples: 10_000_000,
            slots: 65_536,
            series: 5 << 20,
            events: 262_144,
            workloads: 262_144,
            label_bytes: 256 << 20,
            has_checksums: true,
        }
    }
}

/// Maximum calls, and nanoseconds, in a file: every sum of them fits into 64 bits.
const MAX_AMOUNT: u64 = 1 << 60;
const MAX_NANOSECONDS: u64 = 1 << 63;

/// Maximum moment, since counting began.
const MAX_MOMENT: u64 = 10 * 366 * 24 * 3600 * 1_000_000_000;

/// Maximum bytes of facts about one process, and of a provider's problem.
const MAX_PROCESS: usize = 64 << 10;
const MAX_PARENTS: usize = 64;
const MAX_PROBLEM: usize = 4096;

/// Maximum first calls between two snapshots.
const MAX_FIRST_CALLS: usize = 8192;

/// Why a frame cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("has more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("refers to the unknown call {0}")]
    Call(u16),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("has an invalid time: earlier than the previous record, or ten years after the first")]
    Time,
    #[error("exceeds the possible number of calls")]
    Amounts,
    #[error("refers to the unknown slot {0}")]
    Slot(u32),
    #[error("renames a workload that already had a name")]
    Rename,
    #[error("contains a metadata provider twice")]
    Source,
    #[error("contains a text that is too long")]
    Text,
}

/// State after the frames so far.
pub struct Decoder {
    limits: Limits,
    calls: CallTable,
    translation: Vec<CallId>,
    names: HashMap<u64, ResolvedWorkload>,
    slots: BTreeMap<u32, SlotCounts>,
    series: usize,
    amounts: u64,
    nanoseconds: u64,
    remainder: Counts,
    kept: Vec<Labels>,
    sources: Vec<ProviderStatus>,
    at: u64,
    samples: u64,
    /// Data of the parts of the next sample.
    pending: Sample,
}

impl Decoder {
    pub(super) fn new(header: &Header, limits: Limits) -> Self {
        let calls = header.call_table();
        Self {
            limits,
            translation: header.translation(&calls),
            calls,
            names: HashMap::new(),
            slots: BTreeMap::new(),
            series: 0,
            amounts: 0,
            nanoseconds: 0,
            remainder: Counts::default(),
            kept: Vec::new(),
            sources: Vec::new(),
            at: 0,
            samples: 0,
            pending: Sample::default(),
        }
    }

    /// Decodes a frame. Returns the sample that it completes; `None` for a part.
    pub(super) fn take(&mut self, mut frame: Frame) -> Result<Option<Sample>, DecodeError> {
        self.take_events(&mut frame)?;
        for row in &frame.slots {
            self.take_slot(row)?;
        }
        if frame.is_part {
            return Ok(None);
        }
        self.samples += 1;
        let most = usize::try_from(self.limits.samples).unwrap_or(usize::MAX);
        at_most("samples", usize::try_from(self.samples).unwrap_or(usize::MAX), most)?;
        let mut sample = std::mem::take(&mut self.pending);
        self.complete(&mut sample, frame)?;
        Ok(Some(sample))
    }

    fn take_events(&mut self, frame: &mut Frame) -> Result<(), DecodeError> {
        for (id, at) in frame.births.drain(..) {
            self.pending.births.push((id, moment(at)?));
        }
        for row in frame.first_calls.drain(..) {
            let call = self.first_call(row)?;
            self.pending.first_calls.push(call);
        }
        for (from, to) in frame.renames.drain(..) {
            self.pending.renames.push(rename(from, to)?);
        }
        for (id, row) in frame.names.drain(..) {
            self.names.insert(id, names::named(row)?);
        }
        let Sample { births, first_calls, renames, .. } = &self.pending;
        at_most("first calls at once", first_calls.len(), MAX_FIRST_CALLS)?;
        at_most("names", self.names.len(), 2 * self.limits.slots)?;
        at_most("events at once", births.len() + renames.len(), self.limits.events)
    }

    fn take_slot(&mut self, row: &SlotRow) -> Result<(), DecodeError> {
        let counts = self.counts(&row.counts)?;
        if row.is_new {
            let new = SlotCounts { slot: row.slot, cgroup_id: row.cgroup, counts: Arc::new(counts) };
            self.series += weight(&new.counts);
            let old = self.slots.insert(row.slot, new);
            self.series -= old.map_or(0, |old| weight(&old.counts));
        } else {
            let slot = self.slots.get_mut(&row.slot).filter(|slot| slot.cgroup_id == row.cgroup);
            let slot = slot.ok_or(DecodeError::Slot(row.slot))?;
            self.series -= weight(&slot.counts);
            Arc::make_mut(&mut slot.counts).add(&counts);
            self.series += weight(&slot.counts);
        }
        at_most("slots", self.slots.len(), self.limits.slots)?;
        at_most("series", self.series, self.limits.series)
    }

    /// Adds the data that only the last frame of a sample has.
    fn complete(&mut self, sample: &mut Sample, frame: Frame) -> Result<(), DecodeError> {
        if frame.at < self.at {
            return Err(DecodeError::Time);
        }
        (self.at, sample.taken) = (frame.at, moment(frame.at)?);
        for slot in frame.gone {
            self.series -= self.slots.remove(&slot).map_or(0, |old| weight(&old.counts));
        }
        let remainder = self.counts(&frame.remainder)?;
        self.remainder.add(&remainder);
        if let Some(kept) = frame.kept {
            at_most("workloads", kept.len(), self.limits.workloads)?;
            self.kept = kept.into_iter().map(names::labels).collect::<Result<_, _>>()?;
        }
        if let Some(sources) = frame.sources {
            self.sources = checked(sources)?;
        }
        let cgroups: HashSet<u64> = self.slots.values().map(|slot| slot.cgroup_id).collect();
        self.names.retain(|id, _| cgroups.contains(id));
        sample.names = self.named();
        sample.snapshot = Snapshot {
            slots: self.slots.values().cloned().collect(),
            remainder: self.remainder.clone(),
            losses: frame.losses,
            series: frame.series,
            histograms: frame.histograms,
        };
        sample.time = SystemTime::UNIX_EPOCH + Duration::from_nanos(frame.time);
        sample.took = Duration::from_nanos(frame.took);
        (sample.freed, sample.freed_before, sample.dead) = (frame.freed, frame.freed_before, frame.dead);
        sample.renamed_cgroups = frame.renamed_cgroups;
        sample.name_timeout = Duration::from_nanos(frame.patience);
        sample.expire_after = Duration::from_nanos(frame.expire_after);
        (sample.kept, sample.sources) = (self.kept.clone(), self.sources.clone());
        (sample.unresolved, sample.missed) = (frame.unresolved, frame.missed);
        Ok(())
    }

    /// Returns the names of cgroups with slots, in the order of the slots.
    fn named(&self) -> Vec<(u64, ResolvedWorkload)> {
        let of = |slot: &SlotCounts| Some((slot.cgroup_id, self.names.get(&slot.cgroup_id)?.clone()));
        self.slots.values().filter_map(of).collect()
    }

    /// Translates counts to the ids of calls here.
    fn counts(&mut self, counts: &Counts) -> Result<Counts, DecodeError> {
        let amounts = counts.calls.iter().map(|(_, amount)| *amount);
        let amounts = amounts.chain(counts.container_init.iter().map(|(_, amount)| *amount));
        let amounts = amounts.chain(counts.errors.iter().map(|(_, amount)| *amount));
        let amounts = amounts.chain(counts.denied.iter().map(|(_, amount)| *amount));
        let amounts = amounts.chain(counts.arguments.iter().map(|(_, amount)| *amount));
        let mut amounts = amounts.chain(counts.durations.iter().flat_map(|(_, durations)| durations.buckets));
        self.amounts = amounts.try_fold(self.amounts, u64::checked_add).ok_or(DecodeError::Amounts)?;
        let mut nanoseconds = counts.durations.iter().map(|(_, durations)| durations.sum_ns);
        self.nanoseconds = nanoseconds.try_fold(self.nanoseconds, u64::checked_add).ok_or(DecodeError::Amounts)?;
        if self.amounts > MAX_AMOUNT || self.nanoseconds > MAX_NANOSECONDS {
            return Err(DecodeError::Amounts);
        }
        let call = |id| self.call(id);
        let failure = |failure| match failure {
            ErrorKey::Of(id, errno) => Ok(ErrorKey::Of(call(id)?, errno)),
            ErrorKey::Other => Ok(ErrorKey::Other),
        };
        let denial = |denial| match denial {
            DeniedKey::Of(id) => Ok(DeniedKey::Of(call(id)?)),
            DeniedKey::Unsupported(id) => Ok(DeniedKey::Unsupported(call(id)?)),
            DeniedKey::OfRuntime(id) => Ok(DeniedKey::OfRuntime(call(id)?)),
            DeniedKey::Other => Ok(DeniedKey::Other),
        };
        let class = |class| match class {
            ArgumentKey::Of(id) => Ok(ArgumentKey::Of(call(id)?)),
            ArgumentKey::Denied(id) => Ok(ArgumentKey::Denied(call(id)?)),
            ArgumentKey::Other => Ok(ArgumentKey::Other),
        };
        let calls = |(id, &amount): (CallId, &u64)| Ok((call(id)?, amount));
        Ok(Counts {
            calls: counts.calls.iter().map(calls).collect::<Result<_, DecodeError>>()?,
            container_init: counts.container_init.iter().map(calls).collect::<Result<_, DecodeError>>()?,
            errors: each(counts.errors.iter(), failure)?,
            denied: each(counts.denied.iter(), denial)?,
            arguments: each(counts.arguments.iter(), class)?,
            durations: counts
                .durations
                .iter()
                .map(|(id, durations)| Ok((call(id)?, *durations)))
                .collect::<Result<_, DecodeError>>()?,
        })
    }

    fn call(&self, id: CallId) -> Result<CallId, DecodeError> {
        self.translation.get(usize::from(id.0)).copied().ok_or(DecodeError::Call(id.0))
    }

    fn first_call(&self, row: FirstCallRow) -> Result<(Labels, RecordedFirstCall), DecodeError> {
        let FirstCallRow { time, named, call, number, denied, process } = row;
        if process.bytes() > MAX_PROCESS || process.parents.len() > MAX_PARENTS {
            return Err(DecodeError::Text);
        }
        let call = self.calls.call(self.call(CallId(call))?);
        let named = names::named(named)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(time);
        let (abi, syscall, argument) = (call.abi, call.name(), call.argument());
        Ok((
            named.metadata,
            RecordedFirstCall { time, workload: named.workload, abi, syscall, argument, number, denied, process },
        ))
    }
}

fn each<'a, K: Copy + Ord>(
    amounts: impl Iterator<Item = (K, &'a u64)>,
    translate: impl Fn(K) -> Result<K, DecodeError>,
) -> Result<SortedCounts<K>, DecodeError> {
    amounts.map(|(key, amount)| Ok((translate(key)?, *amount))).collect()
}

/// Metadata providers, each once.
fn checked(sources: Vec<ProviderStatus>) -> Result<Vec<ProviderStatus>, DecodeError> {
    let names: HashSet<_> = sources.iter().map(|source| source.source).collect();
    if names.len() < sources.len() {
        return Err(DecodeError::Source);
    }
    let is_long = |source: &ProviderStatus| source.problem.as_ref().is_some_and(|text| text.len() > MAX_PROBLEM);
    if sources.iter().any(is_long) { Err(DecodeError::Text) } else { Ok(sources) }
}

/// A container with new metadata.
fn rename(from: WorkloadRow, to: NamedRow) -> Result<(Workload, ResolvedWorkload), DecodeError> {
    let (from, to) = (names::workload(from)?, names::named(to)?);
    let is_renamed = matches!(from, Workload::Unresolved(_)) && !matches!(to.workload, Workload::Unresolved(_));
    if is_renamed { Ok((from, to)) } else { Err(DecodeError::Rename) }
}

/// Returns the memory of counts, in series.
fn weight(counts: &Counts) -> usize {
    counts.series() + counts.container_init.len()
}

fn moment(at: u64) -> Result<Duration, DecodeError> {
    if at <= MAX_MOMENT { Ok(Duration::from_nanos(at)) } else { Err(DecodeError::Time) }
}

fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), DecodeError> {
    if count <= most { Ok(()) } else { Err(DecodeError::TooMany { what, most }) }
}
