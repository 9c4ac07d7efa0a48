//! The host's cgroups, in whatever hierarchies it has: what runtimes made there is found, and removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

/// How long a cgroup may stay busy after its last process was killed.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// Where cgroups are mounted, cgroup2 first.
#[must_use]
pub fn mounts() -> Vec<PathBuf> {
    parse_mounts(&fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

/// Paths, below any mount, of cgroups whose own name contains this; such as a container's id.
#[must_use]
pub fn containing(name: &str) -> Vec<PathBuf> {
    let mounts = mounts();
    let cgroups = mounts.iter().flat_map(|mount| directories(mount));
    cgroups.filter(|path| path.file_name().is_some_and(|own| own.to_string_lossy().contains(name))).collect()
}

/// Removes cgroups of this name, relative to the mounts, and all below them.
///
/// # Errors
///
/// If a process stays in one of them.
pub fn remove(name: &str) -> Result<()> {
    for mount in mounts() {
        let mut below = directories(&mount.join(name));
        below.reverse();
        for cgroup in below {
            remove_one(&cgroup)?;
        }
    }
    Ok(())
}

/// Waits until no process is in cgroups of this name: whoever was killed takes a moment to end.
///
/// # Errors
///
/// If one stays, which is somebody else's then.
pub fn ensure_free_soon(name: &str) -> Result<()> {
    let begin = Instant::now();
    while let Some(cgroup) = busy(name) {
        ensure!(
            begin.elapsed() < PATIENCE,
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

fn remove_one(cgroup: &Path) -> Result<()> {
    let begin = Instant::now();
    loop {
        match fs::remove_dir(cgroup) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && begin.elapsed() < PATIENCE => {
                thread::sleep(PAUSE);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => {
                return other.with_context(|| format!("cannot remove {}: which process is in it?", cgroup.display()));
            }
        }
    }
}

fn has_processes(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.procs")).is_ok_and(|processes| !processes.is_empty())
}

/// A directory and all below it; parents come first.
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
    fn cgroup_that_nobody_made_is_free_and_can_be_removed() {
        ensure_free_soon("syscallmon-no-such-cgroup").unwrap();
        remove("syscallmon-no-such-cgroup").unwrap();
    }
}
