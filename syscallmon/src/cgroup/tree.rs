//! Existing cgroups: id <-> path, from a walk of cgroupfs and from the kernel's events.
//!
//! A removed cgroup keeps its path here until [`Tree::forget`], after its last counts were read. With a mount of the
//! whole hierarchy, paths start at its root. With a partial mount, as in a container's cgroup namespace, events have
//! paths from a root that walks do not see. Then a new cgroup is named after its parent by id, and cgroups outside of
//! the mount have no name. Nested cgroups have the name of the container or unit around them ([`name`]).

mod name;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use syscallmon_common::V1_CGROUP;

use self::name::Name;
use super::Mount;

/// A change of the tree, without the kernel's details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeChange<'a> {
    /// A cgroup was made. The path has any bytes but NUL, and may be cut.
    Born {
        /// Its id.
        id: u64,
        /// The id of its parent, if known.
        parent: Option<u64>,
        /// Whether its maker may not administer the host. Then it is no container's, whatever its name is.
        unprivileged: bool,
        /// Its path from the root of the hierarchy.
        path: &'a [u8],
    },
    /// A cgroup was removed.
    Died {
        /// Its id.
        id: u64,
    },
}

/// All live cgroups, and dead ones until they are forgotten.
#[derive(Debug)]
pub struct Tree {
    /// Mounts, each with the mark in its cgroups' ids.
    mounts: Vec<(Mount, u64)>,
    cgroups: HashMap<u64, Cgroup>,
    dead: Vec<u64>,
    /// Whether a cgroup that a walk does not see may be gone: only if whole hierarchies are mounted.
    sees_all: bool,
    /// Marks of partially mounted hierarchies.
    partial: Vec<u64>,
    /// Cgroups with new whole paths since the last call.
    named: Vec<u64>,
    /// Cgroups that the last complete walk did not see.
    missed: HashSet<u64>,
}

#[derive(Debug)]
struct Cgroup {
    /// Empty if the path is not known. Without a name of its own, the path of the container or unit around it.
    path: Arc<str>,
    /// Whether the path is its own.
    is_own: bool,
    alive: bool,
}

/// From this length on, the kernel may have cut the path of an event (`TRACE_CGROUP_PATH_LEN` - 1). Longer paths are
/// never names, so labels stay bounded.
const TOO_LONG: usize = 1023;

/// From this many cgroups on, new cgroups of users have the name of the outermost unit.
const CROWDED: usize = 32_768;

/// Room for cgroups that is kept after their end, and the excess from which on it is returned.
const LEAST_ROOM: usize = 256;
const TOO_MUCH_ROOM: usize = 4;

impl Tree {
    /// Returns an empty tree for these mounts, each with the mark in its cgroups' ids. [`Self::walk`] fills it.
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

