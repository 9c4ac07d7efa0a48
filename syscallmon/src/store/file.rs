//! Reads and replaces single files. Reads are bounded. A crash during a write leaves the whole old file or the whole
//! new one.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, IntoInnerError, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use crate::files::FileStamp;

/// Maximum size of a baseline. One with every call has about 130 KB.
const MAX_BYTES: u64 = 1 << 20;

/// Identifies a boot of the host.
const BOOT_ID: &str = "sys/kernel/random/boot_id";

/// Suffix of the names of baselines.
const JSON: &str = ".json";

/// Suffix of the names of files that are being written. They begin with a dot.
const NEW: &str = ".new";

/// Returns the stamp of a path, without following links.
pub(super) fn stamp(path: &Path) -> io::Result<FileStamp> {
    fs::symlink_metadata(path).map(|metadata| FileStamp::from(&metadata))
}

/// Returns the id of this boot of the host; empty if it cannot be read.
pub(super) fn boot_id(procfs: &Path) -> String {
    fs::read_to_string(procfs.join(BOOT_ID)).unwrap_or_default().trim().to_owned()
}

/// Returns the names of baselines in a directory, up to a maximum.
pub(super) fn names(directory: &Path, most: usize) -> io::Result<BTreeSet<String>> {
    let names = all_names(directory)?.filter_map(Result::transpose);
    names.filter(|name| name.as_ref().is_ok_and(|name| is_baseline(name)) || name.is_err()).take(most).collect()
}

fn all_names(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<Option<String>>>> {
    // A name that is no text is not of this daemon.
    Ok(fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string().ok())))
}

fn is_baseline(name: &str) -> bool {
    name.ends_with(JSON) && !name.starts_with('.')
}

/// Makes a directory in the state directory, and the state directory, but none above.
pub(super) fn make_directories(directory: &Path) -> Result<(), StoreError> {
    for path in directory.parent().into_iter().chain([directory]) {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists && !path.is_dir() => {
                return Err(StoreError::Make { path: path.to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Opens a directory, and locks it against other daemons. Removes unfinished files.
pub(super) fn open_and_lock(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::List { path: path.to_owned(), source };
    let directory = File::open(path).map_err(failed)?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| StoreError::Locked { path: path.to_owned() })?;
    remove_leftovers(path).map_err(failed)?;
    Ok(directory)
}

/// Whether a path is still this open file.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        there => Ok(inode(there?) == inode(file.metadata()?)),
    }
}

/// Removes unfinished files after a crash.
fn remove_leftovers(directory: &Path) -> io::Result<()> {
    for name in all_names(directory)?.filter_map(Result::transpose) {
        let name = name?;
        if name.starts_with('.') && name.ends_with(NEW) {
            // On a read-only file system it stays.
            let _ = fs::remove_file(directory.join(name));
        }
    }
    Ok(())
}

/// Opens a regular file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Returns the content of a baseline's file.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open(path)?.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("exceeds {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// Replaces a file. If that fails, the old one is still there.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<FileStamp> {
    replace_by(path, |new| {
        let file = write_new(new, write)?;
        file.sync_all()?;
        Ok(file)
    })
}

/// Does the same for a file that is worthless after a crash of the host.
pub(super) fn replace_without_sync(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<FileStamp> {
    replace_by(path, |new| write_new(new, write))
}

fn replace_by(path: &Path, write: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<FileStamp> {
    let new = new_path(path);
    let stamp = write(&new).and_then(|file| {
        let metadata = file.metadata()?;
        fs::rename(&new, path).map(|()| FileStamp::from(&metadata))
    });
    if stamp.is_err() {
        // It takes room on a disk that may be full.
        let _ = fs::remove_file(&new);
    }
    stamp
}

fn new_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{NEW}"))
}

fn write_new(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<File> {
    remove(path)?;
    let mut file = BufWriter::new(File::options().write(true).create_new(true).mode(0o600).open(path)?);
    write(&mut file)?;
    file.into_inner().map_err(IntoInnerError::into_error)
}

/// Removes a file, which may be gone already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
