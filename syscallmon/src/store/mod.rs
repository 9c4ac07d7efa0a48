//! Keeps baselines on disk: one file per kind, in `baselines` below the state directory. [`AlertStore`] keeps
//! violations, incidents and alerts.
//!
//! The store is a task of its own, which asks the owner of the baselines for changes. Counting never waits for a disk,
//! and neither does the daemon's end. Edits by people win: the store reads an edited file, forgets the baseline of a
//! removed file, and leaves an unreadable file alone. While the disk fails, everything continues in memory, and the
//! store writes it later.

mod alerts;
mod directory;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod lines;
mod policy_watch;
#[cfg(test)]
mod tests;
mod totals;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use self::{
    alerts::{AlertStore, Earlier},
    policy_watch::PolicyWatch,
    totals::{LineError, TotalsError, TotalsFile, TotalsFileError, TotalsSaver},
};
use crate::{
    blocking::{self, FILE_TIMEOUT, Work},
    detect::{Baseline, BaselineChange, BaselineError, BaselineKey, Baselines},
    error_report::chain,
    files::FileStamp,
    syscalls::CallTable,
    view::Requester,
};

/// Interval of writing changes and of looking for edits. A crash loses at most this much.
const PERIOD: Duration = Duration::from_secs(5);

/// Maximum number of files that are read.
const MAX_FILES: usize = 16_384;

/// Why something cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made.
    #[error("cannot create the directory {}: create it, or choose another one with --state.directory", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// The answer of the file system.
        source: io::Error,
    },
    /// The directory cannot be opened or listed.
    #[error("cannot read the directory {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// The answer of the file system.
        source: io::Error,
    },
    /// Another daemon has the directory.
    #[error("another syscallmon uses {}: choose another --state.directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file cannot be written. The old one is still there.
    #[error("cannot write {}: requires a writable file system with free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The answer of the file system.
        source: io::Error,
    },
    /// The file cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The answer of the file system.
        source: io::Error,
    },
}

/// Why a baseline's file is not used. The store leaves the file unchanged.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error("the file name is wrong: the file of {key} is {}", key.file_name())]
    Name { key: BaselineKey },
    #[error("too many baselines: forget some, then touch this file")]
    TooMany,
}

/// Synchronizes baselines with their files.
#[derive(Clone, Debug)]
pub struct Store {
    owner: Requester,
    disk: Arc<Mutex<Disk>>,
}

/// State of the directory. Only a thread of `blocking` may use it, because every method may hang.
struct Disk {
    directory: PathBuf,
    owner: Requester,
    calls: Arc<CallTable>,
    /// The directory, locked, if it exists.
    open: Option<File>,
    /// The files in the directory, by name.
    files: BTreeMap<String, OnDisk>,
    /// Baselines that are not written yet.
    pending: BTreeMap<BaselineKey, BaselineChange>,
    has_problem: bool,
}

/// A file as it was when it was last read or written.
struct OnDisk {
    stamp: FileStamp,
    /// The key of its baseline; `None` if the file is unreadable.
    key: Option<BaselineKey>,
}

impl Store {
    /// Returns a store below this state directory, which need not exist.
    #[must_use]
    pub fn new(state_directory: &Path, owner: Requester, calls: Arc<CallTable>) -> Self {
        let disk = Disk::new(state_directory, owner.clone(), calls);
        Self { owner, disk: Arc::new(Mutex::new(disk)) }
    }

    /// Synchronizes memory and disk until `shutdown`, and then once more.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(period.tick()).await.is_some() {
            self.synchronize().await;
        }
        self.synchronize().await;
    }

    /// Synchronizes memory and disk. Waits for a disk that hangs until the deadline, with one thread.
    pub async fn synchronize(&self) {
        let disk = Arc::clone(&self.disk);
        let synchronize = move || disk.lock().unwrap_or_else(PoisonError::into_inner).synchronize();
        if let Err(error) = blocking::run(Work::Baseline, "state.directory", FILE_TIMEOUT, synchronize).await {
            let note = |baselines: &mut Baselines| {
                baselines.store.errors += 1;
                baselines.store.is_up.replace(false) != Some(false)
            };
            if self.owner.baselines(note).await.unwrap_or_default() {
                tracing::error!("the state directory does not respond; baselines are kept in memory: {error}");
            }
        }
    }
}