    /// Returns a tree that only events fill.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self::new(std::iter::empty())
    }

    /// Applies an event of the kernel.
    pub fn apply(&mut self, change: TreeChange<'_>) {
        match change {
            TreeChange::Born { id, parent, unprivileged, path } => {
                let path = String::from_utf8_lossy(path);
                if self.is_partial(id) {
                    self.add_below(id, parent, &path, unprivileged);
                } else {
                    self.add(id, &path, parent, || unprivileged);
                }
            }
            TreeChange::Died { id } => self.bury(id),
        }
    }

    /// Whether the cgroup's hierarchy is mounted partially.
    fn is_partial(&self, id: u64) -> bool {
        self.partial.contains(&(id & V1_CGROUP))
    }

    /// Adds a cgroup of a partially mounted hierarchy. Its path is made from its parent's, and it has none outside of
    /// the mount. If the parent is not known, a walk must find it.
    fn add_below(&mut self, id: u64, parent: Option<u64>, path: &str, unprivileged: bool) {
        let Some(parent) = parent else { return };
        let above = self.path(parent).map_or("", AsRef::as_ref);
        let name = path.rsplit('/').next().unwrap_or_default();
        if above.is_empty() {
            self.add_unnamed(id);
        } else if path.len() < TOO_LONG {
            let path = [above.trim_end_matches('/'), "/", name].concat();
            self.add(id, &path, Some(parent), || unprivileged);
        } else {
            // The name may be cut.
            let above = Arc::from(above);
            self.insert(id, above, false);
        }
    }

    /// Adds a cgroup, or the path of one without a path.
    fn add(&mut self, id: u64, path: &str, parent: Option<u64>, is_unprivileged: impl Fn() -> bool) {
        if self.path(id).is_some() {
            return;
        }
        let above = parent.and_then(|parent| self.path(parent)).cloned();
        if path.len() >= TOO_LONG {
            match above {
                Some(above) => self.insert(id, above, false),
                None if !is_unprivileged() => self.insert(id, whole_part(path).into(), false),
                None => {}
            }
            return;
        }
        let circumstances =
            name::Circumstances { above, is_partial: self.is_partial(id), is_crowded: self.cgroups.len() > CROWDED };
        let path: Arc<str> = path.into();
        match name::of(&path, circumstances, is_unprivileged) {
            Name::Own => {
                self.insert(id, path, true);
                self.named.push(id);
            }
            Name::Of(identity) => self.insert(id, identity, false),
            Name::NotYetKnown => {}
        }
    }

    fn insert(&mut self, id: u64, path: Arc<str>, is_own: bool) {
        let new = Cgroup { path: Arc::default(), is_own: false, alive: true };
        let cgroup = self.cgroups.entry(id).or_insert(new);
        if cgroup.path.is_empty() {
            (cgroup.path, cgroup.is_own) = (path, is_own);
        }
    }

    /// Takes cgroups with new paths since the last call, except for paths that are too long.
    pub fn take_named(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.named)
    }

    /// Returns the id of a live cgroup by its path. Looks at every cgroup.
    #[must_use]
    pub fn id_of(&self, path: &str) -> Option<u64> {
        let mut alive =
            self.cgroups.iter().filter(|(_, cgroup)| cgroup.alive && cgroup.is_own && cgroup.path.as_ref() == path);
        alive.next().map(|(&id, _)| id)
    }

    fn bury(&mut self, id: u64) {
        // The death of a cgroup without a known birth still ends its counts.
        self.insert(id, Arc::default(), false);
        if self.cgroups.get_mut(&id).is_some_and(|cgroup| std::mem::replace(&mut cgroup.alive, false)) {
            self.dead.push(id);
        }
    }

    /// Adds a cgroup that made calls and is in neither events nor walks. It has no path until one of them reports it.
    pub fn add_unnamed(&mut self, id: u64) {
        self.insert(id, Arc::default(), false);
    }

    /// Returns the path of a cgroup, dead or alive; `None` if it is not known.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<&Arc<str>> {
        self.cgroups.get(&id).map(|cgroup| &cgroup.path).filter(|path| !path.is_empty())
    }

    /// Whether every cgroup is visible: not with a partial mount.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.sees_all
    }

    /// Whether the cgroup is known, with or without a path.
    #[must_use]
    pub fn knows(&self, id: u64) -> bool {
        self.cgroups.contains_key(&id)
    }

    /// Returns the paths of all live cgroups.
    #[must_use]
    pub fn paths_alive(&self) -> HashSet<&Arc<str>> {
        self.cgroups.values().filter(|cgroup| cgroup.alive).map(|cgroup| &cgroup.path).collect()
    }

    /// Returns dead cgroups that are not forgotten, in the order of their deaths.
    #[must_use]
    pub fn dead(&self) -> &[u64] {
        &self.dead
    }

    /// Removes these dead cgroups, after their last counts were read.
    pub fn forget(&mut self, dead: &[u64]) {
        for id in dead {
            self.cgroups.remove(id);
        }
        let cgroups = &self.cgroups;
        self.dead.retain(|id| cgroups.contains_key(id));
        // Returns the memory of a storm of cgroups after it.
        if self.cgroups.capacity() > LEAST_ROOM.max(TOO_MUCH_ROOM * self.cgroups.len()) {
            self.cgroups.shrink_to_fit();
        }
        if self.dead.capacity() > LEAST_ROOM.max(TOO_MUCH_ROOM * self.dead.len()) {
            self.dead.shrink_to_fit();
        }
    }
}

/// Returns the longest path of an ancestor that is short enough for a name.
fn whole_part(path: &str) -> &str {
    let end = path.bytes().take(TOO_LONG).rposition(|byte| byte == b'/').unwrap_or(0);
    if end == 0 { "/" } else { &path[..end] }
}
