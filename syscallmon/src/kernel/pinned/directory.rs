//! The directory of pins: its names, its lock, and what may be removed.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use aya::maps::{Map, MapData, MapError, MapInfo, MapType};
use rustix::fs::{FlockOperation, flock, statfs};

use super::super::{Error, tables::COUNT_TABLES};
use super::{RINGS, description::DESCRIPTION};
use crate::clock::monotonic_now;

/// Name of the directory of dispatchers.
pub(super) const DISPATCH: &str = "dispatch";
/// Name of the directory with states of threads. Its number changes with the meaning of the states.
pub(super) const TASKS: &str = "tasks_1";
/// The states of threads and processes.
pub(super) const TASK_TABLES: [&str; 2] = ["TASK_STATE", "CONTAINER_INIT"];
/// Name of the directory that says that calls were not counted. It is removed when saved totals say so.
const GAP: &str = "gap";
/// Beginning of the names of directories of tables.
const TABLES: &str = "tables_";
/// Beginning of the names that objects of others get that have a name of ours.
const FOREIGN: &str = "foreign_";

/// `BPF_FS_MAGIC` of `include/uapi/linux/magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// The directory of pins, locked against other daemons while it exists.
#[derive(Debug)]
pub struct PinDirectory {
    path: PathBuf,
    /// Holds the lock.
    open: File,
}

impl PinDirectory {
    /// Makes the directory if it is missing, and locks it against other daemons.
    ///
    /// # Errors
    ///
    /// When it is not on a bpf file system, or another daemon uses it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        make(path)?;
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, Error> {
        let error = |source: io::Error| Error::Pin { path: path.to_owned(), source };
        let open = File::open(path).map_err(error)?;
        on_bpf_file_system(path)?;
        match flock(&open, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), open }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Pinned { path: path.to_owned() }),
            Err(errno) => Err(error(errno.into())),
        }
    }

    /// Whether the path is still this directory.
    pub(super) fn is_there(&self) -> bool {
        let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (there, open) = (fs::metadata(&self.path).map(inode), self.open.metadata().map(inode));
        there.is_ok() && there.ok() == open.ok()
    }

    /// Makes a directory in it, and returns its path.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        make(&path)?;
        if !path.is_dir() {
            set_aside(&path)?;
            make(&path)?;
        }
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

    /// Makes the directory of a daemon's tables.
    pub(super) fn make_tables(&self, id: u64) -> Result<PathBuf, Error> {
        self.make(&format!("{TABLES}{id:016x}"))
    }

    /// Returns the directories of tables with their ids, the oldest first.
    pub(super) fn tables(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let names = names(&self.path)?;
        let mut tables: Vec<(u64, PathBuf)> =
            names.iter().filter_map(|name| Some((tables_id(name)?, self.path.join(name)))).collect();
        tables.sort_unstable();
        Ok(tables)
    }

    /// Detaches and removes everything of ours. What others have put there is left under another name.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(in crate::kernel) fn clear(&self) -> Result<(), Error> {
        let dispatch = self.path.join(DISPATCH);
        let ours = |name: &String| super::dispatchers::is_ours(name);
        // Links first: nothing runs from then on.
        let mut pins: Vec<String> = names(&dispatch).unwrap_or_default().into_iter().filter(ours).collect();
        pins.sort_unstable_by_key(|name| !name.starts_with(super::dispatchers::LINK));
        pins.iter().try_for_each(|name| replace(&dispatch.join(name)))?;
        let tasks = self.path.join(TASKS);
        for (_, tables) in self.tables()? {
            discard_tables(&tables)?;
        }
        TASK_TABLES.iter().map(|name| tasks.join(name)).filter(|_| tasks.is_dir()).try_for_each(|pin| replace(&pin))?;
        [dispatch, tasks].iter().try_for_each(|path| set_aside_unless(fs::remove_dir(path), path))
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
        _ => Ok(PinDirectory::lock(path)?.tables()?.len()),
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

/// What programs require of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: MapType,
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) entries: u32,
}