impl Disk {
    fn new(state_directory: &Path, owner: Requester, calls: Arc<CallTable>) -> Self {
        let directory = state_directory.join("baselines");
        let (files, pending) = (BTreeMap::new(), BTreeMap::new());
        Self { directory, owner, calls, open: None, files, pending, has_problem: false }
    }

    /// Takes over edits on disk, then writes changes. The first time, it reads everything.
    fn synchronize(&mut self) {
        let result = self.read().and_then(|()| self.write());
        let is_used = self.open.is_some() || result.is_err();
        let unreadable = self.files.values().filter(|file| file.key.is_none()).count();
        let is_ok = result.is_ok();
        self.owner.baselines_blocking(move |baselines| {
            let status = &mut baselines.store;
            status.unreadable = unreadable;
            status.errors += u64::from(!is_ok);
            if is_used {
                status.is_up = Some(is_ok);
            }
        });
        match &result {
            Err(error) if !self.has_problem => {
                let error = chain(error);
                tracing::error!(error, "cannot store baselines; they are kept in memory and written later");
            }
            Ok(()) if self.has_problem => tracing::info!("baselines are stored again"),
            _ => {}
        }
        self.has_problem = result.is_err();
    }

    fn read(&mut self) -> Result<(), StoreError> {
        if !self.is_open()? {
            return Ok(());
        }
        let list = |source| StoreError::List { path: self.directory.clone(), source };
        let names = file::names(&self.directory, MAX_FILES).map_err(list)?;
        for name in &names {
            // Removed since the directory was listed: the next time.
            let Ok(stamp) = file::stamp(&self.directory.join(name)) else { continue };
            if self.files.get(name).is_none_or(|known| !known.stamp.has_content_of(&stamp)) {
                self.take_over(name, stamp);
            }
        }
        self.forget_removed(&names);
        Ok(())
    }

    /// Opens and locks the directory, if it exists. Returns whether it is open.
    fn is_open(&mut self) -> Result<bool, StoreError> {
        let failed = |source| StoreError::List { path: self.directory.clone(), source };
        let is_there = match fs::metadata(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            metadata => metadata.map(|_| true).map_err(failed)?,
        };
        let is_at = self.open.as_ref().map(|open| file::is_at(open, &self.directory)).transpose().map_err(failed)?;
        if is_at == Some(false) {
            // A directory that vanished, or was hidden by a mount, removes no baselines.
            tracing::warn!(directory = %self.directory.display(), "the state directory was replaced; writing all baselines again");
            self.open = None;
            self.files.clear();
            self.owner.baselines_blocking(Baselines::mark_all);
        }
        if is_there && self.open.is_none() {
            self.open = Some(file::open_and_lock(&self.directory)?);
        }
        Ok(is_there)
    }

    /// Whether a file is the one that was last read or written, or is still absent.
    fn is_as_known(&self, path: &Path, name: &str) -> bool {
        match (file::stamp(path).ok(), self.files.get(name)) {
            (Some(stamp), Some(known)) => known.stamp.has_content_of(&stamp),
            (stamp, known) => stamp.is_none() && known.is_none(),
        }
    }

    /// Takes over a new or changed file.
    fn take_over(&mut self, name: &str, stamp: FileStamp) {
        let path = self.directory.join(name);
        let is_known = self.files.contains_key(name);
        let taken = file::read(&path).map_err(FileError::Read).and_then(|text| self.adopt(name, &text));
        let key = match taken {
            Ok(key) => {
                // The file replaces everything learned since the last write, because a user edited it intentionally.
                if self.pending.remove(&key).is_some() || is_known {
                    tracing::info!(kind = %key, "the baseline file was edited; using its content");
                }
                Some(key)
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(file = %path.display(), error, "cannot use this baseline file: correct or remove it");
                None
            }
        };
        self.files.insert(name.to_owned(), OnDisk { stamp, key });
    }

