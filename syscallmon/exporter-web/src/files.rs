//! The files a configuration was read from, and whether they are still the same.
//!
//! `config` and `tls` read through [`Files`]; `reload` asks it for changes. Contents are never kept here.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    error::Error,
    regular_file::{self, FileStamp},
};

/// Far above any certificate chain; keeps a mistyped path (a log, a device) out of memory.
const MAX_BYTES: u64 = 4 << 20;

/// A file changed less long ago may still be in the middle of being written: truncated, it could be valid YAML
/// without its passwords.
const SETTLE: Duration = Duration::from_millis(500);

/// Every file read for one configuration, as it was when read.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<(PathBuf, FileStamp)>);

/// The files on disk, compared with those read.
#[derive(Debug, PartialEq)]
pub(super) enum FileChange {
    None,
    /// Changed within the last half second; ask again.
    Unsettled,
    Changed,
}

impl Files {
    /// Reads a whole file and remembers it. `what` is the key that names it.
    pub(super) fn read(&mut self, what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
        let (stamp, bytes) = read_stamped(path).map_err(|source| Error::Read { what, path: path.into(), source })?;
        if stamp.bytes() > MAX_BYTES || bytes.len() as u64 > MAX_BYTES {
            return Err(Error::TooLarge { what, path: path.into(), limit: MAX_BYTES });
        }
        self.0.push((path.into(), stamp));
        Ok(bytes)
    }

    pub(super) fn change(&self) -> FileChange {
        // Links are followed: Kubernetes publishes a new secret by moving a link.
        let stamp = |path| std::fs::metadata(path).ok().map(|metadata| FileStamp::from(&metadata));
        let now: Vec<_> = self.0.iter().map(|(path, _)| stamp(path)).collect();
        if self.0.iter().zip(&now).all(|((_, then), now)| now.as_ref() == Some(then)) {
            FileChange::None
        } else if now.iter().flatten().any(|stamp| stamp.has_changed_within(SETTLE)) {
            FileChange::Unsettled
        } else {
            FileChange::Changed
        }
    }
}

/// The stamp is taken before the bytes, so that a change in between shows as a change later.
fn read_stamped(path: &Path) -> io::Result<(FileStamp, Vec<u8>)> {
    let file = regular_file::open(path)?;
    let stamp = FileStamp::from(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
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
        assert_eq!(files.change(), FileChange::None);

        thread::sleep(Duration::from_millis(20));
        fs::write(&path, "b").unwrap();
        assert_eq!(files.change(), FileChange::Unsettled);
        thread::sleep(SETTLE);
        assert_eq!(files.change(), FileChange::Changed);
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
        assert_eq!(files.change(), FileChange::Changed);
    }
}
