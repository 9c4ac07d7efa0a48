//! The files a configuration was read from, and whether they are still the same.
//!
//! `config` and `tls` read through [`Files`]; `reload` asks it for changes. Contents are never kept here.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::Error;

/// Far above any certificate chain; keeps a mistyped path (a log, a device) out of memory.
const MAX_BYTES: u64 = 4 << 20;

/// A file changed less long ago may still be in the middle of being written: truncated, it could be valid YAML
/// without its passwords.
const SETTLE: Duration = Duration::from_millis(500);

/// Every file read for one configuration, as it was when read.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<(PathBuf, Stamp)>);

/// The files on disk, compared with those read.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    None,
    /// Changed within the last half second; ask again.
    Unsettled,
    Changed,
}

/// What differs after any change of a file. The change time is part of it because mending permissions moves no
/// other field; links are followed, as Kubernetes publishes a new secret by moving a link.
#[derive(Debug, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

impl Files {
    /// Reads a whole file and remembers it. `what` is the key that names it.
    pub(super) fn read(&mut self, what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
        let (stamp, bytes) = read_stamped(path).map_err(|source| Error::Read { what, path: path.into(), source })?;
        if stamp.len > MAX_BYTES || bytes.len() as u64 > MAX_BYTES {
            return Err(Error::TooLarge { what, path: path.into(), limit: MAX_BYTES });
        }
        self.0.push((path.into(), stamp));
        Ok(bytes)
    }

    pub(super) fn change(&self) -> Change {
        let now: Vec<_> = self.0.iter().map(|(path, _)| std::fs::metadata(path).ok().map(Stamp::from)).collect();
        if self.0.iter().zip(&now).all(|((_, then), now)| now.as_ref() == Some(then)) {
            Change::None
        } else if now.iter().flatten().any(Stamp::is_fresh) {
            Change::Unsettled
        } else {
            Change::Changed
        }
    }
}

impl From<Metadata> for Stamp {
    fn from(meta: Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Stamp {
    /// False for a change time in the future: a clock set back must not stop reloads.
    fn is_fresh(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age_ns = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX) - self.ctime_ns;
        (0..SETTLE.as_nanos().cast_signed()).contains(&age_ns)
    }
}

/// The stamp is taken before the bytes, so that a change in between shows as a change later.
fn read_stamped(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let file = crate::files::open(path)?;
    let stamp = Stamp::from(file.metadata()?);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn rewritten_file_counts_as_changed_once_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, "a").unwrap();
        let mut files = Files::default();
        files.read("web.config.file", &path).unwrap();
        assert_eq!(files.change(), Change::None);

        thread::sleep(Duration::from_millis(20));
        fs::write(&path, "b").unwrap();
        assert_eq!(files.change(), Change::Unsettled);
        thread::sleep(SETTLE);
        assert_eq!(files.change(), Change::Changed);
    }

    #[test]
    fn endless_and_long_files_are_refused() {
        let result = Files::default().read("cert_file", Path::new("/dev/zero"));
        assert!(matches!(result, Err(Error::Read { .. })), "{result:?}");
        let long = tempfile::NamedTempFile::new().unwrap();
        long.as_file().set_len(MAX_BYTES + 1).unwrap();
        let result = Files::default().read("cert_file", long.path());
        assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    }

    #[test]
    fn removed_file_counts_as_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, "a").unwrap();
        let mut files = Files::default();
        files.read("web.config.file", &path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(files.change(), Change::Changed);
    }
}
