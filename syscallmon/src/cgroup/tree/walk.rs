//! Walks of cgroupfs: find cgroups without an event, and removed cgroups.

use std::{
    collections::{HashMap, HashSet},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    sync::Arc,
};

use walkdir::{DirEntryExt, WalkDir};

use super::{Cgroup, Tree};
use crate::cgroup::Mount;

/// Maximum directories in one container or unit that are entered. Deeper cgroups count for the container or unit.
const MAX_WALKED: usize = 4096;
/// From this many cgroups on, all directories are entered.
const MAX_IN_TREE: usize = 262_144;

impl Tree {
    /// Visits directories. Adds cgroups without an event, and ends cgroups that two consecutive complete walks did not
    /// see. Returns whether the walk was complete.
    ///
    /// One walk is not enough, because the birth of a cgroup is reported just before its directory is visible.
    pub fn walk(&mut self) -> bool {
        let mut missed: HashSet<u64> =
            self.cgroups.iter().filter(|(_, cgroup)| cgroup.alive).map(|(&id, _)| id).collect();
        let mounts = std::mem::take(&mut self.mounts);
        let mut complete = self.sees_all;
        for (mount, mark) in &mounts {
            complete &= self.walk_below(mount, *mark, &mut missed);
        }
        self.mounts = mounts;
        if complete {
            for &id in missed.intersection(&std::mem::take(&mut self.missed)) {
                self.bury(id);
            }
            self.missed = missed;
        }
        complete
    }

    /// Adds the cgroups of one mount, and removes them from `missed`. Returns whether it saw all of them.
    fn walk_below(&mut self, mount: &Mount, mark: u64, missed: &mut HashSet<u64>) -> bool {
        let (mut complete, mut above, mut nested) = (true, Vec::new(), Nested::new(self.cgroups.len()));
        // Other file systems may be mounted below. Their inode numbers are not cgroup ids.
        let mut walk = WalkDir::new(&mount.path).same_file_system(true).into_iter();
        while let Some(entry) = walk.next() {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    above.truncate(entry.depth());
                    let parent = above.last().copied().flatten();
                    // The root's entry has the inode number of the directory that it is mounted on.
                    let inode = if entry.depth() == 0 { inode(entry.path()) } else { Some(entry.ino()) };
                    let id = inode.map(|inode| inode | mark);
                    above.push(id);
                    let Some(id) = id else { continue };
                    missed.remove(&id);
                    let is_users = || entry.path().parent().is_some_and(is_users);
                    self.add(id, &path_in_hierarchy(mount, entry.path()), parent, is_users);
                    if self.cgroups.get(&id).is_some_and(|cgroup| nested.are_too_many_with(cgroup)) {
                        walk.skip_current_dir();
                    }
                }
                Ok(_) => {}
                // An entry that vanishes during the walk is gone. Any other error hides the entries below it.
                Err(error) => complete &= is_vanished(&error),
            }
        }
        missed.retain(|id| !self.cgroups.get(id).is_some_and(|cgroup| nested.may_have_skipped(cgroup)));
        complete
    }
}

/// Nested cgroups of the walk by container or unit, so no container makes a walk long.
struct Nested {
    most: usize,
    seen: HashMap<Arc<str>, usize>,
}

impl Nested {
    /// In a very large tree, all directories are entered, so ended cgroups are found.
    fn new(in_tree: usize) -> Self {
        Self { most: if in_tree > MAX_IN_TREE { usize::MAX } else { MAX_WALKED }, seen: HashMap::new() }
    }

    /// Whether a nested cgroup is not entered.
    fn are_too_many_with(&mut self, cgroup: &Cgroup) -> bool {
        if cgroup.is_own {
            return false;
        }
        let seen = self.seen.entry(Arc::clone(&cgroup.path)).or_default();
        *seen += 1;
        *seen > self.most
    }

    /// Whether a cgroup may be in a directory that was not entered.
    fn may_have_skipped(&self, cgroup: &Cgroup) -> bool {
        !cgroup.is_own && self.seen.get(&cgroup.path).is_some_and(|&seen| seen > self.most)
    }
}

/// Whether a directory could not be read because it was removed meanwhile.
fn is_vanished(error: &walkdir::Error) -> bool {
    const ENODEV: i32 = 19;
    let Some(io) = error.io_error() else { return false };
    error.depth() > 0 && (io.kind() == std::io::ErrorKind::NotFound || io.raw_os_error() == Some(ENODEV))
}

/// Whether a user made the entries of a directory: its owner is not root.
fn is_users(directory: &Path) -> bool {
    directory.metadata().is_ok_and(|directory| directory.uid() != 0)
}

fn inode(path: &Path) -> Option<u64> {
    Some(path.metadata().ok()?.ino())
}

/// Returns the path in the hierarchy of a directory below the mount.
fn path_in_hierarchy(mount: &Mount, path: &Path) -> String {
    let below = path.strip_prefix(&mount.path).unwrap_or(path).as_os_str().as_bytes();
    let root = mount.root.trim_end_matches('/');
    match below {
        [] if root.is_empty() => "/".to_owned(),
        [] => root.to_owned(),
        below => [root, "/", &String::from_utf8_lossy(below)].concat(),
    }
}
