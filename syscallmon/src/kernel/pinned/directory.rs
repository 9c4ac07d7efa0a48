//! The directory of pins: its names, its lock, and what may be removed.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use aya::maps::{Map, MapData};
use rustix::fs::{FlockOperation, flock, statfs};

use super::super::{Error, tables::COUNT_TABLES};
use super::{RINGS, description::DESCRIPTION};

/// Name of the directory of dispatchers.
pub(super) const DISPATCH: &str = "dispatch";
/// Name of the directory with states of threads. Its number changes with the meaning of the states.
pub(super) const TASKS: &str = "tasks_1";
/// The states of threads and processes.
pub(super) const TASK_TABLES: [&str; 2] = ["TASK_STATE", "CONTAINER_INIT"];
/// Name of the directory that says that calls were not counted. It is removed when saved totals say so.
const GAP: &str = "gap";
/// Beginning of the names of directories of tables.
pub(super) const TABLES: &str = "tables_";

/// `BPF_FS_MAGIC` of `include/uapi/linux/magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// The locked directory.
pub(super) struct Directory {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is missing, and locks it against other daemons.
    ///
    /// # Errors
    ///
    /// When it is not on a bpf file system, or another daemon uses it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        make(path)?;
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, Error> {
        let error = |source: io::Error| Error::Pin { path: path.to_owned(), source };
        let file = File::open(path).map_err(error)?;
        on_bpf_file_system(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Pinned { path: path.to_owned() }),
            Err(errno) => Err(error(errno.into())),
        }
    }

    /// Makes a directory in it, and returns its path.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        make(&path)?;
        Ok(path)
    }

    /// Notes that calls were not counted, for the daemons that follow.
    pub(super) fn mark_gap(&self) -> Result<(), Error> {
        self.make(GAP).map(drop)
    }

    /// Whether calls were not counted, and no saved totals say so.
    pub(super) fn has_gap(&self) -> bool {
        self.path.join(GAP).exists()
    }

    /// Removes the mark.
    pub(super) fn forget_gap(&self) -> Result<(), Error> {
        let path = self.path.join(GAP);
        gone(fs::remove_dir(&path), &path)
    }

    /// Returns the directories of tables with their ids, the oldest first.
    pub(super) fn tables(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let names = names(&self.path)?;
        let mut tables: Vec<(u64, PathBuf)> =
            names.iter().filter_map(|name| Some((tables_id(name)?, self.path.join(name)))).collect();
        tables.sort_unstable();
        Ok(tables)
    }
}

fn on_bpf_file_system(path: &Path) -> Result<(), Error> {
    match statfs(path) {
        Ok(found) if found.f_type == BPF_FS_MAGIC => Ok(()),
        Ok(_) => Err(Error::NoBpfFileSystem { path: path.to_owned() }),
        Err(errno) => Err(Error::Pin { path: path.to_owned(), source: errno.into() }),
    }
}

/// Whether a daemon can use a directory of pins, which may be missing. Returns how many daemons left their tables
/// there.
///
/// # Errors
///
/// When another daemon uses it, or it is not on a bpf file system.
pub fn check_pins(path: &Path) -> Result<usize, Error> {
    match path.parent() {
        Some(parent) if !path.exists() => on_bpf_file_system(parent).map(|()| 0),
        _ => Ok(Directory::lock(path)?.tables()?.len()),
    }
}

/// Makes a directory of pins, if it is missing.
///
/// # Errors
///
/// When it is not on a bpf file system, or cannot be made.
pub fn make_pin_directory(path: &Path) -> Result<(), Error> {
    on_bpf_file_system(path.parent().unwrap_or(path))?;
    make(path)
}

fn make(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::Pin { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Returns the id in the name of a directory of tables.
fn tables_id(name: &str) -> Option<u64> {
    let id = name.strip_prefix(TABLES).filter(|id| id.len() == 16)?;
    u64::from_str_radix(id, 16).ok()
}

/// Returns the names in a directory; none if it is missing.
fn names(path: &Path) -> Result<Vec<String>, Error> {
    let error = |source| Error::Pin { path: path.to_owned(), source };
    match fs::read_dir(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(error(source)),
        Ok(entries) => {
            let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            names.collect::<io::Result<_>>().map_err(error)
        }
    }
}

/// Pins a map.
pub(super) fn pin(map: &Map, path: &Path) -> Result<(), Error> {
    map.pin(path).map_err(|error| Error::Pin { path: path.to_owned(), source: io::Error::other(error) })
}

/// Whether a pinned map has this many entries, and the size of one that this daemon would make.
pub(super) fn fits(path: &Path, entries: Option<u32>) -> bool {
    let info = MapData::from_pin(path).and_then(|map| map.info());
    info.is_ok_and(|info| Some(info.max_entries()) == entries)
}

/// Removes a pin, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    gone(fs::remove_file(path), path)
}

fn gone(removed: io::Result<()>, path: &Path) -> Result<(), Error> {
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Pin { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Removes a directory of tables.
pub(super) fn remove_tables(path: &Path) -> Result<(), Error> {
    // The description first: what is left after a crash is half-written.
    for name in [DESCRIPTION].iter().chain(&COUNT_TABLES).chain(&RINGS) {
        remove(&path.join(name))?;
    }
    gone(fs::remove_dir(path), path)
}

/// Detaches and removes everything that the pinned mode left in a directory, and the directory, unless it is a mount
/// point (of a pod). Returns whether there was anything.
///
/// # Errors
///
/// When a daemon uses the directory, or the kernel refuses. Names of others are left, and so is the directory then.
pub fn unpin(path: &Path) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(false);
    }
    let directory = Directory::lock(path)?;
    let is_empty = names(path)?.is_empty();
    let dispatch = path.join(DISPATCH);
    let ours = |name: &String| super::dispatchers::is_ours(name);
    // Links first: nothing runs from then on.
    let mut pins: Vec<String> = names(&dispatch)?.into_iter().filter(ours).collect();
    pins.sort_unstable_by_key(|name| !name.starts_with(super::dispatchers::LINK));
    pins.iter().try_for_each(|name| remove(&dispatch.join(name)))?;
    gone(fs::remove_dir(&dispatch), &dispatch)?;
    for (_, tables) in directory.tables()? {
        remove_tables(&tables)?;
    }
    let tasks = path.join(TASKS);
    TASK_TABLES.iter().try_for_each(|name| remove(&tasks.join(name)))?;
    gone(fs::remove_dir(&tasks), &tasks)?;
    directory.forget_gap()?;
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(!is_empty),
        removed => gone(removed, path).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_known_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let directory = Directory { _lock: File::open(&path).unwrap(), path };
        assert!(!directory.has_gap());
        directory.forget_gap().unwrap();
        for _ in 0..2 {
            directory.mark_gap().unwrap();
            assert!(directory.has_gap());
        }
        directory.forget_gap().unwrap();
        assert!(!directory.has_gap());
    }
}