/// Whether a pinned map has the name of its pin, and this shape. Others may have replaced it.
///
/// # Errors
///
/// Without privileges: then nothing is known about the pin.
pub(super) fn fits(path: &Path, shape: Option<Shape>) -> Result<bool, Error> {
    let map = match MapData::from_pin(path) {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EPERM) => {
            return Err(Error::Privileges { operation: "opening a pin" });
        }
        map => map,
    };
    let found = map.and_then(|map| map.info()).and_then(|info| {
        let (key, value, entries) = (info.key_size(), info.value_size(), info.max_entries());
        Ok((has_name(&info, path), Shape { kind: info.map_type()?, key, value, entries }))
    });
    Ok(found.is_ok_and(|(is_named, found)| is_named && Some(found) == shape))
}

/// Whether a map has the name of its pin. The kernel cuts names.
pub(super) fn has_name(map: &MapInfo, path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    map.name_as_str().is_some_and(|found| !found.is_empty() && name.starts_with(found))
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

/// Removes a pin of ours, if it is there. A directory of others with its name is set aside.
pub(super) fn replace(path: &Path) -> Result<(), Error> {
    set_aside_unless(fs::remove_file(path), path)
}

fn set_aside_unless(removed: io::Result<()>, path: &Path) -> Result<(), Error> {
    use io::ErrorKind::{DirectoryNotEmpty, IsADirectory, NotADirectory};
    match removed {
        Err(error) if [DirectoryNotEmpty, IsADirectory, NotADirectory].contains(&error.kind()) => set_aside(path),
        removed => gone(removed, path),
    }
}

/// Gives another name to something that syscallmon did not make.
fn set_aside(path: &Path) -> Result<(), Error> {
    let error = |source| Error::Pin { path: path.to_owned(), source };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let other = path.with_file_name(format!("{FOREIGN}{:x}_{name}", monotonic_now().as_nanos()));
    tracing::warn!(path = %path.display(), moved_to = %other.display(), "syscallmon did not make this, and moves it");
    fs::rename(path, other).map_err(error)
}

/// Removes a directory of tables.
pub(super) fn remove_tables(path: &Path) -> Result<(), Error> {
    table_pins(path).try_for_each(|pin| remove(&pin))?;
    gone(fs::remove_dir(path), path)
}

/// Removes a directory of tables. What others have put there is set aside.
pub(super) fn discard_tables(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        clear_tables(path)?;
    }
    set_aside_unless(fs::remove_dir(path), path)
}

/// Removes the tables in a directory, and leaves the directory.
pub(super) fn clear_tables(path: &Path) -> Result<(), Error> {
    table_pins(path).try_for_each(|pin| replace(&pin))
}

/// Removes the counts, and leaves the description and the events.
pub(super) fn clear_counts(path: &Path) -> Result<(), Error> {
    COUNT_TABLES.iter().try_for_each(|name| replace(&path.join(name)))
}

/// Returns the pins of tables. The description is the first: what is left after a crash is half-written.
fn table_pins(path: &Path) -> impl Iterator<Item = PathBuf> {
    [DESCRIPTION].into_iter().chain(COUNT_TABLES).chain(RINGS).map(|name| path.join(name))
}

/// Detaches and removes everything that the pinned mode left in a directory, and the directory, unless it is a mount
/// point (of a pod). Returns whether there was anything.
///
/// # Errors
///
/// When a daemon uses the directory, or the kernel refuses. Names of others are left, and so is the directory then.
pub fn unpin(path: &Path) -> Result<bool, Error> {
    use io::ErrorKind::{ReadOnlyFilesystem, ResourceBusy};
    if !path.exists() {
        return Ok(false);
    }
    let directory = PinDirectory::lock(path)?;
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
        // A mount point, in a root file system that may be read-only.
        Err(error) if matches!(error.kind(), ResourceBusy | ReadOnlyFilesystem) => Ok(!is_empty),
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
        let directory = PinDirectory { open: File::open(&path).unwrap(), path };
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
