//! Regular files: opening them, and noticing that they have changed.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

/// What differs after a change of a file. Another file that takes its name has another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Part of the stamp because a change of permissions moves no other field.
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

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the file changed less than `period` ago. False for a time in the future: a clock that is set back must
    /// not stop reloads.
    pub(crate) fn has_changed_within(&self, period: Duration) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanoseconds) = self.changed;
        let changed_ns = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let age_ns = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX) - changed_ns;
        (0..period.as_nanos().cast_signed()).contains(&age_ns)
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

/// Opens a regular file. A pipe is refused without waiting for its writer.
///
/// # Errors
///
/// When it cannot be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}
