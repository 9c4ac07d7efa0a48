//! Keeps violations, incidents and alerts on disk, in one file below the state directory.
//!
//! So a restart sends no alert twice, loses none that waits for a receiver, and ends those that have become quiet. The
//! file is written soon after each change that must not get lost, and replaced as a whole. It has one JSON object on
//! each line: first the version and the time, then violations, incidents, and what was sent and is to be sent, and at
//! last the number of these lines.
//!
//! While the disk fails, everything continues in memory, and the store writes it later. A file of another version or
//! with a mistake is not used. Then the daemon begins anew, and says so.

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{StoreError, file};
use crate::{
    alert::{AlertStoreStatus, Alerts, LastingDelivery, SavedDelivery},
    blocking::{self, FILE_TIMEOUT, START_TIMEOUT, Work},
    clock::monotonic_now,
    detect::{
        LastingDetection, LastingViolation, SavedLastingIncident,
        saved::{SavedViolation, UnknownCall, age},
    },
    view::{LastingState, Requester},
};

/// Version of the file. It changes when an older daemon would misread a newer file, or the reverse.
const VERSION: u32 = 1;

/// Maximum size of the file: what all tables can hold, several times.
const MAX_BYTES: u64 = 256 << 20;

/// Maximum size of a line. An incident has at most 64 calls, each with a command line.
const MAX_LINE: u64 = 2 << 20;

/// Interval of writing changes that may get lost: counts, and when a call was seen last.
const PERIOD: Duration = Duration::from_secs(15);

/// Pause between two writes: this many times the duration of the last write, within these bounds. A slow disk must not
/// make the file old, and a large file must not take much of a CPU.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5);
const PAUSE_FACTOR: u32 = 20;

/// Identifies a boot of the host.
const BOOT_ID: &str = "sys/kernel/random/boot_id";

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    State(Header),
    Violation { violation: SavedViolation, counted: u64, seen: Duration },
    Incident(SavedLastingIncident),
    Delivery { delivery: SavedDelivery },
    End { lines: u64 },
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// The boot of the host, and its monotonic clock. Within a boot, the age of the file does not depend on the wall
    /// clock.
    boot: String,
    monotonic: Duration,
    time: SystemTime,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    #[error("line {0} is not valid")]
    Line(u64, #[source] serde_json::Error),
    #[error("line {0}")]
    Call(u64, #[source] UnknownCall),
    #[error("version {0} is not supported: this version of syscallmon reads version {VERSION}")]
    Version(u32),
    #[error("it does not begin with a header")]
    Header,
    #[error("it is incomplete")]
    Incomplete,
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

/// Keeps the file up to date.
#[derive(Clone, Debug)]
pub struct AlertStore {
    disk: Arc<Mutex<Disk>>,
}

/// State of the file. Only a thread of `blocking` may use it, because every method may hang.
#[derive(Debug)]
struct Disk {
    directory: PathBuf,
    boot: String,
    /// The directory, locked, if it exists.
    open: Option<File>,
    has_problem: bool,
    /// Whether the file may exist.
    has_file: bool,
    /// Result of the newest read or write, and the number of failed ones.
    status: AlertStoreStatus,
}

impl AlertStore {
    /// Returns a store below this state directory, which need not exist, and what an earlier daemon left there. `node`
    /// is the name of this host.
    pub async fn open(state_directory: &Path, procfs: &Path, node: &str) -> (Self, Earlier) {
        let (directory, boot_id, node) = (state_directory.join("alerts"), procfs.join(BOOT_ID), Arc::from(node));
        let disk = Arc::new(Mutex::new(Disk {
            directory,
            boot: String::new(),
            open: None,
            has_problem: false,
            has_file: false,
            status: AlertStoreStatus::default(),
        }));
        let locked = Arc::clone(&disk);
        let read = move || {
            let mut disk = locked.lock().unwrap_or_else(PoisonError::into_inner);
            std::fs::read_to_string(boot_id).unwrap_or_default().trim().clone_into(&mut disk.boot);
            disk.read(&node)
        };
        let earlier = match blocking::run(Work::AlertState, "state.directory", START_TIMEOUT, read).await {
            Ok(earlier) => earlier,
            Err(error) => {
                tracing::error!("the state directory does not respond; earlier alerts are forgotten: {error}");
                None
            }
        };
        let nothing = || Earlier {
            saved: Instant::now(),
            detection: LastingDetection::default(),
            delivery: LastingDelivery::default(),
        };
        (Self { disk }, earlier.unwrap_or_else(nothing))
    }

    /// Saves changes until `shutdown`. [`Self::save`] must follow, after the sinks have ended.
    pub async fn run(self, owner: Requester, alerts: Alerts, shutdown: CancellationToken) {
        let mut known = None;
        while !shutdown.is_cancelled() {
            let begin = Instant::now();
            if let Some(state) = owner.lasting(known).await {
                known = Some(state.changes);
                self.write(state, &alerts).await;
            }
            let pause = (begin.elapsed() * PAUSE_FACTOR).clamp(*PAUSE.start(), *PAUSE.end());
            let wait = async {
                sleep(pause).await;
                tokio::select! {
                    () = alerts.changed() => {}
                    () = sleep(PERIOD) => {}
                }
            };
            shutdown.run_until_cancelled(wait).await;
        }
    }

    /// Saves everything.
    pub async fn save(&self, owner: &Requester, alerts: &Alerts) {
        if let Some(state) = owner.lasting(None).await {
            self.write(state, alerts).await;
        }
    }

    async fn write(&self, state: LastingState, alerts: &Alerts) {
        let disk = Arc::clone(&self.disk);
        let write = move || {
            let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
            disk.save(&state);
            disk.status
        };
        match blocking::run(Work::AlertState, "state.directory", FILE_TIMEOUT, write).await {
            Ok(status) => alerts.set_stored(status),
            Err(error) => {
                tracing::error!("the state directory does not respond; alerts are kept in memory: {error}");
                let errors = alerts.status().store.errors + 1;
                alerts.set_stored(AlertStoreStatus { is_up: Some(false), errors });
            }
        }
    }
}

impl Disk {
    fn path(&self) -> PathBuf {
        self.directory.join("state.jsonl")
    }

    /// Reads the file, if there is one.
    fn read(&mut self, node: &Arc<str>) -> Option<Earlier> {
        if !self.directory.exists() {
            return None;
        }
        match file::open_and_lock(&self.directory) {
            Ok(directory) => self.open = Some(directory),
            Err(error) => {
                self.report(&Err(error));
                return None;
            }
        }
        let path = self.path();
        let file = match file::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            file => file.map_err(FileError::Read),
        };
        self.has_file = true;
        match file.and_then(|file| read(file, &self.boot, node)) {
            Ok(earlier) => {
                let LastingDetection { violations, incidents } = &earlier.detection;
                let (violations, incidents) = (violations.len(), incidents.len());
                tracing::info!(violations, incidents, "took over violations, incidents and alerts");
                Some(earlier)
            }
            Err(error) => {
                self.status.errors += 1;
                let error = &error as &dyn std::error::Error;
                tracing::error!(file = %path.display(), error, "cannot use this file: earlier violations and alerts are forgotten, and the file will be replaced");
                None
            }
        }
    }

    /// Replaces the file.
    fn save(&mut self, state: &LastingState) {
        let LastingState { detection, delivery, .. } = state;
        let is_empty = detection.violations.is_empty() && detection.incidents.is_empty() && delivery.is_empty();
        if is_empty && !self.has_file {
            return;
        }
        let result = self.try_to_save(state);
        self.has_file |= result.is_ok();
        self.report(&result);
    }

    fn try_to_save(&mut self, state: &LastingState) -> Result<(), StoreError> {
        let failed = |source| StoreError::List { path: self.directory.clone(), source };
        let is_open = match &self.open {
            Some(open) => file::is_at(open, &self.directory).map_err(failed)?,
            None => false,
        };
        if !is_open {
            // The lock of a directory that was replaced ends.
            self.open = None;
            file::make_directories(&self.directory)?;
            self.open = Some(file::open_and_lock(&self.directory)?);
        }
        let path = self.path();
        let written = file::replace(&path, |file| write(file, state, &self.boot));
        let written = written.and_then(|_| self.open.as_ref().map_or(Ok(()), File::sync_all));
        written.map_err(|source| StoreError::Write { path, source })
    }

    /// Logs the first failure, and its end.
    fn report(&mut self, result: &Result<(), StoreError>) {
        match result {
            Err(error) if !self.has_problem => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "cannot store alerts: a restart forgets which were sent and which wait");
            }
            Ok(()) if self.has_problem => tracing::info!("alerts are stored again"),
            _ => {}
        }
        self.has_problem = result.is_err();
        self.status.is_up = Some(result.is_ok());
        self.status.errors += u64::from(result.is_err());
    }
}

