//! Keeps violations, incidents and alerts on disk, in one file below the state directory.
//!
//! So a restart sends no alert twice, loses none that waits for a receiver, and ends those that have become quiet. The
//! file is written soon after each change that must not get lost, and replaced as a whole.
//!
//! While the disk fails, everything continues in memory, and the store writes it later. A file of another version, or
//! that is incomplete, is not used. Then the daemon begins anew, and says so.

pub(super) mod document;
#[cfg(test)]
mod tests;

use std::{
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::document::Earlier;
use self::document::FileError;
use super::{StoreError, directory::Directory, file};
use crate::{
    alert::{AlertStoreStatus, Alerts},
    blocking::{self, FILE_TIMEOUT, START_TIMEOUT, Work},
    detect::LastingDetection,
    error_report::chain,
    view::{LastingState, Requester},
};

/// Interval of writing changes that may get lost: counts, and when a call was seen last.
const PERIOD: Duration = Duration::from_secs(15);

/// Pause between two writes: this many times the duration of the last write, within these bounds. A slow disk must not
/// make the file old, and a large file must not take much of a CPU.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5);
const PAUSE_FACTOR: u32 = 20;

/// Keeps the file up to date.
#[derive(Clone, Debug)]
pub struct AlertStore {
    disk: Arc<Mutex<Disk>>,
    status: Arc<Mutex<AlertStoreStatus>>,
}

/// State of the file. Only a thread of `blocking` may use it, because every method may hang.
#[derive(Debug)]
struct Disk {
    directory: Directory,
    /// Name of this host.
    node: Arc<str>,
    boot: String,
    has_problem: bool,
    /// Whether the file may exist.
    has_file: bool,
    /// Whether the file was read, or is this daemon's own.
    is_known: bool,
}

impl AlertStore {
    /// Returns a store below this state directory, which need not exist, and what an earlier daemon left there. `node`
    /// is the name of this host. Blocks; must be called before a runtime is started.
    pub fn open(state_directory: &Path, procfs: &Path, node: &str) -> (Self, Earlier) {
        let disk = Disk {
            directory: Directory::new(state_directory.join("alerts")),
            node: node.into(),
            boot: String::new(),
            has_problem: false,
            has_file: false,
            is_known: false,
        };
        let (disk, procfs) = (Arc::new(Mutex::new(disk)), procfs.to_owned());
        let store = Self { disk: Arc::clone(&disk), status: Arc::default() };
        let read = move || {
            let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
            disk.boot = file::boot_id(&procfs);
            disk.read_at_start()
        };
        let earlier = match blocking::run_and_wait(Work::AlertState, "state.directory", START_TIMEOUT, read) {
            Ok(Ok(earlier)) => earlier,
            Ok(Err(_)) => {
                store.note(false);
                None
            }
            Err(error) => {
                store.note(false);
                tracing::error!("the state directory does not respond; earlier alerts are not known: {error}");
                None
            }
        };
        (store, earlier.unwrap_or_default())
    }

    /// Saves changes until `shutdown`. [`Self::save`] must follow, after the sinks have ended.
    pub async fn run(self, owner: Requester, alerts: Alerts, shutdown: CancellationToken) {
        let mut known = None;
        alerts.set_stored(self.status());
        while !shutdown.is_cancelled() {
            let begin = Instant::now();
            if let Some(state) = owner.lasting(known).await {
                let changes = state.changes;
                // What could not be written is tried again.
                known = self.write(state, &alerts).await.then_some(changes);
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

    /// Returns whether the file has the state now.
    async fn write(&self, state: LastingState, alerts: &Alerts) -> bool {
        let disk = Arc::clone(&self.disk);
        let write = move || disk.lock().unwrap_or_else(PoisonError::into_inner).save(&state);
        let is_ok = match blocking::run(Work::AlertState, "state.directory", FILE_TIMEOUT, write).await {
            Ok(Saved::Nothing) => return true,
            Ok(Saved::Written) => true,
            Ok(Saved::Failed) => false,
            Ok(Saved::FoundOther(other)) => {
                let number = alerts.deliver_too(other.delivery);
                tracing::warn!(alerts = number, "the daemon that had the state directory left alerts; delivering them");
                // With them, it is written the next time.
                return false;
            }
            Err(error) => {
                tracing::error!("the state directory does not respond; alerts are kept in memory: {error}");
                false
            }
        };
        self.note(is_ok);
        alerts.set_stored(self.status());
        is_ok
    }

    fn note(&self, is_ok: bool) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.is_up = Some(is_ok);
        status.errors += u64::from(!is_ok);
    }

    fn status(&self) -> AlertStoreStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Result of an attempt to save.
#[derive(Debug)]
enum Saved {
    /// There is nothing to save, and no file.
    Nothing,
    Written,
    Failed,
    /// The directory became free. Another daemon had left this there.
    FoundOther(Box<Earlier>),
}

impl Disk {
    fn path(&self) -> PathBuf {
        self.directory.file("state.jsonl")
    }

    /// Reads the file, if there is one.
    fn read_at_start(&mut self) -> Result<Option<Earlier>, StoreError> {
        let is_there = self.directory.open_existing();
        if !matches!(is_there, Ok(false)) {
            self.report(&is_there);
        }
        if is_there? {
            return Ok(self.read());
        }
        self.is_known = true;
        Ok(None)
    }

    /// Reads the file, if there is one that can be used.
    fn read(&mut self) -> Option<Earlier> {
        self.is_known = true;
        let path = self.path();
        let file = match file::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            file => file.map_err(FileError::Read),
        };
        self.has_file = true;
        match file.and_then(|file| document::read(file, &self.boot, &self.node)) {
            Ok(earlier) => {
                let LastingDetection { violations, incidents } = &earlier.detection;
                let (violations, incidents) = (violations.len(), incidents.len());
                tracing::info!(violations, incidents, "took over violations, incidents and alerts");
                Some(earlier)
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(file = %path.display(), error, "cannot use this file: earlier violations and alerts are forgotten, and the file will be replaced");
                None
            }
        }
    }

    /// Replaces the file.
    fn save(&mut self, state: &LastingState) -> Saved {
        let LastingState { detection, delivery, .. } = state;
        let is_empty = detection.violations.is_empty() && detection.incidents.is_empty() && delivery.is_empty();
        if is_empty && self.is_known && !self.has_file {
            return Saved::Nothing;
        }
        let result = self.try_to_save(state);
        self.report(&result);
        match result {
            Ok(None) => Saved::Written,
            Ok(Some(other)) => Saved::FoundOther(other),
            Err(_) => Saved::Failed,
        }
    }

    /// Returns what another daemon left, if this one has the directory only now. Then nothing is written.
    fn try_to_save(&mut self, state: &LastingState) -> Result<Option<Box<Earlier>>, StoreError> {
        self.directory.make()?;
        if !self.is_known
            && let Some(other) = self.read()
        {
            return Ok(Some(Box::new(other)));
        }
        let path = self.path();
        let written = file::replace(&path, |file| document::write(file, state, &self.boot));
        let written = written.and_then(|_| self.directory.sync());
        self.has_file |= written.is_ok();
        written.map(|()| None).map_err(|source| StoreError::Write { path, source })
    }

    /// Logs the first failure, and its end.
    fn report<T>(&mut self, result: &Result<T, StoreError>) {
        match result {
            Err(error) if !self.has_problem => {
                let error = chain(error);
                tracing::warn!(error, "cannot store alerts: a restart forgets which were sent and which wait");
            }
            Ok(_) if self.has_problem => tracing::info!("alerts are stored again"),
            _ => {}
        }
        self.has_problem = result.is_err();
    }
}
