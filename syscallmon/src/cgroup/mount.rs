//! Where the cgroup2 hierarchy is mounted, from `/proc/self/mountinfo` (`Documentation/filesystems/proc.rst`).

use std::{
    io::BufReader,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use procfs::{FromBufRead, process::MountInfos};

/// A mount of the cgroup2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The path, in the hierarchy, of what is mounted there: `/`, or something below it in a container.
    pub root: String,
}

/// Why the mount is not known.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// mountinfo cannot be read.
    #[error("cannot read {path}")]
    Mountinfo {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: procfs::ProcError,
    },
    /// No cgroup2 file system is mounted.
    #[error(
        "no cgroup2 file system is mounted{below}: mount one (mount -t cgroup2 none /sys/fs/cgroup), or name it with --path.cgroupfs"
    )]
    None {
        /// ` below <path>` when the user named a place.
        below: String,
    },
}

impl Mount {
    /// Finds the mount: below `cgroupfs` when that is given, else the one that shows most of the hierarchy.
    ///
    /// Covers pure cgroup2 hosts (`/sys/fs/cgroup`) and hybrid ones (`/sys/fs/cgroup/unified`).
    ///
    /// # Errors
    ///
    /// When mountinfo cannot be read, or there is no such mount.
    pub fn find(procfs: &Path, cgroupfs: Option<&Path>) -> Result<Self, MountError> {
        let path = procfs.join("self/mountinfo");
        let unreadable = |source| MountError::Mountinfo { path: path.clone(), source };
        let file = std::fs::File::open(&path).map_err(|error| unreadable(error.into()))?;
        let infos = MountInfos::from_buf_read(BufReader::new(file)).map_err(unreadable)?;
        let mounts = infos.into_iter().filter(|info| info.fs_type == "cgroup2");
        let mounts = mounts.map(|info| Self { path: info.mount_point, root: hierarchy_root(&info.root) });
        let mut mounts: Vec<Self> =
            mounts.filter(|mount| cgroupfs.is_none_or(|place| mount.path.starts_with(place))).collect();
        mounts.sort_by_key(|mount| (!mount.is_whole(), mount.root.len(), mount.path.as_os_str().len()));
        let below = || cgroupfs.map(|place| format!(" below {}", place.display())).unwrap_or_default();
        mounts.into_iter().next().ok_or_else(|| MountError::None { below: below() })
    }
}

impl Mount {
    /// Whether the whole hierarchy is to be seen: its root has the id 1 (`kernfs_create_root`).
    ///
    /// A container with a cgroup namespace of its own sees only a part, which looks like a whole in mountinfo.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.path.metadata().is_ok_and(|metadata| metadata.ino() == 1)
    }
}

/// The root of a mount as a path of the hierarchy. A host's file system that was passed into a container is shown from the
/// container's own cgroup: the way up there (`/../..`) is not part of the path.
fn hierarchy_root(root: &str) -> String {
    let mut below = root;
    while let Some(rest) = below.strip_prefix("/..").filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        below = rest;
    }
    if below.is_empty() { "/".to_owned() } else { below.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A procfs with a mountinfo of these lines.
    fn procfs(lines: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("self")).unwrap();
        std::fs::write(dir.path().join("self/mountinfo"), lines.join("\n") + "\n").unwrap();
        dir
    }

    const PURE: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const HYBRID: &str = "45 31 0:40 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    const V1: &str = "36 31 0:31 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
    const CONTAINER: &str = "50 40 0:26 /../../.. /host/cgroup ro - cgroup2 cgroup rw";

    #[test]
    fn pure_hybrid_and_container_mounts_are_found() {
        let find = |lines: &[&str]| Mount::find(procfs(lines).path(), None).unwrap();
        let mount = |path: &str| Mount { path: path.into(), root: "/".into() };
        assert_eq!(find(&[V1, PURE]), mount("/sys/fs/cgroup"));
        assert_eq!(find(&[V1, HYBRID]), mount("/sys/fs/cgroup/unified"));
        assert_eq!(find(&[CONTAINER]), mount("/host/cgroup"));
    }

    #[test]
    fn the_mount_that_shows_the_whole_hierarchy_wins() {
        let part = "60 40 0:26 /system.slice/a.service /mnt rw - cgroup2 cgroup rw";
        let found = Mount::find(procfs(&[part, HYBRID]).path(), None).unwrap();
        assert_eq!(found.path, Path::new("/sys/fs/cgroup/unified"));
        let only = Mount::find(procfs(&[part]).path(), None).unwrap();
        assert_eq!(only.root, "/system.slice/a.service");
    }

    #[test]
    fn the_way_up_from_a_container_is_no_part_of_the_path() {
        let roots = ["/", "/..", "/../..", "/../../kubepods", "/..a", "/a/.."].map(hierarchy_root);
        assert_eq!(roots, ["/", "/", "/", "/kubepods", "/..a", "/a/.."]);
    }

    #[test]
    fn the_host_s_hierarchy_wins_over_a_namespace_s() {
        let host = Mount::find(Path::new("/proc"), None).unwrap();
        assert!(host.is_whole(), "the tests run where the whole hierarchy is mounted");
        // What a container sees: its own part at a shorter path, the host's whole at a longer one.
        let elsewhere = tempfile::tempdir().unwrap();
        let namespace = format!("60 40 0:26 / {} rw - cgroup2 cgroup rw", elsewhere.path().display());
        let whole = format!("61 40 0:26 /../.. {} rw - cgroup2 cgroup rw", host.path.display());
        let found = Mount::find(procfs(&[&namespace, &whole]).path(), None).unwrap();
        assert_eq!(found.path, host.path);
    }

    #[test]
    fn a_named_place_is_the_only_one_looked_at() {
        let dir = procfs(&[PURE, CONTAINER]);
        let found = Mount::find(dir.path(), Some(Path::new("/host"))).unwrap();
        assert_eq!(found.path, Path::new("/host/cgroup"));
        let error = Mount::find(dir.path(), Some(Path::new("/elsewhere"))).unwrap_err().to_string();
        assert!(error.contains("below /elsewhere") && error.contains("--path.cgroupfs"), "{error}");
    }

    #[test]
    fn no_mount_and_no_procfs_are_errors_with_a_remedy() {
        let error = Mount::find(procfs(&[V1]).path(), None).unwrap_err().to_string();
        assert!(error.contains("mount -t cgroup2"), "{error}");
        assert!(matches!(Mount::find(Path::new("/nonexistent"), None), Err(MountError::Mountinfo { .. })));
    }
}
