//! A directory below the state directory that belongs to one daemon.

use std::{
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{StoreError, file};

/// How long a start waits for the lock of the directory.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// A directory, locked against other daemons while it exists.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    open: Option<File>,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Returns the path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Locks the directory at the start of the daemon. Returns whether it exists.
    pub(super) fn open_existing(&mut self) -> Result<bool, StoreError> {
        if self.is_open()? {
            return Ok(true);
        }
        if !self.path.exists() {
            return Ok(false);
        }
        let begin = Instant::now();
        let opened = loop {
            match file::open_and_lock(&self.path) {
                // `syscallmon check` has the lock for a moment, and so has a daemon that ends.
                Err(StoreError::Locked { .. }) if begin.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_WAIT / 20);
                }
                opened => break opened,
            }
        };
        self.open = Some(opened?);
        Ok(true)
    }

    /// Makes and locks the directory, unless it is there and locked.
    pub(super) fn make(&mut self) -> Result<(), StoreError> {
        if !self.is_open()? {
            file::make_directories(&self.path)?;
            self.open = Some(file::open_and_lock(&self.path)?);
        }
        Ok(())
    }

    /// Whether the directory is locked. The lock of a directory that was replaced ends.
    fn is_open(&mut self) -> Result<bool, StoreError> {
        let failed = |source| StoreError::List { path: self.path.clone(), source };
        let is_open = match &self.open {
            Some(open) => file::is_at(open, &self.path).map_err(failed)?,
            None => false,
        };
        if !is_open {
            self.open = None;
        }
        Ok(is_open)
    }

    /// Writes the names of its files to the disk: a rename is on disk when its directory is.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.open.as_ref().map_or(Ok(()), File::sync_all)
    }
}
