//! Selection of cgroup hierarchies: cgroup2, that of a v1 controller, or both.
//!
//! The daemon decides once at its start, by the cgroups of running processes. On hybrid hosts, some runtimes make
//! cgroups in v1 hierarchies only, and all their containers are in the root of cgroup2.

use std::{collections::HashSet, fmt, fs, io::BufReader, path::Path, str::FromStr};

use procfs::{FromBufRead, ProcError, ProcessCGroup, ProcessCGroups};
use serde::Deserialize;
use syscallmon_common::V1_CGROUP;

use super::{Mount, mount::MountKind};

/// Controllers with hierarchies in which container runtimes make cgroups, the most likely first.
const RUNTIMES_USE: [&str; 8] = ["memory", "pids", "devices", "cpu", "cpuacct", "cpuset", "freezer", "blkio"];
/// The other controllers that a v1 hierarchy can have (`include/linux/cgroup_subsys.h`).
const OTHERS: [&str; 6] = ["perf_event", "net_cls", "net_prio", "hugetlb", "rdma", "misc"];

/// The setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum HierarchyChoice {
    /// Use those that distinguish most workloads.
    #[default]
    Auto,
    /// Use these, or fail.
    Exactly(HierarchySet),
}

/// One hierarchy or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HierarchySet {
    /// cgroup2.
    Cgroup2,
    /// A v1 controller's.
    V1(&'static str),
    /// cgroup2; for tasks in its root, that of a v1 controller.
    Both(&'static str),
}

/// A text that does not name hierarchies.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not a cgroup hierarchy: expected auto, cgroup2, a v1 controller such as memory, or cgroup2+CONTROLLER"
)]
pub struct ChoiceError(String);

impl FromStr for HierarchyChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let controller = |name: &str| RUNTIMES_USE.into_iter().chain(OTHERS).find(|&known| known == name);
        let set = match text {
            "auto" => return Ok(Self::Auto),
            "cgroup2" => Some(HierarchySet::Cgroup2),
            other => match other.strip_prefix("cgroup2+") {
                Some(name) => controller(name).map(HierarchySet::Both),
                None => controller(other).map(HierarchySet::V1),
            },
        };
        set.map(Self::Exactly).ok_or_else(|| ChoiceError(text.to_owned()))
    }
}

impl TryFrom<String> for HierarchyChoice {
    type Error = ChoiceError;

    fn try_from(text: String) -> Result<Self, ChoiceError> {
        text.parse()
    }
}

impl fmt::Display for HierarchySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroup2 => formatter.write_str("cgroup2"),
            Self::V1(controller) => formatter.write_str(controller),
            Self::Both(controller) => write!(formatter, "cgroup2+{controller}"),
        }
    }
}

/// Why there is no hierarchy to count by.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// procfs cannot be read.
    #[error("cannot read {procfs}/self/mountinfo or {procfs}/self/cgroup: is procfs mounted there? (--path.procfs)")]
    Procfs {
        /// Its path.
        procfs: String,
        /// The cause.
        #[source]
        source: ProcError,
    },
    /// No hierarchy is mounted, or not the configured one.
    #[error(
        "no {wanted} hierarchy is mounted{below}: mount one (mount -t cgroup2 none /sys/fs/cgroup), or set --path.cgroupfs to another directory"
    )]
    None {
        /// `cgroup2 or v1`, or the configured one.
        wanted: String,
        /// ` below <path>` with a configured path.
        below: String,
    },
}

/// The selected hierarchies, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    cgroup2: Option<Mount>,
    v1: Option<V1>,
}

/// A v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V1 {
    /// The controller.
    pub controller: &'static str,
    /// Its number (`/proc/<pid>/cgroup`).
    pub number: i32,
    /// Its mount.
    pub mount: Mount,
}

