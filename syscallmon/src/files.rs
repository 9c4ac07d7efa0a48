//! Files that people and clusters write, read whole and within a limit.
//!
//! Only regular files are read: a pipe would keep its reader for ever, and a device has no end. A file on a dead server still can;
//! async code reads through [`crate::blocking`].

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Bytes of a configuration, a kubeconfig, a token or a list of certificates.
pub const MAX_BYTES: u64 = 4 << 20;

/// What differs after a change of a file. Another file that takes its name has another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// Differs from the stamp of every file.
    pub const NONE: Self = Self { device: 0, inode: 0, bytes: 0, modified: (0, 0), changed: (0, 0) };

    /// Whether the content is the same. Owner, mode and name may have changed.
    #[must_use]
    pub fn has_content_of(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }
}

impl From<&Metadata> for FileStamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Opens a regular file; a pipe is refused without waiting for whoever writes into it.
///
/// # Errors
///
/// When it cannot be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Returns the content of a regular file of at most [`MAX_BYTES`].
///
/// # Errors
///
/// As [`open`], and when the file is longer.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if length as u64 > MAX_BYTES { Err(io::Error::other("exceeds 4 MiB")) } else { Ok(bytes) }
}

/// The same for a text.
///
/// # Errors
///
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn pipes_devices_directories_and_long_files_are_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [at("pipe"), "/dev/zero".into(), directory.path().to_owned()] {
            assert_eq!(read_text(&path).unwrap_err().to_string(), "not a regular file", "{}", path.display());
        }
        File::create(at("long")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(read(&at("long")).unwrap_err().to_string(), "exceeds 4 MiB");
        fs::write(at("text"), "log: {}").unwrap();
        std::os::unix::fs::symlink(at("text"), at("link")).unwrap();
        assert_eq!(read_text(&at("link")).unwrap(), "log: {}", "ConfigMaps are links");
    }
}
