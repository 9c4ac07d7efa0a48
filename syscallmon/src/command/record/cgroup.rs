//! The cgroup of a recorded command.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use walkdir::WalkDir;

use crate::cgroup::Mount;

/// How long a cgroup may stay busy after its last process has ended.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// A new cgroup. Dropping it removes it, with all nested cgroups.
pub(super) struct CommandCgroup {
    path: PathBuf,
    name: String,
}

impl CommandCgroup {
    /// Makes one inside the cgroup of this process, so that its limits stay in force. If that is not visible or cannot
    /// have processes in nested cgroups, makes one at the root of the mount.
    pub(super) fn make(mount: &Mount, procfs: &Path) -> anyhow::Result<Self> {
        let name = format!("syscallmon-record-{}", process::id());
        let own = own_directory(mount, procfs).filter(|own| *own != mount.path);
        let parents = own.into_iter().chain([mount.path.clone()]);
        let mut problem = None;
        for parent in parents {
            match Self::make_in(&parent, &name) {
                Ok(made) => return Ok(made),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        let cannot =
            || format!("cannot make a cgroup in {}: requires root and a writable cgroup2", mount.path.display());
        match problem {
            Some(error) => Err(error).with_context(cannot),
            None => bail!(cannot()),
        }
    }

    fn make_in(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        fs::create_dir(&path)?;
        let made = Self { path, name: name.to_owned() };
        // In a threaded subtree, a new cgroup is `domain invalid`: processes cannot enter it.
        let kind = fs::read_to_string(made.path.join("cgroup.type"))?;
        if kind.trim_end() == "domain" { Ok(made) } else { Err(io::Error::other(format!("is {}", kind.trim_end()))) }
    }

    /// Returns its id: the number of the inode.
    pub(super) fn id(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.ino())
    }

    /// Returns its name, which no other cgroup has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Opens the file that moves the process that writes `0` to it.
    pub(super) fn entrance(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Whether there are processes in it or in nested cgroups. A zombie does not count.
    pub(super) fn is_populated(&self) -> io::Result<bool> {
        let events = fs::read_to_string(self.path.join("cgroup.events"))?;
        Ok(!events.lines().any(|line| line == "populated 0"))
    }

    /// Returns the processes in it and in nested cgroups.
    pub(super) fn processes(&self) -> HashSet<i32> {
        let lists = self.directories().filter_map(|cgroup| fs::read_to_string(cgroup.join("cgroup.procs")).ok());
        let processes = lists.flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>());
        // Processes of another pid namespace are 0.
        processes.filter(|&process| process > 0).collect()
    }

    /// Sends all of them a signal.
    pub(super) fn signal(&self, signal: Signal) {
        for process in self.processes().into_iter().filter_map(Pid::from_raw) {
            // It may have ended.
            let _ = kill_process(process, signal);
        }
    }

    /// Kills all of them.
    pub(super) fn kill(&self) {
        let killed = OpenOptions::new()
            .write(true)
            .open(self.path.join("cgroup.kill"))
            .and_then(|mut file| file.write_all(b"1"));
        // Before Linux 5.14.
        if killed.is_err() {
            self.signal(Signal::KILL);
        }
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let entries = WalkDir::new(&self.path).contents_first(true).into_iter().flatten();
        entries.filter(|entry| entry.file_type().is_dir()).map(walkdir::DirEntry::into_path)
    }
}

impl Drop for CommandCgroup {
    fn drop(&mut self) {
        let begin = Instant::now();
        while let Some(error) = self.directories().find_map(|cgroup| fs::remove_dir(cgroup).err()) {
            if error.kind() == ErrorKind::NotFound {
                break;
            }
            if begin.elapsed() > REMOVE_TIMEOUT {
                let path = self.path.display();
                tracing::warn!("cannot remove the cgroup {path}: {error}; remove it with rmdir");
                break;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Returns the directory of the cgroup of this process; `None` if it is not below the mount.
fn own_directory(mount: &Mount, procfs: &Path) -> Option<PathBuf> {
    let cgroups = fs::read_to_string(procfs.join("self/cgroup")).ok()?;
    let path = cgroup2_path(&cgroups)?;
    let below = Path::new(path).strip_prefix(&mount.root).ok()?;
    let is_visible = below.components().all(|component| component.as_os_str() != "..");
    is_visible.then(|| mount.path.join(below)).filter(|directory| directory.is_dir())
}

/// Returns the path in cgroup2 from the text of `/proc/PID/cgroup`.
pub(super) fn cgroup2_path(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::MountKind;

    fn own_in(cgroups: &str, root: &str) -> Option<PathBuf> {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("self")).unwrap();
        fs::create_dir_all(directory.path().join("a.slice/b.scope")).unwrap();
        fs::write(directory.path().join("self/cgroup"), cgroups).unwrap();
        let mount = Mount { path: directory.path().to_owned(), root: root.to_owned(), kind: MountKind::Cgroup2 };
        let own = own_directory(&mount, directory.path())?;
        Some(own.strip_prefix(directory.path()).unwrap().to_owned())
    }

    #[test]
    fn the_own_cgroup_is_found_below_the_mount() {
        assert_eq!(own_in("4:memory:/x\n0::/a.slice/b.scope\n", "/").unwrap(), Path::new("a.slice/b.scope"));
        assert_eq!(own_in("0::/docker/1/a.slice\n", "/docker/1").unwrap(), Path::new("a.slice"));
        for (cgroups, root) in
            [("0::/../x\n", "/"), ("0::/gone\n", "/"), ("0::/x\n", "/y"), ("4:memory:/a.slice\n", "/")]
        {
            assert_eq!(own_in(cgroups, root), None, "{cgroups}");
        }
    }
}
