//! Cgroups to measure in, directly below the root of the cgroup2 hierarchy.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use anyhow::{Context, Result};
use walkdir::WalkDir;

/// A cgroup of our own; removed, with everything in and below it, when dropped.
pub(super) struct Cgroup {
    path: PathBuf,
    label: String,
}

impl Cgroup {
    /// Makes one.
    pub(super) fn new(cgroup2: &Path, name: &str) -> Result<Self> {
        let unique = format!("syscallmon-bench-{}-{name}", process::id());
        let path = cgroup2.join(&unique);
        fs::create_dir(&path).with_context(|| format!("cannot make {}: measuring needs root", path.display()))?;
        Ok(Self { path, label: format!("/{unique}") })
    }

    /// Its directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its path in the hierarchy: the value of the label `cgroup`.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Its id: the number of the inode.
    pub(super) fn id(&self) -> Result<u64> {
        let metadata = fs::metadata(&self.path);
        Ok(metadata.with_context(|| format!("cannot look at {}", self.path.display()))?.ino())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        kill(&self.path);
        let entries = WalkDir::new(&self.path).contents_first(true).into_iter().filter_map(Result::ok);
        for directory in entries.filter(|entry| entry.file_type().is_dir()) {
            remove(directory.path());
        }
    }
}

/// Kills what is inside, and removes the cgroup when that is gone.
fn remove(cgroup: &Path) {
    for _ in 0..200 {
        if fs::remove_dir(cgroup).is_ok() {
            return;
        }
        kill(cgroup);
        thread::sleep(Duration::from_millis(10));
    }
    eprintln!("warning: cannot remove {}", cgroup.display());
}

/// Kills what is in a cgroup and below it (Linux 5.14); before, only the guards of the children do.
fn kill(cgroup: &Path) {
    let _ = fs::write(cgroup.join("cgroup.kill"), "1");
}