    fn adopt(&self, name: &str, text: &[u8]) -> Result<BaselineKey, FileError> {
        let baseline = Baseline::from_json(text, &self.calls)?;
        let key = baseline.kind.clone();
        if key.file_name() != name {
            return Err(FileError::Name { key });
        }
        let unknown: Vec<&str> = baseline.unknown_calls(&self.calls).take(10).collect();
        if !unknown.is_empty() {
            tracing::warn!(kind = %key, calls = unknown.join(","), "the baseline contains unknown calls; they are kept without effect");
        }
        let is_adopted = self.owner.baselines_blocking(move |baselines| baselines.adopt(baseline)).unwrap_or_default();
        if is_adopted { Ok(key) } else { Err(FileError::TooMany) }
    }

    /// Forgets baselines with a removed file.
    fn forget_removed(&mut self, names: &BTreeSet<String>) {
        let removed: Vec<String> = self.files.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in removed {
            let Some(key) = self.files.remove(&name).and_then(|file| file.key) else { continue };
            self.pending.remove(&key);
            let of = key.clone();
            if self.owner.baselines_blocking(move |baselines| baselines.drop(&of)).unwrap_or_default() {
                tracing::info!(kind = %key, "the baseline file was removed; the baseline is forgotten");
            }
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let changes = self.owner.baselines_blocking(Baselines::take_changes).unwrap_or_default();
        for change in changes {
            self.pending.insert(change.key().clone(), change);
        }
        // A baseline that never was on disk can be removed without a disk. There may be any number of them.
        let files = &self.files;
        self.pending.retain(|key, change| match change {
            BaselineChange::Write(_) => true,
            BaselineChange::Remove(_) => files.contains_key(&key.file_name()),
        });
        if self.pending.values().all(|change| self.is_unreadable(change.key())) {
            return Ok(());
        }
        file::make_directories(&self.directory)?;
        if !self.is_open()? {
            return Ok(());
        }
        let mut result = Ok(());
        for (key, change) in std::mem::take(&mut self.pending) {
            let written = self.put(&change);
            if !matches!(written, Ok(true)) {
                self.pending.insert(key, change);
            }
            result = result.and(written.map(drop));
        }
        // A rename is on disk when its directory is.
        let synced = self.open.as_ref().map_or(Ok(()), File::sync_all);
        result.and(synced.map_err(|source| StoreError::Write { path: self.directory.clone(), source }))
    }

    fn is_unreadable(&self, key: &BaselineKey) -> bool {
        self.files.get(&key.file_name()).is_some_and(|file| file.key.is_none())
    }

    /// Writes one change to disk; `false` if the file was edited meanwhile, which the next round takes over.
    fn put(&mut self, change: &BaselineChange) -> Result<bool, StoreError> {
        let name = change.key().file_name();
        let path = self.directory.join(&name);
        if !self.is_as_known(&path, &name) || self.is_unreadable(change.key()) {
            return Ok(false);
        }
        match change {
            BaselineChange::Write(baseline) => {
                let text = baseline.to_json().map_err(io::Error::from);
                let stamp = text.and_then(|text| file::replace(&path, |file| file.write_all(text.as_bytes())));
                let stamp = stamp.map_err(|source| StoreError::Write { path, source })?;
                self.files.insert(name, OnDisk { stamp, key: Some(baseline.kind.clone()) });
            }
            BaselineChange::Remove(_) => {
                file::remove(&path).map_err(|source| StoreError::Remove { path, source })?;
                self.files.remove(&name);
            }
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Disk").field("directory", &self.directory).finish_non_exhaustive()
    }
}
