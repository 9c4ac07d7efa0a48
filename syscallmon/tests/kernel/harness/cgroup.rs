//! Cgroups for tests, in the real cgroup2 hierarchy.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use syscallmon::cgroup::Mount;
use walkdir::WalkDir;

/// A cgroup of its own for a test; removed, with everything below it, when dropped.
pub(crate) struct TestCgroup {
    mount: Mount,
    path: PathBuf,
}

impl TestCgroup {
    /// Makes one directly below the root, with a name that nobody else has.
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mount = Mount::find(Path::new("/proc"), None).expect("tests need a cgroup2 mount");
        let unique = format!("syscallmon-test-{}-{}-{name}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = mount.path.join(unique);
        fs::create_dir(&path).expect("tests need to make cgroups: run them as root");
        Self { mount, path }
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

    /// The label of a directory below it.
    pub(crate) fn label_of(&self, path: &Path) -> String {
        format!("/{}", path.strip_prefix(&self.mount.path).expect("below the mount").display())
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        let directories = WalkDir::new(&self.path).contents_first(true).into_iter().filter_map(Result::ok);
        for directory in directories.filter(|entry| entry.file_type().is_dir()) {
            for _ in 0..200 {
                // Whatever a failed test left inside goes first.
                let _ = fs::write(directory.path().join("cgroup.kill"), "1");
                if fs::remove_dir(directory.path()).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}
