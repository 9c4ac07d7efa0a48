//! The directories of an environment, and a lock for them. A machine runs one environment of a name at a time, because
//! all environments share the machine's cgroups.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use syscallmon_testkit::cgroup;
use xtask_support::workspace;

/// The directories of one environment, with exclusive use until dropped.
pub(crate) struct Directories {
    /// Logs, which are kept for later inspection.
    pub(crate) logs: PathBuf,
    state: PathBuf,
    cgroups: &'static [&'static str],
    _lock: File,
}

impl Directories {
    /// Claims the directories, and removes files and these cgroups that a killed process has left.
    pub(crate) fn claim(root: &Path, name: &str, cgroups: &'static [&'static str]) -> Result<Self> {
        let lock = lock(name)?;
        let dir = workspace::target_dir(root).join("e2e").join(name);
        let (logs, state) = (dir.join("log"), dir.join("state"));
        cgroups.iter().try_for_each(|cgroup| cgroup::ensure_free_soon(cgroup))?;
        cgroups.iter().try_for_each(|cgroup| cgroup::remove(cgroup))?;
        for dir in [&logs, &state] {
            remove_dir(dir)?;
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        Ok(Self { logs, state, cgroups, _lock: lock })
    }

    /// Creates a directory on the disk. It is removed with the others.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let dir = self.state.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        let removed = self.cgroups.iter().try_for_each(|cgroup| cgroup::remove(cgroup));
        if let Err(error) = removed.and_then(|()| remove_dir(&self.state)) {
            eprintln!("left behind: {error:#}");
        }
    }
}

pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// Locks a name on this machine until the file is closed. The kernel closes it at the end of the process.
pub(super) fn lock(name: &str) -> Result<File> {
    let dir = workspace::cache_dir()?.join("e2e");
    let path = dir.join(format!("{name}.lock"));
    let cannot = || format!("cannot lock {}", path.display());
    fs::create_dir_all(&dir).with_context(cannot)?;
    let file = File::options().create(true).append(true).open(&path).with_context(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another `cargo xtask e2e` is at {name} on this machine: wait for it, or end it")
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_one_environments_at_a_time() {
        let first = lock("unit-test").unwrap();
        assert!(lock("unit-test").unwrap_err().to_string().contains("another"));
        drop(first);
        lock("unit-test").unwrap();
    }
}
