//! Which cgroups there are: id <-> path, from a walk of cgroupfs and from the kernel's events.
//!
//! A cgroup that is gone keeps its name here until [`Tree::forget`], that is, until its last counts were
//! read. Where the whole hierarchy is mounted, paths are those from its root. Where only a part is, as in a cgroup namespace of a container,
//! events have paths from a root that walks do not see; so a new cgroup is named after the cgroup that it was made in, by their ids, and
//! cgroups outside of the mount have no name.

use std::{
    collections::{HashMap, HashSet},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

use syscallmon_common::V1_CGROUP;
use walkdir::{DirEntryExt, WalkDir};

use super::Mount;

/// A change of the tree, without the kernel's details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A cgroup was made. The path is as the kernel wrote it: any bytes but NUL, perhaps cut.
    Born {
        /// Its id.
        id: u64,
        /// The id of the cgroup that it was made in, where that is known.
        parent: Option<u64>,
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
    /// Each with the mark that its cgroups' ids have.
    mounts: Vec<(Mount, u64)>,
    cgroups: HashMap<u64, Cgroup>,
    dead: Vec<u64>,
    /// Whether a cgroup that a walk does not see may be gone: only where whole hierarchies are mounted.
    sees_all: bool,
    /// Marks of hierarchies that are mounted in part.
    partial: Vec<u64>,
    /// Cgroups whose paths became known, as a whole, since they were last asked for.
    named: Vec<u64>,
    /// Cgroups that the last complete walk did not see.
    missed: HashSet<u64>,
}

#[derive(Debug)]
struct Cgroup {
    /// Empty when the path is not known. Of one whose path is too long, that of the nearest cgroup above with one that is not.
    path: Arc<str>,
    alive: bool,
}

/// From this length on, the kernel may have cut the path of an event (`TRACE_CGROUP_PATH_LEN` - 1). Longer paths are no
/// names, wherever they come from: labels stay bounded.
const TOO_LONG: usize = 1023;

/// Room for cgroups that is kept when they go, and by how much it may be too large before it is given back.
const LEAST_ROOM: usize = 256;
const TOO_MUCH_ROOM: usize = 4;

impl Tree {
    /// An empty tree of the cgroups in these mounts, each with the mark that their ids have; [`Self::walk`] fills it.
    #[must_use]
    pub fn new<'a>(mounts: impl Iterator<Item = (&'a Mount, u64)>) -> Self {
        let mounts: Vec<(Mount, u64)> = mounts.map(|(mount, mark)| (mount.clone(), mark)).collect();
        let sees_all = mounts.iter().all(|(mount, _)| mount.is_whole());
        let partial = mounts.iter().filter(|(mount, _)| !mount.is_whole()).map(|&(_, mark)| mark).collect();
        Self {
            mounts,
            cgroups: HashMap::new(),
            dead: Vec::new(),
            sees_all,
            partial,
            named: Vec::new(),
            missed: HashSet::new(),
        }
    }

    /// A tree that only events fill.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self::new(std::iter::empty())
    }

    /// Takes up one event of the kernel.
    pub fn apply(&mut self, change: Change<'_>) {
        match change {
            Change::Born { id, parent, path } => {
                let path = String::from_utf8_lossy(path);
                if self.partial.contains(&(id & V1_CGROUP)) {
                    self.add_below(id, parent, &path);
                } else {
                    self.add(id, &path);
                }
            }
            Change::Died { id } => self.bury(id),
        }
    }

    /// Takes up a cgroup of a hierarchy that is mounted in part: named after its parent, and without a name outside of the mount.
    /// Where the parent is not known, a walk has to find it.
    fn add_below(&mut self, id: u64, parent: Option<u64>, path: &str) {
        let Some(parent) = parent else { return };
        let above = self.path(parent).map_or("", AsRef::as_ref);
        let name = path.rsplit('/').next().unwrap_or_default();
        if above.is_empty() {
            self.add(id, "");
        } else if path.len() < TOO_LONG {
            self.add(id, &[above.trim_end_matches('/'), "/", name].concat());
        } else {
            // The name may be cut.
            self.add_nameless_below(id, &Arc::from(above));
        }
    }

    /// Takes up a cgroup whose own path is too long for a name.
    fn add_nameless_below(&mut self, id: u64, above: &Arc<str>) {
        let cgroup = self.cgroups.entry(id).or_insert_with(|| Cgroup { path: Arc::default(), alive: true });
        if cgroup.path.is_empty() {
            cgroup.path = Arc::clone(above);
        }
    }

    /// Takes up a cgroup, or the name of one that had none.
    fn add(&mut self, id: u64, path: &str) {
        if path.len() >= TOO_LONG {
            return self.add_nameless_below(id, &whole_part(path).into());
        }
        let cgroup = self.cgroups.entry(id).or_insert_with(|| Cgroup { path: Arc::default(), alive: true });
        if cgroup.path.is_empty() && !path.is_empty() {
            cgroup.path = path.into();
            self.named.push(id);
        }
    }

    /// Cgroups whose paths became known since this was last asked, but for those whose paths are too long.
    pub fn take_named(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.named)
    }

    /// The id of a cgroup that is there, by its path. Looks at every cgroup.
    #[must_use]
    pub fn id_of(&self, path: &str) -> Option<u64> {
        let mut alive = self.cgroups.iter().filter(|(_, cgroup)| cgroup.alive && cgroup.path.as_ref() == path);
        alive.next().map(|(&id, _)| id)
    }

    fn bury(&mut self, id: u64) {
        // A death whose birth was never seen still ends its counts.
        let cgroup = self.cgroups.entry(id).or_insert_with(|| Cgroup { path: Arc::default(), alive: true });
        if std::mem::replace(&mut cgroup.alive, false) {
            self.dead.push(id);
        }
    }

    /// Takes up a cgroup that makes calls but that neither events nor walks tell of; it stays without a name until
    /// one of them does.
    pub fn add_unnamed(&mut self, id: u64) {
        self.add(id, "");
    }

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
        let mut complete = true;
        // Other file systems may be mounted below; their inode numbers are not cgroup ids.
        for entry in WalkDir::new(&mount.path).same_file_system(true) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    // The root's entry has the inode number of the directory that it is mounted on.
                    let inode = if entry.depth() == 0 { inode(entry.path()) } else { Some(entry.ino()) };
                    let Some(id) = inode.map(|inode| inode | mark) else { continue };
                    missed.remove(&id);
                    self.add(id, &path_in_hierarchy(mount, entry.path()));
                }
                Ok(_) => {}
                // What vanishes while it is looked at is gone; anything else hides what is below it.
                Err(error) => complete &= is_vanished(&error),
            }
        }
        complete
    }

    /// The path of a cgroup, dead or alive; `None` when it is not known.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<&Arc<str>> {
        self.cgroups.get(&id).map(|cgroup| &cgroup.path).filter(|path| !path.is_empty())
    }

    /// Whether every cgroup can be seen: not where only a part of a hierarchy is mounted.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.sees_all
    }

    /// Whether the cgroup was heard of, be it without a name.
    #[must_use]
    pub fn knows(&self, id: u64) -> bool {
        self.cgroups.contains_key(&id)
    }

    /// Paths of all cgroups that are there.
    #[must_use]
    pub fn paths_alive(&self) -> HashSet<&Arc<str>> {
        self.cgroups.values().filter(|cgroup| cgroup.alive).map(|cgroup| &cgroup.path).collect()
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
        // What a storm of cgroups took is given back when it is over.
        if self.cgroups.capacity() > LEAST_ROOM.max(TOO_MUCH_ROOM * self.cgroups.len()) {
            self.cgroups.shrink_to_fit();
        }
        if self.dead.capacity() > LEAST_ROOM.max(TOO_MUCH_ROOM * self.dead.len()) {
            self.dead.shrink_to_fit();
        }
    }
}

