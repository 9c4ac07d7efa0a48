//! Cgroups for tests, in the real cgroup2 hierarchy.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use syscallmon::cgroup::{Hierarchies, HierarchyChoice, HierarchySet};
use syscallmon_testkit::Cgroup;

/// The hierarchies in which the tests make their cgroups: cgroup2, or a v1 hierarchy on a host without it.
static HIERARCHIES: LazyLock<Hierarchies> = LazyLock::new(|| {
    let find = |choice| Hierarchies::find(Path::new("/proc"), None, choice);
    find(HierarchyChoice::Exactly(HierarchySet::Cgroup2))
        .or_else(|_| find(HierarchyChoice::Auto))
        .expect("tests need a cgroup mount")
});

/// Mount point of the hierarchy in which tests make their cgroups.
pub(crate) fn cgroup2() -> PathBuf {
    HIERARCHIES.mounts().next().expect("one at least").0.path.clone()
}

/// A cgroup for one test. Dropping it removes it with everything below it.
pub(crate) struct TestCgroup(Cgroup);

impl TestCgroup {
    /// Makes one directly below the root, with a unique name.
    pub(crate) fn new(name: &str) -> Self {
        let (mount, _) = HIERARCHIES.mounts().next().expect("one at least");
        Self::new_at(&mount.path, name)
    }

    /// Makes one directly below the root of another hierarchy.
    pub(crate) fn new_at(mount: &Path, name: &str) -> Self {
        Self(Cgroup::new(mount, "syscallmon-test", name).expect("tests need to make cgroups: run them as root"))
    }

    /// Makes a cgroup below this one.
    pub(crate) fn child(&self, name: &str) -> PathBuf {
        self.0.child(name).expect("make a cgroup")
    }
}

impl Deref for TestCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.0
    }
}