/// Writes the file.
fn write(file: &mut impl Write, state: &LastingState, boot: &str) -> io::Result<()> {
    let (now, monotonic, time) = (Instant::now(), monotonic_now(), SystemTime::now());
    let since = age(now.into_std(), state.at.into_std());
    let header = Header {
        version: VERSION,
        boot: boot.to_owned(),
        monotonic: monotonic.saturating_sub(since),
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
    let mut lines = 0;
    let mut write = |line: &Line| {
        lines += 1;
        serde_json::to_writer(&mut *file, line)?;
        file.write_all(b"\n")
    };
    write(&Line::State(header))?;
    violations.chain(incidents).chain(delivery).try_for_each(|line| write(&line))?;
    let end = Line::End { lines };
    serde_json::to_writer(&mut *file, &end)?;
    file.write_all(b"\n")
}

/// Reads the file.
fn read(file: impl Read, boot: &str, node: &Arc<str>) -> Result<Earlier, FileError> {
    let mut file = BufReader::new(file.take(MAX_BYTES));
    let mut number = 0;
    let mut text = Vec::new();
    let mut next = |number: &mut u64| -> Result<Line, FileError> {
        text.clear();
        file.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)?;
        if text.is_empty() {
            return Err(FileError::Incomplete);
        }
        *number += 1;
        serde_json::from_slice(&text).map_err(|error| FileError::Line(*number, error))
    };
    let first = next(&mut number).map_err(|error| if number == 0 { error } else { FileError::Header })?;
    let Line::State(Header { version, boot: of_boot, monotonic, time }) = first else { return Err(FileError::Header) };
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
    let saved = saved.checked_sub(age).unwrap_or(saved);
    let (mut detection, mut delivery) = (LastingDetection::default(), LastingDelivery::default());
    loop {
        let line = next(&mut number)?;
        let unknown = |error| FileError::Call(number, error);
        match line {
            Line::State(_) => return Err(FileError::Header),
            Line::Violation { violation, counted, seen } => {
                let violation = Arc::new(violation.try_into().map_err(unknown)?);
                detection.violations.push(LastingViolation { violation, counted, seen });
            }
            Line::Incident(incident) => {
                detection.incidents.push(incident.lasting(saved.into_std()).map_err(unknown)?);
            }
            Line::Delivery { delivery: part } => delivery.add(part, node, saved).map_err(unknown)?,
            Line::End { lines } if lines + 1 == number => return Ok(Earlier { saved, detection, delivery }),
            Line::End { .. } => return Err(FileError::Incomplete),
        }
    }
}