/// The longest path of a cgroup above that is short enough for a name.
fn whole_part(path: &str) -> &str {
    let end = path.bytes().take(TOO_LONG).rposition(|byte| byte == b'/').unwrap_or(0);
    if end == 0 { "/" } else { &path[..end] }
}

/// Whether a directory could not be read because it was removed meanwhile.
fn is_vanished(error: &walkdir::Error) -> bool {
    const ENODEV: i32 = 19;
    let Some(io) = error.io_error() else { return false };
    error.depth() > 0 && (io.kind() == std::io::ErrorKind::NotFound || io.raw_os_error() == Some(ENODEV))
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use super::*;
    use crate::cgroup::Kind;

    fn tree() -> (Tree, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        // A temporary directory does not have the hierarchy's root inode, but is all there is.
        (Tree { sees_all: true, partial: Vec::new(), ..tree_at(dir.path(), "/") }, dir)
    }

    fn tree_at(path: &Path, root: &str) -> Tree {
        let mount = Mount { path: path.to_owned(), root: root.into(), kind: Kind::Cgroup2 };
        Tree::new([(&mount, 0)].into_iter())
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
    fn cgroups_of_two_hierarchies_are_kept_apart_by_their_marks() {
        let dir = tempfile::tempdir().unwrap();
        let mount = Mount { path: dir.path().to_owned(), root: "/".into(), kind: Kind::Cgroup2 };
        let mut tree = Tree::new([(&mount, 0), (&mount, 1 << 63)].into_iter());
        fs::create_dir(dir.path().join("a")).unwrap();
        tree.walk();
        let id = dir.path().join("a").metadata().unwrap().ino();
        tree.apply(Change::Died { id });
        assert_eq!((tree.dead(), tree.path(id | 1 << 63).map(AsRef::as_ref)), (&[id][..], Some("/a")));
        assert!(tree.paths_alive().contains(&Arc::from("/a")), "the other one is");
    }

    #[test]
    fn a_part_of_the_hierarchy_has_the_hierarchy_s_paths() {
        let (_, dir) = tree();
        fs::create_dir(dir.path().join("x")).unwrap();
        let mut tree = tree_at(dir.path(), "/kubepods");
        tree.walk();
        let paths: Vec<_> = tree.cgroups.values().map(|cgroup| cgroup.path.to_string()).collect();
        assert!(paths.contains(&"/kubepods".to_owned()) && paths.contains(&"/kubepods/x".to_owned()), "{paths:?}");
    }

    #[test]
    fn a_dead_cgroup_keeps_its_name_until_it_is_forgotten() {
        let (mut tree, _dir) = tree();
        tree.apply(Change::Born { id: 7, parent: None, path: b"/a" });
        assert!(tree.dead().is_empty() && tree.paths_alive().contains(&Arc::from("/a")));
        tree.apply(Change::Died { id: 7 });
        tree.apply(Change::Died { id: 7 });
        assert_eq!((tree.dead(), tree.path(7).map(AsRef::as_ref)), (&[7][..], Some("/a")));
        assert!(!tree.paths_alive().contains(&Arc::from("/a")));
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
    fn a_cgroup_that_two_complete_walks_miss_is_buried() {
        let (mut tree, dir) = tree();
        fs::create_dir(dir.path().join("stays")).unwrap();
        fs::create_dir(dir.path().join("goes")).unwrap();
        tree.walk();
        let id = dir.path().join("goes").metadata().unwrap().ino();
        fs::remove_dir(dir.path().join("goes")).unwrap();
        assert!(tree.walk());
        assert_eq!(tree.dead(), [0; 0], "it may only not be visible yet");
        assert!(tree.walk());
        assert_eq!(tree.dead(), [id]);
    }

    #[test]
    fn a_walk_that_does_not_see_everything_buries_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut partial = tree_at(dir.path(), "/");
        partial.apply(Change::Born { id: 5, parent: Some(4), path: b"/elsewhere" });
        assert!(!partial.walk() && !partial.walk());
        assert_eq!(partial.dead(), [0; 0]);

        let (mut unreadable, dir) = tree();
        unreadable.apply(Change::Born { id: 5, parent: None, path: b"/a/b" });
        drop(dir);
        assert!(!unreadable.walk() && !unreadable.walk(), "the root itself cannot be read");
        assert_eq!(unreadable.dead(), [0; 0]);
    }

    #[test]
    fn a_cgroup_whose_path_is_too_long_has_the_name_of_the_one_above() {
        let (mut tree, _dir) = tree();
        let path = format!("/a/{}/{}/{}", "b".repeat(250), "c".repeat(250), "d".repeat(600));
        let above = &path[..path.rfind('/').unwrap()];
        tree.apply(Change::Born { id: 5, parent: None, path: &path.as_bytes()[..1023] });
        assert_eq!(tree.path(5).map(AsRef::as_ref), Some(above));
        assert_eq!(tree.take_named(), [0; 0], "its own is not known");
        tree.add(6, &path);
        assert_eq!(tree.path(6), tree.path(5), "a walk says the same");
    }

    #[test]
    fn in_a_part_of_the_hierarchy_new_cgroups_are_named_after_the_ones_that_they_are_in() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("kubepods")).unwrap();
        let mut tree = tree_at(dir.path(), "/");
        tree.walk();
        let kubepods = dir.path().join("kubepods").metadata().unwrap().ino();
        // The event's path is from a root that nobody here sees.
        let born = |id, parent, path| Change::Born { id, parent: Some(parent), path };
        tree.apply(born(1 << 40, kubepods, b"/docker/0123/kubepods/pod"));
        tree.apply(born(2 << 40, 1 << 40, b"/docker/0123/kubepods/pod/container"));
        assert_eq!(tree.path(2 << 40).map(AsRef::as_ref), Some("/kubepods/pod/container"));
        tree.apply(born(3 << 40, 7 << 40, b"/system.slice/other"));
        assert_eq!((tree.path(3 << 40), tree.knows(3 << 40)), (None, true), "it is outside of the mount");
        tree.apply(Change::Born { id: 4 << 40, parent: None, path: b"/docker/0123/late" });
        assert!(!tree.knows(4 << 40), "a walk has to find it");
    }

    #[test]
    fn the_room_for_cgroups_is_given_back_when_they_go() {
        let (mut tree, _dir) = tree();
        for id in 1..=20_000 {
            tree.apply(Change::Born { id, parent: None, path: format!("/storm/{id}").as_bytes() });
        }
        (1..=20_000).for_each(|id| tree.apply(Change::Died { id }));
        tree.take_named();
        tree.forget(&(1..=20_000).collect::<Vec<u64>>());
        assert!(tree.cgroups.capacity() <= LEAST_ROOM && tree.dead.capacity() <= LEAST_ROOM);
    }

    #[test]
    fn a_name_that_comes_late_is_taken_and_then_kept() {
        let (mut tree, _dir) = tree();
        tree.add_unnamed(5);
        assert_eq!(tree.path(5), None);
        for path in [b"/a", b"/b"] {
            tree.apply(Change::Born { id: 5, parent: None, path });
            assert_eq!(tree.path(5).map(AsRef::as_ref), Some("/a"));
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let (mut tree, _dir) = tree();
        tree.apply(Change::Born { id: 5, parent: None, path: b"/a\xff\n\"" });
        assert_eq!(tree.path(5).map(AsRef::as_ref), Some("/a\u{fffd}\n\""));
    }
}
