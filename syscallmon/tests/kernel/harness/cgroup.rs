//! Cgroups for tests, in the real cgroup2 hierarchy.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use syscallmon::cgroup::{Hierarchies, HierarchyChoice, HierarchySet};
use walkdir::WalkDir;

/// The hierarchies in which the tests make their cgroups: cgroup2, or a v1 hierarchy on a host without it.
static HIERARCHIES: LazyLock<Hierarchies> = LazyLock::new(|| {
    let find = |choice| Hierarchies::find(Path::new("/proc"), None, choice);
    find(HierarchyChoice::Exactly(HierarchySet::Cgroup2))
        .or_else(|_| find(HierarchyChoice::Auto))
        .expect("tests need a cgroup mount")
});

/// A test's own cgroup. Dropping it removes it and everything below.
pub(crate) struct TestCgroup {
    mount: PathBuf,
    path: PathBuf,
}

impl TestCgroup {
    /// Makes one directly below the root, with a unique name.
    pub(crate) fn new(name: &str) -> Self {
        let (mount, _) = HIERARCHIES.mounts().next().expect("one at least");
        Self::new_at(&mount.path, name)
    }

    /// The same in another hierarchy.
    pub(crate) fn new_at(mount: &Path, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("syscallmon-test-{}-{}-{name}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = mount.join(unique);
        fs::create_dir(&path).expect("tests need to make cgroups: run them as root");
        Self { mount: mount.to_owned(), path }
    }

    /// Makes a cgroup below this one.
    pub(crate) fn child(&self, name: &str) -> PathBuf {
        let child = self.path.join(name);
        fs::create_dir(&child).expect("make a cgroup");
        child
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its path in the hierarchy: the value of the label `cgroup`.
    pub(crate) fn label(&self) -> String {
        self.label_of(&self.path)
    }

    /// Returns the label of a directory below it.
    pub(crate) fn label_of(&self, path: &Path) -> String {
        format!("/{}", path.strip_prefix(&self.mount).expect("below the mount").display())
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        let directories = WalkDir::new(&self.path).contents_first(true).into_iter().filter_map(Result::ok);
        for directory in directories.filter(|entry| entry.file_type().is_dir()) {
            for _ in 0..200 {
                // Removes what a failed test left inside.
                let _ = fs::write(directory.path().join("cgroup.kill"), "1");
                if fs::remove_dir(directory.path()).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}
