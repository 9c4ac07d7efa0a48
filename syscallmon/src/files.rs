//! Files from people and clusters, read whole and within a limit.
//!
//! Only regular files are read: a read of a pipe may never end, and neither may a device. A read from a dead file
//! server may also never end, so async code uses [`crate::blocking`].

use std::{
    io::{self, Read},
    path::Path,
};

pub use exporter_web::regular_file::{FileStamp, open};

/// Bytes of a configuration, a kubeconfig, a token or a list of certificates.
pub const MAX_BYTES: u64 = 4 << 20;

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
    use std::fs::{self, File};

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