impl Hierarchies {
    /// Finds the hierarchies; only below `cgroupfs`, if given.
    ///
    /// # Errors
    ///
    /// When procfs cannot be read, or no suitable hierarchy is mounted.
    pub fn find(procfs: &Path, cgroupfs: Option<&Path>, choice: HierarchyChoice) -> Result<Self, HierarchyError> {
        let unreadable = |source| HierarchyError::Procfs { procfs: procfs.display().to_string(), source };
        let mounted = Mounted::read(procfs, cgroupfs).map_err(unreadable)?;
        let set = match choice {
            HierarchyChoice::Exactly(set) => Some(set),
            HierarchyChoice::Auto => most_distinguishing(&mounted, &processes(procfs)),
        };
        let below = || cgroupfs.map(|place| format!(" below {}", place.display())).unwrap_or_default();
        let wanted = || set.map_or("cgroup2 or v1".to_owned(), |set| set.to_string());
        set.and_then(|set| mounted.take(set)).ok_or_else(|| HierarchyError::None { wanted: wanted(), below: below() })
    }

    /// Returns which they are.
    #[must_use]
    pub fn set(&self) -> HierarchySet {
        match &self.v1 {
            None => HierarchySet::Cgroup2,
            Some(v1) if self.cgroup2.is_none() => HierarchySet::V1(v1.controller),
            Some(v1) => HierarchySet::Both(v1.controller),
        }
    }

    /// Returns the mount of cgroup2, if it is selected.
    #[must_use]
    pub fn cgroup2(&self) -> Option<&Mount> {
        self.cgroup2.as_ref()
    }

    /// Returns the v1 hierarchy, if one is selected.
    #[must_use]
    pub fn v1(&self) -> Option<&V1> {
        self.v1.as_ref()
    }

    /// Returns the mounts, with the mark in the ids of their cgroups.
    pub fn mounts(&self) -> impl Iterator<Item = (&Mount, u64)> {
        let v1 = self.v1.as_ref().map(|v1| (&v1.mount, V1_CGROUP));
        self.cgroup2.as_ref().map(|mount| (mount, 0)).into_iter().chain(v1)
    }

    /// Whether all of them are visible as a whole.
    #[must_use]
    pub fn are_whole(&self) -> bool {
        self.mounts().all(|(mount, _)| mount.is_whole())
    }
}

impl fmt::Display for Hierarchies {
    /// `cgroup2 at /sys/fs/cgroup/unified, memory at /sys/fs/cgroup/memory`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mount) = &self.cgroup2 {
            write!(formatter, "cgroup2 at {}", mount.path.display())?;
        }
        let Some(v1) = &self.v1 else { return Ok(()) };
        let separator = if self.cgroup2.is_some() { ", " } else { "" };
        write!(formatter, "{separator}{} (v1) at {}", v1.controller, v1.mount.path.display())
    }
}

/// Mounted hierarchies.
struct Mounted {
    cgroup2: Option<Mount>,
    v1: Vec<V1>,
}

impl Mounted {
    fn read(procfs: &Path, cgroupfs: Option<&Path>) -> Result<Self, ProcError> {
        let mounts = Mount::all(procfs, cgroupfs)?;
        let own = cgroups_of(&procfs.join("self/cgroup"))?;
        let v1 = |controller| {
            let mount = mounts.iter().find(|mount| mount.has_controller(controller))?;
            let hierarchy = own.iter().find(|cgroup| cgroup.controllers.iter().any(|name| name == controller))?;
            Some(V1 { controller, number: i32::try_from(hierarchy.hierarchy).ok()?, mount: mount.clone() })
        };
        Ok(Self {
            cgroup2: mounts.iter().find(|mount| mount.kind == MountKind::Cgroup2).cloned(),
            v1: RUNTIMES_USE.into_iter().chain(OTHERS).filter_map(v1).collect(),
        })
    }

    fn take(self, set: HierarchySet) -> Option<Hierarchies> {
        let Self { cgroup2, v1 } = self;
        let find = |controller| v1.into_iter().find(|v1| v1.controller == controller);
        Some(match set {
            HierarchySet::Cgroup2 => Hierarchies { cgroup2: Some(cgroup2?), v1: None },
            HierarchySet::V1(controller) => Hierarchies { cgroup2: None, v1: Some(find(controller)?) },
            HierarchySet::Both(controller) => Hierarchies { cgroup2: Some(cgroup2?), v1: Some(find(controller)?) },
        })
    }
}

