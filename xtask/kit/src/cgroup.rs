//! The host's cgroups, in all of its hierarchies: cgroups of a test, and cgroups that runtimes created.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

/// Maximum time that cgroups stay busy after their last process was killed.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// A cgroup for one test or measurement. Dropping it removes it, with everything in and below it.
pub struct Cgroup {
    mount: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    /// Creates a cgroup directly below the root of a hierarchy, with a unique name that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn new(mount: &Path, prefix: &str, name: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{prefix}-{}-{}-{name}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = mount.join(unique);
        fs::create_dir(&path).with_context(|| format!("cannot make {}: this needs root", path.display()))?;
        Ok(Self { mount: mount.to_owned(), path })
    }

    /// Creates a cgroup below this one.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn child(&self, name: &str) -> Result<PathBuf> {
        let child = self.path.join(name);
        fs::create_dir(&child).with_context(|| format!("cannot make {}", child.display()))?;
        Ok(child)
    }

    /// Returns its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its path in the hierarchy: the value of the label `cgroup`.
    #[must_use]
    pub fn label(&self) -> String {
        self.label_of(&self.path)
    }

    /// Returns the label of a directory below it.
    ///
    /// # Panics
    ///
    /// If the directory is not below it.
    #[must_use]
    pub fn label_of(&self, path: &Path) -> String {
        format!("/{}", path.strip_prefix(&self.mount).expect("below the mount").display())
    }

    /// Returns its id: the number of the inode.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn id(&self) -> Result<u64> {
        let metadata = fs::metadata(&self.path);
        Ok(metadata.with_context(|| format!("cannot look at {}", self.path.display()))?.ino())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.path, || kill(&self.path)) {
            eprintln!("warning: {error:#}");
        }
    }
}

/// Kills the processes in a cgroup and below it (Linux 5.14). On earlier kernels, only the guards of the children kill
/// them.
fn kill(cgroup: &Path) {
    let _ = File::options().write(true).open(cgroup.join("cgroup.kill")).and_then(|mut file| file.write_all(b"1"));
}

/// Returns the mount points of cgroups, cgroup2 first.
#[must_use]
pub fn mounts() -> Vec<PathBuf> {
    parse_mounts(&fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

/// Returns the paths of cgroups on all mounts with this text in their own names, such as a container's id.
#[must_use]
pub fn containing(name: &str) -> Vec<PathBuf> {
    let mounts = mounts();
    let cgroups = mounts.iter().flat_map(|mount| directories(mount));
    cgroups.filter(|path| path.file_name().is_some_and(|own| own.to_string_lossy().contains(name))).collect()
}

/// Removes cgroups with this name, relative to the mounts, and all cgroups below them.
///
/// # Errors
///
/// If a process stays in one of them.
pub fn remove(name: &str) -> Result<()> {
    mounts().iter().try_for_each(|mount| remove_all(&mount.join(name), || ()))
}

/// Waits until no process is in cgroups with this name. A killed process needs a moment to end.
///
/// # Errors
///
/// If a process stays. It then belongs to another program.
pub fn ensure_free_soon(name: &str) -> Result<()> {
    let begin = Instant::now();
    while let Some(cgroup) = busy(name) {
        ensure!(
            begin.elapsed() < TIMEOUT,
            "{} has processes: this machine runs something of the kind already; stop it, or use another machine",
            cgroup.display()
        );
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn busy(name: &str) -> Option<PathBuf> {
    mounts().into_iter().flat_map(|mount| directories(&mount.join(name))).find(|cgroup| has_processes(cgroup))
}

/// Removes a cgroup and all cgroups below it. Calls `kill` first, and as long as a process is in one of them.
fn remove_all(path: &Path, kill: impl Fn()) -> Result<()> {
    let begin = Instant::now();
    kill();
    for cgroup in directories(path).iter().rev() {
        while let Err(error) = fs::remove_dir(cgroup) {
            match error.kind() {
                io::ErrorKind::NotFound => break,
                io::ErrorKind::ResourceBusy if begin.elapsed() < TIMEOUT => {
                    kill();
                    thread::sleep(PAUSE);
                }
                _ => return Err(error).context(format!("cannot remove {}: which process is in it?", cgroup.display())),
            }
        }
    }
    Ok(())
}

fn has_processes(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.procs")).is_ok_and(|processes| !processes.is_empty())
}

/// Returns a directory and all directories below it, parents first.
fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = WalkDir::new(path).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_dir()).map(walkdir::DirEntry::into_path).collect()
}

fn parse_mounts(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut found: Vec<(bool, PathBuf)> = fields
        .filter(|fields| fields.len() > 2 && ["cgroup", "cgroup2"].contains(&fields[2]))
        .map(|fields| (fields[2] == "cgroup", fields[1].into()))
        .collect();
    found.sort_by_key(|&(is_v1, _)| is_v1);
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup2_comes_first() {
        let mounts = "proc /proc proc rw 0 0\ntmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let expected = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpu"].map(PathBuf::from);
        assert_eq!(parse_mounts(mounts), expected);
    }

    #[test]
    fn cgroup_of_a_test_has_a_name_of_its_own_and_goes_with_all_below_it() {
        let mount = tempfile::tempdir().unwrap();
        let make = || Cgroup::new(mount.path(), "syscallmon-test", "a").unwrap();
        let (cgroup, other) = (make(), make());
        assert_ne!(cgroup.path(), other.path());
        let child = cgroup.child("b").unwrap();
        fs::create_dir(child.join("c")).unwrap();
        assert_eq!(cgroup.label_of(&child), format!("{}/b", cgroup.label()));
        assert!(cgroup.label().starts_with("/syscallmon-test-") && cgroup.label().ends_with("-a"));
        assert_eq!(cgroup.id().unwrap(), fs::metadata(cgroup.path()).unwrap().ino());
        let path = cgroup.path().to_owned();
        drop(cgroup);
        assert!(!path.exists() && other.path().exists());
    }

    #[test]
    fn cgroup_that_nobody_made_is_free_and_can_be_removed() {
        ensure_free_soon("syscallmon-no-such-cgroup").unwrap();
        remove("syscallmon-no-such-cgroup").unwrap();
    }
}
