//! Encodes samples as frames: only the differences to the previous sample.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Sample,
    frame::{FirstCallRow, Frame, SlotRow},
    mask::{MASKED, Mask},
    names::{NamedRow, named_row, values, workload_row},
};
use crate::{
    snapshot::{Counts, Snapshot},
    syscalls::{Call, CallTable},
    view::RecordedFirstCall,
    workload::{Labels, ProviderStatus, ResolvedWorkload},
};

/// Approximate maximum entries of lists in a frame. A line is then far shorter than its limit.
const ENTRIES: usize = 20_000;

/// Weight of a list's entry, in entries with numbers: texts are longer.
const NUMBERS: usize = 1;
const NAME: usize = 20;
const FIRST_CALL: usize = 100;

/// State after the samples so far.
pub(super) struct Encoder {
    calls: CallTable,
    mask: Option<Mask>,
    names: HashMap<u64, ResolvedWorkload>,
    slots: BTreeMap<u32, (u64, Arc<Counts>)>,
    remainder: Counts,
    kept: Vec<Labels>,
    sources: Vec<ProviderStatus>,
}

impl Encoder {
    pub(super) fn new(calls: CallTable, mask: Option<Mask>) -> Self {
        Self {
            calls,
            mask,
            names: HashMap::new(),
            slots: BTreeMap::new(),
            remainder: Counts::default(),
            kept: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// Returns the frames of a sample. The last one completes it.
    pub(super) fn frames(&mut self, sample: Sample) -> Vec<Frame> {
        let mut parts = FrameParts::default();
        let mask = self.mask.as_ref();
        for (id, born) in sample.births {
            parts.room(NUMBERS).births.push((id, nanoseconds(born)));
        }
        for (metadata, call) in sample.first_calls {
            let row = first_call_row(&self.calls, &metadata, call, mask);
            parts.room(FIRST_CALL).first_calls.push(row);
        }
        for (workload, named) in sample.renames {
            parts.room(2 * NAME).renames.push((workload_row(&workload, mask), named_row(&named, mask)));
        }
        for (id, row) in self.new_names(&sample.snapshot, sample.names) {
            parts.room(NAME).names.push((id, row));
        }
        let (slots, gone) = self.new_slots(&sample.snapshot);
        for row in slots {
            parts.room(NUMBERS + row.counts.series() + row.counts.container_init.len()).slots.push(row);
        }
        let mut frame = parts.last;
        frame.gone = gone;
        frame.remainder = sample.snapshot.remainder.since(&self.remainder);
        self.remainder = sample.snapshot.remainder;
        (frame.renamed_cgroups, frame.freed, frame.freed_before) =
            (sample.renamed_cgroups, sample.freed, sample.freed_before);
        (frame.dead, frame.missed, frame.unresolved) = (sample.dead, sample.missed, sample.unresolved);
        (frame.at, frame.took) = (nanoseconds(sample.taken), nanoseconds(sample.took));
        frame.time = unix_nanoseconds(sample.time);
        (frame.patience, frame.expire_after) = (nanoseconds(sample.name_timeout), nanoseconds(sample.expire_after));
        (frame.series, frame.histograms) = (sample.snapshot.series, sample.snapshot.histograms);
        frame.losses = sample.snapshot.losses;
        let mask = self.mask.as_ref();
        frame.kept = (sample.kept != self.kept).then(|| sample.kept.iter().map(|kept| values(kept, mask)).collect());
        self.kept = sample.kept;
        let is_other = sample.sources != self.sources;
        frame.sources = is_other.then(|| sample.sources.iter().map(|source| status(source, mask)).collect());
        self.sources = sample.sources;
        parts.full.push(frame);
        parts.full
    }

    /// Returns changed names. Encoder and decoder remember only names of cgroups in the snapshot.
    fn new_names(&mut self, snapshot: &Snapshot, names: Vec<(u64, ResolvedWorkload)>) -> Vec<(u64, NamedRow)> {
        let cgroups: HashSet<u64> = snapshot.slots.iter().map(|slot| slot.cgroup_id).collect();
        self.names.retain(|id, _| cgroups.contains(id));
        let mut new = Vec::new();
        for (id, named) in names {
            if cgroups.contains(&id) && self.names.get(&id) != Some(&named) {
                new.push((id, named_row(&named, self.mask.as_ref())));
                self.names.insert(id, named);
            }
        }
        new
    }

    /// Returns the increases of slots, and slots that are gone.
    fn new_slots(&mut self, snapshot: &Snapshot) -> (Vec<SlotRow>, Vec<u32>) {
        let mut before = std::mem::take(&mut self.slots);
        let mut rows = Vec::new();
        for slot in &snapshot.slots {
            let known = before.remove(&slot.slot).filter(|(cgroup, _)| *cgroup == slot.cgroup_id);
            let mut row = SlotRow { slot: slot.slot, cgroup: slot.cgroup_id, is_new: true, counts: Counts::default() };
            if let Some((_, known)) = &known {
                if Arc::ptr_eq(known, &slot.counts) {
                    self.slots.insert(slot.slot, (slot.cgroup_id, Arc::clone(known)));
                    continue;
                }
                row.counts = slot.counts.since(known);
                let mut sum = Counts::clone(known);
                sum.add(&row.counts);
                // A difference cannot express counts that fell.
                row.is_new = sum != *slot.counts;
            }
            if row.is_new {
                row.counts = Counts::clone(&slot.counts);
            }
            if row.is_new || !row.counts.is_empty() || !row.counts.container_init.is_empty() {
                rows.push(row);
            }
            self.slots.insert(slot.slot, (slot.cgroup_id, Arc::clone(&slot.counts)));
        }
        (rows, before.into_keys().collect())
    }
}

/// Frames of a sample. A full frame is a part.
#[derive(Default)]
struct FrameParts {
    full: Vec<Frame>,
    last: Frame,
    weight: usize,
}

impl FrameParts {
    /// Returns a frame with room for an entry of this weight.
    fn room(&mut self, weight: usize) -> &mut Frame {
        if self.weight > 0 && self.weight + weight > ENTRIES {
            let full = std::mem::take(&mut self.last);
            self.full.push(Frame { is_part: true, ..full });
            self.weight = 0;
        }
        self.weight += weight;
        &mut self.last
    }
}

fn first_call_row(calls: &CallTable, metadata: &Labels, call: RecordedFirstCall, mask: Option<&Mask>) -> FirstCallRow {
    let is_it = |of: &Call| (of.abi, of.name(), of.argument()) == (call.abi, call.syscall, call.argument);
    let id = calls.all().find(|(_, of)| is_it(of)).map_or(0, |(id, _)| id.0);
    let named = NamedRow { workload: workload_row(&call.workload, mask), metadata: values(metadata, mask) };
    let RecordedFirstCall { time, number, denied, mut process, .. } = call;
    if let Some(mask) = mask {
        mask.process(&mut process);
    }
    FirstCallRow { time: unix_nanoseconds(time), named, call: id, number, denied, process }
}

fn status(source: &ProviderStatus, mask: Option<&Mask>) -> ProviderStatus {
    let mut status = source.clone();
    if mask.is_some() {
        // The problem contains addresses and paths.
        status.problem = status.problem.map(|_| MASKED.to_owned());
    }
    status
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn unix_nanoseconds(time: SystemTime) -> u64 {
    nanoseconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
