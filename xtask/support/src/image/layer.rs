//! The file system of an image: one tar, with bytes that depend only on its content.

use std::path::Path;

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

/// A file system under construction. All files belong to root and have times of 1970, except files from a
/// [`Self::tree`].
pub struct Layer(Builder<Vec<u8>>);

impl Default for Layer {
    /// Returns an empty layer.
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Layer {
    /// Returns an empty layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory.
    ///
    /// # Errors
    ///
    /// If its path is too long for a tar.
    pub fn directory(mut self, path: &str, mode: u32) -> Result<Self> {
        let mut header = header(EntryType::Directory, mode, 0)?;
        self.0.append_data(&mut header, format!("{path}/"), &[][..]).with_context(|| cannot(path))?;
        Ok(self)
    }

    /// Adds a file.
    ///
    /// # Errors
    ///
    /// If its path is too long for a tar.
    pub fn file(mut self, path: &str, content: &[u8], mode: u32) -> Result<Self> {
        append(&mut self.0, path, content, mode)?;
        Ok(self)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    ///
    /// If a path is too long for a tar.
    pub fn link(mut self, path: &str, target: &str) -> Result<Self> {
        let mut header = header(EntryType::Symlink, 0o777, 0)?;
        self.0.append_link(&mut header, path, target).with_context(|| cannot(path))?;
        Ok(self)
    }

    /// Adds the contents of a directory of this machine, unchanged: with owners, permissions and links.
    ///
    /// # Errors
    ///
    /// If something in it cannot be read.
    pub fn tree(mut self, dir: &Path) -> Result<Self> {
        self.0.follow_symlinks(false);
        self.0.append_dir_all("", dir).with_context(|| cannot(&dir.display().to_string()))?;
        Ok(self)
    }

    /// Returns the tar.
    ///
    /// # Errors
    ///
    /// If the tar cannot be finished.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().context("cannot end the layer")
    }
}

/// Returns a tar of files, in this order.
pub(super) fn tar(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, content) in files {
        append(&mut tar, path, content, 0o644)?;
    }
    tar.into_inner().context("cannot end the archive")
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = header(EntryType::Regular, mode, content.len())?;
    tar.append_data(&mut header, path, content).with_context(|| cannot(path))
}

fn header(kind: EntryType, mode: u32, size: usize) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    Ok(header)
}

fn cannot(path: &str) -> String {
    format!("cannot put {path} into an archive")
}
