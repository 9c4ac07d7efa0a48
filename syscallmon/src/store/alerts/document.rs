//! The file: one JSON object on each line. First the version and the time, then violations, incidents, and what was
//! sent and is to be sent, and at last the number of these lines.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    alert::{LastingDelivery, SavedDelivery},
    clock::{BootClock, monotonic_now},
    detect::{
        Incident, LastingDetection, LastingIncident, LastingViolation, SavedLastingIncident, Violation,
        saved::{SavedViolation, UnknownCall, age},
    },
    error_report::chain,
    stable_id::StableId,
    store::lines::{LineReader, LineWriter},
    view::LastingState,
};

/// Version of the file. It changes when an older daemon would misread a newer file, or the reverse.
const VERSION: u32 = 1;

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    State(Header),
    Violation { violation: SavedViolation, counted: u64, seen: Duration },
    Incident(SavedLastingIncident),
    Delivery { delivery: SavedDelivery },
    End { lines: u64 },
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) version: u32,
    /// The boot of the host, and its monotonic clock. Within a boot, the age of the file does not depend on the wall
    /// clock.
    pub(super) boot: String,
    pub(super) monotonic: Duration,
    pub(super) time: SystemTime,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum FileError {
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    #[error("version {0} is not supported: this version of syscallmon reads version {VERSION}")]
    Version(u32),
    #[error("it does not begin with a header")]
    Header,
    #[error("it is incomplete")]
    Incomplete,
}

/// Why a line is not used.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("not valid")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Call(#[from] UnknownCall),
    #[error("a header")]
    Header,
}

/// What an earlier daemon left.
#[derive(Debug)]
pub struct Earlier {
    /// When it was saved.
    pub saved: Instant,
    /// Violations and incidents.
    pub detection: LastingDetection,
    /// What was sent, and what is still to be sent.
    pub delivery: LastingDelivery,
}

impl Default for Earlier {
    fn default() -> Self {
        Self { saved: Instant::now(), detection: LastingDetection::default(), delivery: LastingDelivery::default() }
    }
}

/// Writes the file.
pub(in crate::store) fn write(file: &mut impl Write, state: &LastingState, boot: &str) -> io::Result<()> {
    let (clock, time) = (BootClock::read(), SystemTime::now());
    let since = age(clock.now(), state.at.into_std());
    let header = Header {
        version: VERSION,
        boot: boot.to_owned(),
        monotonic: clock.since_boot(state.at.into_std()),
        time: time.checked_sub(since).unwrap_or(time),
    };
    let LastingDetection { violations, incidents } = &state.detection;
    let violations = violations.iter().map(|LastingViolation { violation, counted, seen }| Line::Violation {
        violation: (&**violation).into(),
        counted: *counted,
        seen: *seen,
    });
    let incidents = incidents.iter().map(|incident| Line::Incident(incident.into()));
    let delivery = state.delivery.saved(state.at).map(|delivery| Line::Delivery { delivery });
    let mut writer = LineWriter::new(file);
    writer.write(&Line::State(header))?;
    let mut omitted = 0;
    for line in violations.chain(incidents).chain(delivery) {
        omitted += u64::from(!writer.write(&line)?);
    }
    if omitted > 0 {
        tracing::warn!(records = omitted, "alerts are too many or too long for the file: a restart forgets some");
    }
    writer.end(|lines| Line::End { lines })
}

/// Reads the file. A record that this version does not know is skipped.
pub(in crate::store) fn read(file: impl Read, boot: &str, node: &Arc<str>) -> Result<Earlier, FileError> {
    let mut lines = LineReader::new(file);
    let first = lines.next()?.ok_or(FileError::Incomplete)?;
    let Ok(Line::State(Header { version, boot: of_boot, monotonic, time })) = first else {
        return Err(FileError::Header);
    };
    if version != VERSION {
        return Err(FileError::Version(version));
    }
    let age = if of_boot == boot && !boot.is_empty() {
        monotonic_now().saturating_sub(monotonic)
    } else {
        // The clock may have been set back.
        SystemTime::now().duration_since(time).unwrap_or_default()
    };
    let saved = Instant::now();
    let mut earlier = Earlier { saved: saved.checked_sub(age).unwrap_or(saved), ..Earlier::default() };
    let mut skipped = 0;
    loop {
        let line = lines.next()?.ok_or(FileError::Incomplete)?.map_err(LineError::Json);
        if let Ok(Line::End { lines: expected }) = line {
            // This line is not one of them.
            return if expected + 1 == lines.line() { Ok(earlier.shared()) } else { Err(FileError::Incomplete) };
        }
        if let Err(error) = line.and_then(|line| earlier.add(line, node)) {
            if skipped == 0 {
                let error = chain(&error);
                tracing::warn!(line = lines.line(), error, "skipped a record of an earlier daemon, and others like it");
            }
            skipped += 1;
        }
    }
}

impl Earlier {
    fn add(&mut self, line: Line, node: &Arc<str>) -> Result<(), LineError> {
        match line {
            Line::State(_) | Line::End { .. } => return Err(LineError::Header),
            Line::Violation { violation, counted, seen } => {
                let violation = Arc::new(violation.try_into()?);
                self.detection.violations.push(LastingViolation { violation, counted, seen });
            }
            Line::Incident(incident) => self.detection.incidents.push(incident.lasting(self.saved.into_std())?),
            Line::Delivery { delivery } => self.delivery.add(delivery, node, self.saved)?,
        }
        Ok(())
    }

    /// Lets equal incidents and violations share their memory, as before they were written.
    fn shared(mut self) -> Self {
        let of_detection = self.detection.violations.iter().map(|lasting| Arc::clone(&lasting.violation));
        let mut violations: HashMap<StableId, Arc<Violation>> =
            of_detection.map(|violation| (violation.id(), violation)).collect();
        let mut incidents = HashMap::<StableId, Arc<Incident>>::new();
        let of_detection = self.detection.incidents.iter_mut().map(LastingIncident::incident_mut);
        for incident in of_detection.chain(self.delivery.incidents_mut()) {
            for call in &mut Arc::make_mut(incident).calls {
                share(&mut violations, call.id(), call);
            }
            share(&mut incidents, incident.id, incident);
        }
        self
    }
}

/// Replaces a value by a known one that is equal.
fn share<T: PartialEq>(known: &mut HashMap<StableId, Arc<T>>, id: StableId, value: &mut Arc<T>) {
    match known.get(&id) {
        Some(same) if same == value => value.clone_from(same),
        Some(_) => {}
        None => drop(known.insert(id, Arc::clone(value))),
    }
}
