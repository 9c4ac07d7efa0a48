//! Walks over cgroupfs: what events did not tell of, and what is gone.

use std::{
    collections::{HashMap, HashSet},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    sync::Arc,
};

use walkdir::{DirEntryExt, WalkDir};

use super::{Cgroup, Tree};
use crate::cgroup::Mount;

/// Directories nested in one container or unit that are looked into. What is made in there is counted as what it is in.
const MAX_WALKED: usize = 4096;
/// Cgroups in the tree from which on all are looked at.
const MAX_IN_TREE: usize = 262_144;

impl Tree {
    /// Looks at every directory: takes up cgroups that no event told of, and buries those that two complete walks, one
    /// after the other, did not see. Whether the walk was complete.
    ///
    /// Once is not enough: the birth of a cgroup is reported just before its directory is to be seen.
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

    /// Takes up the cgroups of one mount, and strikes them off those that are missed. Whether it saw all of them.
    fn walk_below(&mut self, mount: &Mount, mark: u64, missed: &mut HashSet<u64>) -> bool {
        let (mut complete, mut above, mut nested) = (true, Vec::new(), Nested::new(self.cgroups.len()));
        // Other file systems may be mounted below; their inode numbers are not cgroup ids.
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
                // What vanishes while it is looked at is gone; anything else hides what is below it.
                Err(error) => complete &= is_vanished(&error),
            }
        }
        missed.retain(|id| !self.cgroups.get(id).is_some_and(|cgroup| nested.may_have_skipped(cgroup)));
        complete
    }
}

/// Nested cgroups that a walk has seen, by what they are in: no container makes a walk long.
struct Nested {
    most: usize,
    seen: HashMap<Arc<str>, usize>,
}

impl Nested {
    /// Where the tree has very many, all are looked at, so that those whose ends nobody has seen go.
    fn new(in_tree: usize) -> Self {
        Self { most: if in_tree > MAX_IN_TREE { usize::MAX } else { MAX_WALKED }, seen: HashMap::new() }
    }

    /// Whether what is in a nested cgroup is not to be looked at.
    fn are_too_many_with(&mut self, cgroup: &Cgroup) -> bool {
        if cgroup.is_own {
            return false;
        }
        let seen = self.seen.entry(Arc::clone(&cgroup.path)).or_default();
        *seen += 1;
        *seen > self.most
    }

    /// Whether a cgroup may be in one that was not looked at.
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

/// Whether a user made what is in a directory: not root owns it.
fn is_users(directory: &Path) -> bool {
    directory.metadata().is_ok_and(|directory| directory.uid() != 0)
}

fn inode(path: &Path) -> Option<u64> {
    Some(path.metadata().ok()?.ino())
}

/// The path that the hierarchy has for a directory below the mount.
fn path_in_hierarchy(mount: &Mount, path: &Path) -> String {
    let below = path.strip_prefix(&mount.path).unwrap_or(path).as_os_str().as_bytes();
    let root = mount.root.trim_end_matches('/');
    match below {
        [] if root.is_empty() => "/".to_owned(),
        [] => root.to_owned(),
        below => [root, "/", &String::from_utf8_lossy(below)].concat(),
    }
}
