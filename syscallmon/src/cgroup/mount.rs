//! Mounts of cgroup hierarchies, from `/proc/self/mountinfo` (`Documentation/filesystems/proc.rst`).

use std::{
    io::BufReader,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use procfs::{
    FromBufRead, ProcError,
    process::{MountInfo, MountInfos},
};
use syscallmon_common::ROOT_CGROUP_ID;

/// A mount of a cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Path of the mount point.
    pub path: PathBuf,
    /// Path of the mounted directory in the hierarchy: `/`, or a directory below it in a container.
    pub root: String,
    /// The hierarchy.
    pub kind: MountKind,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// cgroup2.
    Cgroup2,
    /// A cgroup v1 hierarchy.
    V1 {
        /// Mount options, with its controllers.
        options: Vec<String>,
    },
}

impl Mount {
    /// Returns every mount of a cgroup hierarchy; only those below `cgroupfs`, if given. Of two mounts of one
    /// hierarchy, the one that shows more comes first.
    ///
    /// # Errors
    ///
    /// When mountinfo cannot be read.
    pub fn all(procfs: &Path, cgroupfs: Option<&Path>) -> Result<Vec<Self>, ProcError> {
        let file = std::fs::File::open(procfs.join("self/mountinfo"))?;
        let infos = MountInfos::from_buf_read(BufReader::new(file))?;
        let mut mounts: Vec<Self> = infos.into_iter().filter_map(Self::of).collect();
        mounts.retain(|mount| cgroupfs.is_none_or(|place| mount.path.starts_with(place)));
        mounts.sort_by_key(|mount| (!mount.is_whole(), mount.root.len(), mount.path.as_os_str().len()));
        Ok(mounts)
    }

    /// Returns `None` for other file systems.
    fn of(info: MountInfo) -> Option<Self> {
        let kind = match info.fs_type.as_str() {
            "cgroup2" => MountKind::Cgroup2,
            "cgroup" => MountKind::V1 { options: info.super_options.into_keys().collect() },
            _ => return None,
        };
        Some(Self { path: info.mount_point, root: hierarchy_root(&info.root), kind })
    }

    /// Whether it is the v1 hierarchy of this controller.
    #[must_use]
    pub fn has_controller(&self, controller: &str) -> bool {
        matches!(&self.kind, MountKind::V1 { options } if options.iter().any(|option| option == controller))
    }

    /// Whether the whole hierarchy is visible, from its root.
    ///
    /// A container with a cgroup namespace of its own sees only a part, which looks like a whole in mountinfo.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.path.metadata().is_ok_and(|metadata| metadata.ino() == ROOT_CGROUP_ID)
    }
}

/// Returns the root of a mount as a path of the hierarchy. A host's file system in a container is shown from the
/// container's own cgroup: the way up (`/../..`) is not part of the path.
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

    /// Returns a procfs with a mountinfo of these lines.
    fn procfs(lines: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("self")).unwrap();
        std::fs::write(dir.path().join("self/mountinfo"), lines.join("\n") + "\n").unwrap();
        dir
    }

    const PURE: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const HYBRID: &str = "45 31 0:40 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    const V1: &str = "36 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct";
    const CONTAINER: &str = "50 40 0:26 /../../.. /host/cgroup ro - cgroup2 cgroup rw";
    const OTHER: &str = "29 23 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs rw,mode=755";

    #[test]
    fn mounts_of_both_versions_are_found() {
        let mounts = Mount::all(procfs(&[OTHER, V1, HYBRID]).path(), None).unwrap();
        let paths: Vec<&Path> = mounts.iter().map(|mount| mount.path.as_path()).collect();
        assert_eq!(paths, [Path::new("/sys/fs/cgroup/unified"), Path::new("/sys/fs/cgroup/cpu,cpuacct")]);
        assert!(mounts[1].has_controller("cpu") && mounts[1].has_controller("cpuacct"));
        assert!(!mounts[1].has_controller("memory") && !mounts[0].has_controller("cpu"));
        assert_eq!(mounts[0].kind, MountKind::Cgroup2);
    }

    #[test]
    fn the_mount_that_shows_the_whole_hierarchy_wins() {
        let part = "60 40 0:26 /system.slice/a.service /mnt rw - cgroup2 cgroup rw";
        let found = Mount::all(procfs(&[part, HYBRID]).path(), None).unwrap();
        assert_eq!(found[0].path, Path::new("/sys/fs/cgroup/unified"));
        let only = Mount::all(procfs(&[part]).path(), None).unwrap();
        assert_eq!(only[0].root, "/system.slice/a.service");
    }

    #[test]
    fn the_way_up_from_a_container_is_no_part_of_the_path() {
        let roots = ["/", "/..", "/../..", "/../../kubepods", "/..a", "/a/.."].map(hierarchy_root);
        assert_eq!(roots, ["/", "/", "/", "/kubepods", "/..a", "/a/.."]);
        let mounts = Mount::all(procfs(&[CONTAINER]).path(), None).unwrap();
        assert_eq!((mounts[0].path.as_path(), mounts[0].root.as_str()), (Path::new("/host/cgroup"), "/"));
    }

    #[test]
    fn the_host_s_hierarchy_wins_over_a_namespace_s() {
        let host = Mount::all(Path::new("/proc"), None).unwrap().remove(0);
        assert!(host.is_whole(), "the tests run where a whole hierarchy is mounted");
        // The view of a container: its own part at a shorter path, and the host's whole at a longer one.
        let elsewhere = tempfile::tempdir().unwrap();
        let namespace = format!("60 40 0:26 / {} rw - cgroup2 cgroup rw", elsewhere.path().display());
        let whole = format!("61 40 0:26 /../.. {} rw - cgroup2 cgroup rw", host.path.display());
        let found = Mount::all(procfs(&[&namespace, &whole]).path(), None).unwrap();
        assert_eq!(found[0].path, host.path);
    }

    #[test]
    fn a_named_place_is_the_only_one_looked_at() {
        let found = Mount::all(procfs(&[PURE, CONTAINER]).path(), Some(Path::new("/host"))).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, Path::new("/host/cgroup"));
    }
}
