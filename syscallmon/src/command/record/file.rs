//! The file of a recording: complete, or not there at all. An existing file is never overwritten.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, bail};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

/// A file that does not have its name yet. Dropping it removes it.
pub(super) struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    /// Whether the temporary file is kept, because it is the only copy of a recording.
    is_kept: bool,
}

/// Returns the default name for the recording of a program.
pub(super) fn default_name(program: &OsStr) -> PathBuf {
    let mut name = Path::new(program).file_name().unwrap_or(program).to_owned();
    name.push(".recording.json");
    name.into()
}

impl NewFile {
    /// Creates the temporary file beside `path`, so that a directory that cannot be written is found early.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if path.symlink_metadata().is_ok() {
            bail!("{shown} exists: remove it, or choose another file with --output");
        }
        let name = path.file_name().with_context(|| format!("{shown} is not the name of a file"))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", process::id()));
        let temporary = path.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.with_context(|| format!("cannot create {}", temporary.display()))?;
        Ok(Self { file, temporary, path: path.to_owned(), is_kept: false })
    }

    /// Writes the content to the disk, and gives the file its name.
    pub(super) fn write(mut self, content: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(content).and_then(|()| self.file.sync_all());
        written.with_context(|| format!("cannot write {}", self.temporary.display()))?;
        if let Err(error) = rename_to_new(&self.temporary, &self.path) {
            self.is_kept = true;
            let (path, temporary) = (self.path.display(), self.temporary.display());
            return Err(error).with_context(|| format!("cannot create {path}; the recording is in {temporary}"));
        }
        self.is_kept = true;
        // The name is on the disk when the directory is. Not all file systems can do that.
        let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let _ = File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Renames, and fails if the new name exists.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not all file systems can rename in this way.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(from, to).and_then(|()| fs::remove_file(from)),
        Err(Errno::EXIST) => Err(ErrorKind::AlreadyExists.into()),
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_complete_and_for_its_owner_only_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        drop(NewFile::create(&path).unwrap());
        assert!(names(directory.path()).is_empty());
        NewFile::create(&path).unwrap().write(b"{}").unwrap();
        assert_eq!(names(directory.path()), ["a.json"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = NewFile::create(&path).err().unwrap().to_string();
        assert!(error.ends_with("a.json exists: remove it, or choose another file with --output"), "{error}");
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_not_overwritten_and_the_recording_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        let new = NewFile::create(&path).unwrap();
        fs::write(&path, "other").unwrap();
        let error = format!("{:#}", new.write(b"{}").unwrap_err());
        assert!(error.contains("the recording is in"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        assert_eq!(names(directory.path()).len(), 2);
    }

    #[test]
    fn the_default_name_has_the_program_without_its_directory() {
        assert_eq!(default_name(OsStr::new("/usr/sbin/nginx")), Path::new("nginx.recording.json"));
        assert_eq!(default_name(OsStr::new("/")), Path::new("/.recording.json"));
    }
}
