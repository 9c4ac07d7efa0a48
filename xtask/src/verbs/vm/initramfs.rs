//! The file system of a VM at boot: a cpio archive in the kernel's format ("newc").

use std::{fs, path::Path};

use anyhow::{Context, Result};
use xtask_support::static_build::Built;

use super::chosen::Extent;

/// Directories, before their contents.
const DIRS: [&str; 7] = ["bin", "dev", "proc", "sys", "test", "test/deps", "test/examples"];
pub(super) const DIRECTORY: u32 = 0o040_755;
pub(super) const PROGRAM: u32 = 0o100_755;
pub(super) const FILE: u32 = 0o100_644;
/// The content is the target.
pub(super) const SYMLINK: u32 = 0o120_777;

/// Returns the archive, with the programs that were built.
///
/// It is not compressed, because the emulator reads it instantly but would decompress it slowly.
pub(super) fn make(built: &Built, busybox: &Path, extent: Extent) -> Result<Vec<u8>> {
    let mut cpio = Cpio::default();
    for dir in DIRS {
        cpio.add(dir, DIRECTORY, &[]);
    }
    // The tests look for `../examples/known_calls`, relative to their directory.
    let programs = [
        ("bin/busybox", busybox),
        ("bin/syscallmon", built.daemon.as_path()),
        ("test/deps/kernel", built.tests.as_path()),
        ("test/examples/known_calls", built.known_calls.as_path()),
        ("test/examples/known_runtime", built.known_runtime.as_path()),
    ];
    for (name, path) in programs {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        cpio.add(name, PROGRAM, &bytes);
    }
    cpio.add("init", PROGRAM, include_bytes!("init.sh"));
    cpio.add("test/arguments", FILE, extent.arguments().as_bytes());
    Ok(cpio.finish())
}

/// An archive under construction.
#[derive(Default)]
pub(super) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    /// Adds an entry. Directories come before their entries.
    pub(super) fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("programs are smaller than 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        // Inode, mode, owner, group, links, time, size, device (2), special device (2), size of the name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let header: Vec<String> = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.bytes.extend_from_slice(b"070701");
        self.bytes.extend_from_slice(header.concat().as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Returns the archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_begin_at_multiples_of_four_and_end_with_the_trailer() {
        let mut cpio = Cpio::default();
        cpio.add("a", FILE, b"12345");
        let first = cpio.bytes.len();
        assert_eq!(first, 110 + 2 + 8);
        cpio.add("bin", DIRECTORY, &[]);
        let bytes = cpio.finish();
        assert_eq!(&bytes[first..first + 6], b"070701");
        assert_eq!(&bytes[54..62], b"00000005", "the size of the content");
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(11).any(|window| window == b"TRAILER!!!\0"));
    }
}
