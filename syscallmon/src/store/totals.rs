//! Keeps totals on disk while the kernel counts without a daemon, in one file below the state directory.
//!
//! The next daemon of the same boot continues with the file. After a boot, the kernel's tables are gone, and the file
//! is worthless: so it is not synced to the disk. A crash of the daemon leaves the whole old file or the whole new one.

pub(super) mod document;
mod saver;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use self::{
    document::{LineError, TotalsFileError},
    saver::TotalsSaver,
};
use super::{StoreError, directory::Directory, file, lines::MAX_BYTES};
use crate::{clock::BootClock, files::FileStamp, model::ModelEdition, syscalls::CallTable, view::SavedTotals};

/// Name of the directory, and of the file in it.
const DIRECTORY: &str = "totals";
const FILE: &str = "state.jsonl";

/// Identifies saved totals without their memory.
#[derive(Debug, PartialEq)]
struct Edition {
    generation: u64,
    first_calls_from: u64,
    absorbed: Vec<(u64, u64)>,
    freed: Vec<(u32, u64)>,
    model: ModelEdition,
}

impl From<&SavedTotals> for Edition {
    fn from(SavedTotals { generation, first_calls_from, absorbed, freed, model }: &SavedTotals) -> Self {
        // The counts of a freed slot are final.
        let freed = freed.iter().map(|freed| (freed.slot, freed.cgroup_id)).collect();
        let (generation, first_calls_from) = (*generation, *first_calls_from);
        Self { generation, first_calls_from, absorbed: absorbed.clone(), freed, model: model.edition() }
    }
}

/// Why totals cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TotalsError {
    /// The directory or the file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file has no totals for this daemon.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TotalsFileError,
    },
    /// Without the id of the boot, no file can be used.
    #[error("cannot read the id of the boot")]
    Boot,
}

impl TotalsError {
    /// Whether fewer totals would fit.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Store(StoreError::Write { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge)
    }
}

/// The file of totals. Only a thread of [`crate::blocking`] may use it, because every method may hang.
#[derive(Debug)]
pub struct TotalsFile {
    directory: Directory,
    boot: String,
    /// The file as this daemon wrote it.
    written: Option<(Edition, FileStamp)>,
}

impl TotalsFile {
    /// Returns the file below this state directory, which need not exist.
    #[must_use]
    pub fn new(state_directory: &Path, procfs: &Path) -> Self {
        Self { directory: Directory::new(state_directory.join(DIRECTORY)), boot: file::boot_id(procfs), written: None }
    }

    /// Whether an earlier daemon left a file.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.directory.file(FILE).symlink_metadata().is_ok()
    }

    /// Locks the directory, and returns what an earlier daemon of this boot left; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// If the directory cannot be locked, or the file cannot be used.
    pub fn read(&mut self, calls: &CallTable) -> Result<Option<SavedTotals>, TotalsError> {
        if !self.directory.open_existing()? {
            // Another daemon may write the first file between this reading and the takeover of its tables.
            self.directory.make()?;
        }
        let path = self.directory.file(FILE);
        let opened = match file::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(TotalsFileError::Read),
        };
        let read = opened.and_then(|file| {
            let is_too_large = file.metadata()?.len() > MAX_BYTES;
            if is_too_large {
                Err(TotalsFileError::Size)
            } else {
                document::read(file, calls, (&self.boot, BootClock::read()))
            }
        });
        read.map(Some).map_err(|source| TotalsError::File { path, source })
    }

    /// Replaces the file, unless it has these totals. Returns whether it was written.
    ///
    /// # Errors
    ///
    /// If the directory belongs to another daemon, the disk has a problem, or the totals are too large. Then the old
    /// file is still there.
    pub fn write(&mut self, totals: &SavedTotals, calls: &CallTable) -> Result<bool, TotalsError> {
        if self.boot.is_empty() {
            return Err(TotalsError::Boot);
        }
        self.directory.make()?;
        let (path, edition) = (self.directory.file(FILE), Edition::from(totals));
        let is_written = |(written, stamp): &(Edition, FileStamp)| {
            *written == edition && file::stamp(&path).is_ok_and(|there| there.has_content_of(stamp))
        };
        if self.written.as_ref().is_some_and(is_written) {
            return Ok(false);
        }
        let written = file::replace_without_sync(&path, |file| {
            document::write(file, totals, calls, (&self.boot, BootClock::read()))
        });
        let stamp = written.map_err(|source| StoreError::Write { path, source })?;
        self.written = Some((edition, stamp));
        Ok(true)
    }
}
