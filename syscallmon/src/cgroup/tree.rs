//! Which cgroups there are: id <-> path, from a walk of cgroupfs and from the kernel's events.
//!
//! A cgroup that is gone keeps its name here until [`Tree::forget`], that is, until its last counts were
//! read. Paths are those of the hierarchy, from its root, whatever part of it is mounted here.

use std::{
    collections::{HashMap, HashSet},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

use walkdir::{DirEntryExt, WalkDir};

use super::Mount;

/// A change of the tree, without the kernel's details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A cgroup was made. The path is as the kernel wrote it: any bytes but NUL, perhaps cut.
    Born {
        /// Its id.
        id: u64,
        /// Its path from the root of the hierarchy.
        path: &'a [u8],
    },
    /// A cgroup was removed.
    Died {
        /// Its id.
        id: u64,
    },
}

/// All cgroups that are alive, and those that died and were not forgotten yet.
#[derive(Debug)]
pub struct Tree {
    mount: Mount,
    cgroups: HashMap<u64, Cgroup>,
    dead: Vec<u64>,
}

#[derive(Debug)]
struct Cgroup {
    path: Arc<str>,
    alive: bool,
}

/// From this length on, the kernel may have cut the path of an event (`TRACE_CGROUP_PATH_LEN` - 1).
const CUT: usize = 1023;

impl Tree {
    /// An empty tree; [`Self::walk`] fills it.
    #[must_use]
    pub fn new(mount: Mount) -> Self {
        Self { mount, cgroups: HashMap::new(), dead: Vec::new() }
    }

    /// Where the tree is read from.
    #[must_use]
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// Takes up one event of the kernel.
    pub fn apply(&mut self, change: Change<'_>) {
        match change {
            // A path that may be cut is wrong; the walk finds the right one.
            Change::Born { path, .. } if path.len() >= CUT => {}
            Change::Born { id, path } => self.add(id, text(path)),
            Change::Died { id } => self.bury(id),
        }
    }

    fn add(&mut self, id: u64, path: Arc<str>) {
        self.cgroups.entry(id).or_insert(Cgroup { path, alive: true });
    }

    fn bury(&mut self, id: u64) {
        // A death whose birth was never seen still ends its counts.
        let cgroup = self.cgroups.entry(id).or_insert_with(|| Cgroup { path: Arc::default(), alive: true });
        if std::mem::replace(&mut cgroup.alive, false) {
            self.dead.push(id);
        }
    }

    /// Looks at every directory: takes up cgroups that no event told of, and buries those that are not there.
    ///
    /// Correct beside concurrent changes: a cgroup made or removed meanwhile has its own event, and what is
    /// buried was known before the walk began.
    pub fn walk(&mut self) {
        let mut missing: HashSet<u64> =
            self.cgroups.iter().filter(|(_, cgroup)| cgroup.alive).map(|(&id, _)| id).collect();
        // What vanishes while it is looked at is an error of that entry only.
        let entries = WalkDir::new(&self.mount.path).into_iter().filter_map(Result::ok);
        for entry in entries.filter(|entry| entry.file_type().is_dir()) {
            // The root's entry has the inode number of the directory that it is mounted on.
            let id = if entry.depth() == 0 { inode(entry.path()) } else { Some(entry.ino()) };
            let Some(id) = id else { continue };
            missing.remove(&id);
            let path = path_in_hierarchy(&self.mount, entry.path());
            self.add(id, path);
        }
        for id in missing {
            self.bury(id);
        }
    }

    /// The path of a cgroup, dead or alive; `None` when nothing is known of it.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<&Arc<str>> {
        self.cgroups.get(&id).map(|cgroup| &cgroup.path).filter(|path| !path.is_empty())
    }

    /// Whether the cgroup is there, as far as is known.
    #[must_use]
    pub fn is_alive(&self, id: u64) -> bool {
        self.cgroups.get(&id).is_some_and(|cgroup| cgroup.alive)
    }

    /// Cgroups that died since they were last forgotten, in the order of their deaths.
    #[must_use]
    pub fn dead(&self) -> &[u64] {
        &self.dead
    }

    /// Forgets these dead cgroups, whose last counts were read.
    pub fn forget(&mut self, dead: &[u64]) {
        for id in dead {
            self.cgroups.remove(id);
        }
        let cgroups = &self.cgroups;
        self.dead.retain(|id| cgroups.contains_key(id));
    }
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(path.metadata().ok()?.ino())
}