fn cgroups_of(path: &Path) -> Result<Vec<ProcessCGroup>, ProcError> {
    Ok(ProcessCGroups::from_buf_read(BufReader::new(fs::File::open(path)?))?.0)
}

/// Returns the cgroups of every process.
fn processes(procfs: &Path) -> Vec<Vec<ProcessCGroup>> {
    let entries = fs::read_dir(procfs).into_iter().flatten().flatten();
    let processes = entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    // Processes that ended meanwhile do not count.
    processes.filter_map(|process| cgroups_of(&process.path().join("cgroup")).ok()).collect()
}

/// Returns the mounted set that distinguishes most containers, then most cgroups. Of equal sets, it prefers both,
/// because they cover what starts later; then cgroup2; then the controller that runtimes use most.
fn most_distinguishing(mounted: &Mounted, processes: &[Vec<ProcessCGroup>]) -> Option<HierarchySet> {
    let v1 = mounted.v1.iter().filter(|v1| RUNTIMES_USE.contains(&v1.controller));
    let both = v1.clone().map(|v1| (HierarchySet::Both(v1.controller), v1.number));
    let v1 = v1.map(|v1| (HierarchySet::V1(v1.controller), v1.number));
    let sets = both.chain([(HierarchySet::Cgroup2, 0)]).chain(v1);
    let is_mounted = |set: &HierarchySet| mounted.cgroup2.is_some() || matches!(set, HierarchySet::V1(_));
    // The first of equals, so in reverse order.
    let sets: Vec<_> = sets.filter(|(set, _)| is_mounted(set)).collect();
    let best = sets.into_iter().rev().max_by_key(|&(set, number)| distinguished_groups(set, number, processes));
    best.map(|(set, _)| set)
}

/// Returns the number of containers and of cgroups that the processes are in.
fn distinguished_groups(set: HierarchySet, v1: i32, processes: &[Vec<ProcessCGroup>]) -> (usize, usize) {
    let path_in = |process: &'_ [ProcessCGroup], number: i32| -> Option<String> {
        let cgroup = process.iter().find(|cgroup| i32::try_from(cgroup.hierarchy) == Ok(number))?;
        Some(cgroup.pathname.clone())
    };
    let path = |process: &[ProcessCGroup]| match set {
        HierarchySet::Cgroup2 => path_in(process, 0),
        HierarchySet::V1(_) => path_in(process, v1),
        HierarchySet::Both(_) => path_in(process, 0).filter(|path| path != "/").or_else(|| path_in(process, v1)),
    };
    let cgroups: HashSet<String> = processes.iter().filter_map(|process| path(process)).collect();
    (cgroups.iter().filter(|path| is_container(path)).count(), cgroups.len())
}

