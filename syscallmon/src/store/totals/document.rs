//! The file: one JSON object on each line. First a header and the names of calls, then the model, its workloads, slots
//! and births, and freed slots. At last the number of these lines.
//!
//! A file is used completely or not at all: totals that lack a part would fall, and their workloads' slots would count
//! twice.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::BootClock,
    model::{BirthsRecord, ModelReader, ModelRecord, RecordError, SlotRecord, WorkloadRecord},
    snapshot::{SavedCounts, SlotCounts},
    store::lines::{LineReader, LineWriter, MAX_BYTES},
    syscalls::{CallTable, saved::SavedCalls},
    view::SavedTotals,
};

/// Version of the file. It changes when an older daemon would misread a newer file, or the reverse.
const VERSION: u32 = 1;

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Header(Header),
    Calls(SavedCalls),
    Model(Box<ModelRecord>),
    Workload(Box<WorkloadRecord>),
    Slot(Box<SlotRecord>),
    Births(BirthsRecord),
    Freed(Box<FreedSlot>),
    End { lines: u64 },
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// The boot of the host, and its monotonic clock. Slots and times have no meaning in another boot.
    boot: String,
    monotonic: Duration,
    generation: u64,
    #[serde(default)]
    first_calls_from: u64,
    absorbed: Vec<(u64, u64)>,
}

/// A freed slot.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FreedSlot {
    slot: u32,
    cgroup_id: u64,
    counts: SavedCounts,
}

/// Why a file of totals is not used.
#[derive(Debug, thiserror::Error)]
pub enum TotalsFileError {
    /// The disk has a problem.
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    /// No daemon writes such a file.
    #[error("it exceeds {MAX_BYTES} bytes")]
    Size,
    /// The version of the file.
    #[error("version {0} is not supported: this version of syscallmon reads version {VERSION}")]
    Version(u32),
    /// The kernel's tables are gone.
    #[error("it is from another boot of the host")]
    Boot,
    /// The clock of a boot does not go back.
    #[error("it is from the future")]
    Future,
    /// The last line is missing, or another one.
    #[error("it is incomplete: it ends after line {0}")]
    Incomplete(u64),
    /// A line is not valid.
    #[error("line {line} is not valid")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong.
        source: LineError,
    },
}

/// Why a line is not used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not JSON, or not of this form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Impossible values.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A valid line at the wrong place.
    #[error("expected {0}")]
    Order(&'static str),
}

/// Writes the file in this boot.
pub(in crate::store) fn write(
    file: &mut impl Write,
    totals: &SavedTotals,
    calls: &CallTable,
    (boot, clock): (&str, BootClock),
) -> io::Result<()> {
    let SavedTotals { generation, first_calls_from, absorbed, freed, model } = totals;
    let header = Header {
        version: VERSION,
        boot: boot.to_owned(),
        monotonic: clock.since_boot(model.at()),
        generation: *generation,
        first_calls_from: *first_calls_from,
        absorbed: absorbed.clone(),
    };
    let head = [Line::Header(header), Line::Calls(SavedCalls::of(calls)), Line::Model(Box::new(model.record(clock)))];
    let workloads = model.workloads(clock).map(|workload| Line::Workload(Box::new(workload)));
    let slots = model.slots().map(|slot| Line::Slot(Box::new(slot)));
    let births = model.births(clock).map(Line::Births);
    let freed = freed.iter().map(|SlotCounts { slot, cgroup_id, counts }| {
        Line::Freed(Box::new(FreedSlot { slot: *slot, cgroup_id: *cgroup_id, counts: (&**counts).into() }))
    });
    let mut writer = LineWriter::new(file);
    let mut write = |line: Line| {
        let has_room = writer.write(&line)?;
        let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("totals exceed {MAX_BYTES} bytes"));
        if has_room { Ok(()) } else { Err(too_large()) }
    };
    head.into_iter().chain(workloads).chain(slots).chain(births).chain(freed).try_for_each(&mut write)?;
    writer.end(|lines| Line::End { lines })
}

/// Reads the file in this boot.
pub(in crate::store) fn read(
    file: impl Read,
    calls: &CallTable,
    (boot, clock): (&str, BootClock),
) -> Result<SavedTotals, TotalsFileError> {
    let mut lines = Lines(LineReader::new(file));
    let Line::Header(header) = lines.next()? else { return Err(lines.expected("a header")) };
    let Header { version, boot: of_boot, monotonic, generation, first_calls_from, absorbed } = header;
    if version != VERSION {
        return Err(TotalsFileError::Version(version));
    }
    if of_boot != boot || boot.is_empty() {
        return Err(TotalsFileError::Boot);
    }
    clock.moment(monotonic).ok_or(TotalsFileError::Future)?;
    let Line::Calls(names) = lines.next()? else { return Err(lines.expected("names of calls")) };
    let mut model = ModelReader::new(clock, names.known(calls));
    let Line::Model(record) = lines.next()? else { return Err(lines.expected("a model")) };
    lines.check(model.model(&record))?;
    let mut freed = Vec::new();
    loop {
        let added = match lines.next()? {
            Line::Workload(record) => model.workload(*record),
            Line::Slot(record) => model.slot(*record),
            Line::Births(record) => model.births(&record),
            Line::Freed(record) => {
                let FreedSlot { slot, cgroup_id, counts } = *record;
                let counts = model.counts(&counts).map(Arc::new);
                counts.map(|counts| freed.push(SlotCounts { slot, cgroup_id, counts }))
            }
            // This line is not one of them.
            Line::End { lines: expected } if expected + 1 == lines.0.line() => break,
            Line::End { .. } => return Err(TotalsFileError::Incomplete(lines.0.line())),
            Line::Header(_) | Line::Calls(_) | Line::Model(_) => return Err(lines.expected("a part of the model")),
        };
        lines.check(added)?;
    }
    Ok(SavedTotals { generation, first_calls_from, absorbed, freed, model: model.finish() })
}

/// The lines of a file, which must all be valid.
struct Lines<R>(LineReader<R>);

impl<R: Read> Lines<R> {
    fn next(&mut self) -> Result<Line, TotalsFileError> {
        match self.0.next()? {
            Some(Ok(line)) => Ok(line),
            Some(Err(error)) => Err(self.invalid(error.into())),
            None => Err(TotalsFileError::Incomplete(self.0.line())),
        }
    }

    fn check(&self, added: Result<(), RecordError>) -> Result<(), TotalsFileError> {
        added.map_err(|error| self.invalid(error.into()))
    }

    fn expected(&self, what: &'static str) -> TotalsFileError {
        self.invalid(LineError::Order(what))
    }

    fn invalid(&self, source: LineError) -> TotalsFileError {
        TotalsFileError::Line { line: self.0.line(), source }
    }
}
