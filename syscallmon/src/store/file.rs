//! Single files: read within bounds, replaced so that a crash leaves the old one or the new one, whole.

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The longest baseline. One of every call that there is has about 130 KB.
const MOST_BYTES: u64 = 1 << 20;

/// What the names of baselines end in.
const JSON: &str = ".json";

/// What the names of files end in that are being written; they begin with a dot.
const NEW: &str = ".new";

/// What tells whether a file is still what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// Of a path, without following it.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { inode: metadata.ino(), bytes: metadata.len(), modified }
    }
}

/// Names of the baselines in a directory, so many at most.
pub(super) fn names(directory: &Path, most: usize) -> io::Result<BTreeSet<String>> {
    let names = all_names(directory)?.filter_map(Result::transpose);
    names.filter(|name| name.as_ref().is_ok_and(|name| is_baseline(name)) || name.is_err()).take(most).collect()
}

fn all_names(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<Option<String>>>> {
    // What is no text is none of ours.
    Ok(fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string().ok())))
}

fn is_baseline(name: &str) -> bool {
    name.ends_with(JSON) && !name.starts_with('.')
}

/// Removes what a crash left of files that were being written.
pub(super) fn remove_leftovers(directory: &Path) -> io::Result<()> {
    for name in all_names(directory)?.filter_map(Result::transpose) {
        let name = name?;
        if name.starts_with('.') && name.ends_with(NEW) {
            // On a read-only file system it stays.
            let _ = fs::remove_file(directory.join(name));
        }
    }
    Ok(())
}

/// The content of a regular file.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("exceeds {MOST_BYTES} bytes")));
    }
    Ok(text)
}

/// Puts a file in the place of another. When that fails, the other is still there.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<Stamp> {
    let new = new_path(path);
    let stamp = write_new(&new, text).and_then(|stamp| fs::rename(&new, path).map(|()| stamp));
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

fn write_new(path: &Path, text: &str) -> io::Result<Stamp> {
    remove(path)?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    file.metadata().map(|metadata| Stamp::from(&metadata))
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