/// Whether a path has the id of a container, as every container runtime writes it: 64 hexadecimal digits.
fn is_container(path: &str) -> bool {
    path.split(|c: char| !c.is_ascii_hexdigit()).any(|digits| digits.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CGROUP2: &str = "45 31 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const MEMORY: &str = "46 31 0:41 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
    const CPU: &str = "47 31 0:42 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";
    const NET_CLS: &str = "48 31 0:43 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls";
    const SYSTEMD: &str = "49 31 0:44 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";

    /// Returns a procfs with these mounts, and processes in these cgroups: (cgroup2, memory, cpu).
    fn procfs(mounts: &[&str], processes: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |pid: &str, (cgroup2, memory, cpu): (&str, &str, &str)| {
            fs::create_dir_all(dir.path().join(pid)).unwrap();
            let text =
                format!("9:name=systemd:/x\n5:net_cls:/\n4:memory:{memory}\n3:cpu,cpuacct:{cpu}\n0::{cgroup2}\n");
            fs::write(dir.path().join(pid).join("cgroup"), text).unwrap();
        };
        write("self", ("/", "/", "/"));
        for (pid, &cgroups) in (1..).zip(processes) {
            write(&pid.to_string(), cgroups);
        }
        fs::write(dir.path().join("self/mountinfo"), mounts.join("\n") + "\n").unwrap();
        dir
    }

    fn chosen(mounts: &[&str], processes: &[(&str, &str, &str)]) -> String {
        let dir = procfs(mounts, processes);
        Hierarchies::find(dir.path(), None, HierarchyChoice::Auto).unwrap().set().to_string()
    }

    #[test]
    fn cgroup2_alone_is_counted_by_whatever_odd_v1_hierarchies_there_are() {
        assert_eq!(chosen(&[CGROUP2], &[("/a", "/", "/")]), "cgroup2");
        assert_eq!(chosen(&[CGROUP2, NET_CLS, SYSTEMD], &[("/a", "/", "/")]), "cgroup2");
    }

    #[test]
    fn v1_hosts_are_counted_by_the_controller_that_distinguishes_most() {
        assert_eq!(chosen(&[CPU, MEMORY, SYSTEMD], &[]), "memory");
        assert_eq!(chosen(&[CPU, MEMORY], &[("/", "/a", "/a"), ("/", "/a", "/b")]), "cpu");
    }

    #[test]
    fn hybrid_hosts_are_counted_by_both() {
        // Runtimes that know only v1: their containers are in the root of cgroup2.
        assert_eq!(chosen(&[CGROUP2, MEMORY], &[("/", "/a", "/"), ("/system.slice", "/", "/")]), "cgroup2+memory");
        assert_eq!(chosen(&[CGROUP2, MEMORY, CPU], &[("/", "/", "/a"), ("/", "/", "/b")]), "cgroup2+cpu");
        assert_eq!(chosen(&[CGROUP2, MEMORY], &[]), "cgroup2+memory");
    }

    #[test]
    fn containers_count_more_than_services() {
        let id = |digit: &str| format!("/docker/{}", digit.repeat(64));
        let (a, b) = (id("a"), id("b"));
        // In cgroup2, both are in the runtime's service.
        let service = "/system.slice/docker.service";
        let processes = [
            (service, a.as_str(), "/"),
            (service, b.as_str(), "/"),
            ("/x", "/", "/"),
            ("/y", "/", "/"),
            ("/z", "/", "/"),
        ];
        assert_eq!(chosen(&[CGROUP2, MEMORY], &processes), "memory");
        assert!(is_container(&a) && is_container(&format!("/a/cri-containerd-{}.scope", "0".repeat(64))));
        assert!(!is_container("/process_api/1d3ccab91fae5c14a8c8eac05425dd4b"));
    }

    #[test]
    fn a_choice_is_taken_literally() {
        let find = |mounts: &[&str], choice: &str| {
            let dir = procfs(mounts, &[]);
            Hierarchies::find(dir.path(), None, choice.parse().unwrap()).map(|found| found.to_string())
        };
        assert_eq!(find(&[CGROUP2, CPU], "cpu").unwrap(), "cpu (v1) at /sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(
            find(&[CGROUP2, NET_CLS], "cgroup2+net_cls").unwrap(),
            "cgroup2 at /sys/fs/cgroup/unified, net_cls (v1) at /sys/fs/cgroup/net_cls"
        );
        for (mounts, choice) in [(&[CGROUP2][..], "memory"), (&[MEMORY], "cgroup2"), (&[MEMORY], "cgroup2+memory")] {
            let error = find(mounts, choice).unwrap_err().to_string();
            assert!(error.contains(choice), "{error}");
        }
        assert!(find(&[SYSTEMD], "auto").unwrap_err().to_string().contains("cgroup2 or v1"));
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "v2", "name=systemd", "cgroup2+", "cgroup2+cgroup2", "Memory"] {
            let error = text.parse::<HierarchyChoice>().unwrap_err().to_string();
            assert!(error.contains("expected auto, cgroup2"), "{error}");
        }
    }

    #[test]
    fn a_v1_hierarchy_has_its_number_and_its_ids_their_mark() {
        let dir = procfs(&[CGROUP2, CPU], &[]);
        let choice = "cgroup2+cpuacct".parse().unwrap();
        let found = Hierarchies::find(dir.path(), None, choice).unwrap();
        assert_eq!(found.v1().map(|v1| v1.number), Some(3));
        assert_eq!(found.mounts().map(|(_, mark)| mark).collect::<Vec<_>>(), [0, V1_CGROUP]);
    }
}