/// The path that the hierarchy has for a directory below the mount.
fn path_in_hierarchy(mount: &Mount, path: &Path) -> Arc<str> {
    let below = path.strip_prefix(&mount.path).unwrap_or(path).as_os_str().as_bytes();
    let root = mount.root.trim_end_matches('/');
    match below {
        [] if root.is_empty() => "/".into(),
        [] => root.into(),
        below => [root, "/", &String::from_utf8_lossy(below)].concat().into(),
    }
}

fn text(path: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(path).into()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use super::*;

    fn tree() -> (Tree, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let mount = Mount { path: dir.path().to_owned(), root: "/".into() };
        (Tree::new(mount), dir)
    }

    #[test]
    fn a_walk_names_every_directory_by_its_inode() {
        let (mut tree, dir) = tree();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/cgroup.procs"), "").unwrap();
        tree.walk();
        let id = |path: &str| dir.path().join(path).metadata().unwrap().ino();
        assert_eq!(tree.path(id("")).map(AsRef::as_ref), Some("/"));
        assert_eq!(tree.path(id("a")).map(AsRef::as_ref), Some("/a"));
        assert_eq!(tree.path(id("a/b")).map(AsRef::as_ref), Some("/a/b"));
        assert_eq!(tree.path(id("a/cgroup.procs")), None);
    }

    #[test]
    fn a_part_of_the_hierarchy_has_the_hierarchy_s_paths() {
        let (_, dir) = tree();
        fs::create_dir(dir.path().join("x")).unwrap();
        let mut tree = Tree::new(Mount { path: dir.path().to_owned(), root: "/kubepods".into() });
        tree.walk();
        let paths: Vec<_> = tree.cgroups.values().map(|cgroup| cgroup.path.to_string()).collect();
        assert!(paths.contains(&"/kubepods".to_owned()) && paths.contains(&"/kubepods/x".to_owned()), "{paths:?}");
    }

    #[test]
    fn a_dead_cgroup_keeps_its_name_until_it_is_forgotten() {
        let (mut tree, _dir) = tree();
        tree.apply(Change::Born { id: 7, path: b"/a" });
        assert!(tree.is_alive(7));
        tree.apply(Change::Died { id: 7 });
        tree.apply(Change::Died { id: 7 });
        assert_eq!((tree.is_alive(7), tree.dead(), tree.path(7).map(AsRef::as_ref)), (false, &[7][..], Some("/a")));
        tree.forget(&[7]);
        assert_eq!((tree.dead(), tree.path(7)), (&[][..], None));
    }

    #[test]
    fn a_death_without_a_birth_is_a_death_without_a_name() {
        let (mut tree, _dir) = tree();
        tree.apply(Change::Died { id: 9 });
        assert_eq!((tree.dead(), tree.path(9)), (&[9][..], None));
    }

    #[test]
    fn a_walk_buries_what_is_gone_and_keeps_what_is_there() {
        let (mut tree, dir) = tree();
        fs::create_dir(dir.path().join("stays")).unwrap();
        fs::create_dir(dir.path().join("goes")).unwrap();
        tree.walk();
        let id = dir.path().join("goes").metadata().unwrap().ino();
        fs::remove_dir(dir.path().join("goes")).unwrap();
        tree.walk();
        assert_eq!(tree.dead(), [id]);
    }

    #[test]
    fn a_path_that_the_kernel_cut_is_not_believed() {
        let (mut tree, _dir) = tree();
        tree.apply(Change::Born { id: 5, path: &[b'x'; 1023] });
        assert_eq!(tree.path(5), None);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let (mut tree, _dir) = tree();
        tree.apply(Change::Born { id: 5, path: b"/a\xff\n\"" });
        assert_eq!(tree.path(5).map(AsRef::as_ref), Some("/a\u{fffd}\n\""));
    }
}
