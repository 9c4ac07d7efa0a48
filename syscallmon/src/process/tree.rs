//! Where a process stands in the process tree of its container or unit. It groups unexpected calls to incidents.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Ancestor, CommandLines, Process, comm, executable, read};

/// Identifies a process, also after its id was used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Process id, in the daemon's pid namespace.
    pub pid: u32,
    /// Its start in clock ticks since boot, if known.
    pub started: Option<u64>,
}

impl ProcessKey {
    /// Whether both can be the same process. If the start of one was not read, the ids decide.
    #[must_use]
    pub fn matches(self, other: Self) -> bool {
        self.pid == other.pid && (self.started == other.started || self.started.is_none() || other.started.is_none())
    }
}

/// The part of a process's ancestry that is inside its container or unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTree {
    /// Start of the process in clock ticks since boot, if it still existed.
    pub started: Option<u64>,
    /// Its ancestors inside, the nearest first, without the container's init.
    pub ancestors: Vec<ProcessKey>,
    /// Whether the cgroup of its parent was read, so it is known whether the parent is inside.
    pub knows_parent: bool,
    /// The root of the tree, which is the last of these ancestors. Without ancestors, the process itself is the root.
    pub root: Option<Box<Process>>,
}

/// What `/proc/PID/status` says.
struct Status {
    uid: u32,
    /// Whether it is the first process of its pid namespace.
    is_init: bool,
}

/// Reads the tree of a process whose parents are known. `container` is the name of the cgroup of its container or unit;
/// if that is empty, the process is the root.
pub(super) fn tree(process: &Process, procfs: &Path, command_lines: CommandLines, container: &str) -> ProcessTree {
    let own = procfs.join(process.pid.to_string());
    let is_there = comm(&own.join("task").join(process.tid.to_string())).as_ref() == Some(&process.comm);
    let started = started(&own).filter(|_| is_there);
    let (mut ancestors, mut statuses) = (Vec::new(), Vec::new());
    for parent in &process.parents {
        let directory = procfs.join(parent.pid.to_string());
        if container.is_empty() || !is_inside(&directory, container) {
            break;
        }
        let Some(status) = status(&directory) else { break };
        ancestors.push(ProcessKey { pid: parent.pid, started: self::started(&directory) });
        statuses.push(status);
    }
    // Only the topmost one can be the container's init: others may have a pid namespace of their own.
    if statuses.last().is_some_and(|status| status.is_init) {
        ancestors.pop();
        statuses.pop();
    }
    let root = ancestors.len().checked_sub(1).zip(statuses.last()).map(|(index, status)| {
        let Ancestor { pid, comm, exe } = process.parents[index].clone();
        let directory = procfs.join(pid.to_string());
        let command_line = command_lines.parse(&read(directory.join("cmdline")).unwrap_or_default());
        Box::new(Process {
            pid,
            tid: pid,
            uid: status.uid,
            comm,
            exe: exe.or_else(|| executable(&directory)),
            command_line,
            parents: process.parents[index + 1..].to_vec(),
            tree: ProcessTree { started: ancestors[index].started, ..ProcessTree::default() },
        })
    });
    let has_cgroup = |parent: &Ancestor| read(procfs.join(parent.pid.to_string()).join("cgroup")).is_some();
    let knows_parent = !container.is_empty() && process.parents.first().is_some_and(has_cgroup);
    ProcessTree { started, ancestors, knows_parent, root }
}

/// Whether a process is in the cgroup of this name, or below. The name of a group of transient units has a `*`.
///
/// The name is compared, not the path: within a cgroup namespace, the path begins elsewhere.
fn is_inside(directory: &Path, container: &str) -> bool {
    let Some(cgroups) = read(directory.join("cgroup")) else { return false };
    let (begin, end) = container.split_once('*').unwrap_or((container, ""));
    let is_in_group = |name: &str| name.len() >= container.len() && name.starts_with(begin) && name.ends_with(end);
    let is_group = container.contains('*');
    let is_it = |name: &str| if is_group { is_in_group(name) } else { name == container };
    String::from_utf8_lossy(&cgroups).lines().any(|line| line.split('/').skip(1).any(is_it))
}

fn status(directory: &Path) -> Option<Status> {
    let status = read(directory.join("status"))?;
    let status = String::from_utf8_lossy(&status);
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
    Some(Status {
        uid: field("Uid:")?.split_whitespace().next()?.parse().ok()?,
        is_init: field("NSpid:").is_some_and(|pids| pids.split_whitespace().last() == Some("1")),
    })
}

/// The start is the 22nd field. The second one is the name in parentheses, which may contain spaces and parentheses.
fn started(directory: &Path) -> Option<u64> {
    let stat = read(directory.join("stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CONTAINER: &str = "cri-containerd-abc.scope";

    /// A process: pid, its parent, its name, its cgroup, and its pids in its pid namespaces.
    fn make(procfs: &Path, (pid, parent): (u32, u32), comm: &str, cgroup: &str, pids: &str) {
        let directory = procfs.join(pid.to_string());
        let task = directory.join("task").join(pid.to_string());
        fs::create_dir_all(&task).unwrap();
        for place in [&directory, &task] {
            fs::write(place.join("comm"), format!("{comm}\n")).unwrap();
        }
        fs::write(directory.join("cmdline"), format!("/bin/{comm}\0")).unwrap();
        fs::write(directory.join("cgroup"), format!("1:name=x:/other\n0::{cgroup}\n")).unwrap();
        let status = format!("Name:\t{comm}\nPPid:\t{parent}\nUid:\t33\t0\t0\t0\nNSpid:\t{pids}\n");
        fs::write(directory.join("status"), status).unwrap();
        let zeros = "0 ".repeat(17);
        fs::write(directory.join("stat"), format!("{pid} (a) b)) S {parent} {zeros}{} 9 9\n", 1000 + pid)).unwrap();
    }

    /// A node with containerd-shim (10), and in its container init (20), and nginx below it (30).
    fn node() -> tempfile::TempDir {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), (1, 0), "systemd", "/init.scope", "1");
        make(procfs.path(), (10, 1), "containerd-shim", "/system.slice/containerd.service", "10");
        let inside = format!("/kubepods/podx/{CONTAINER}");
        make(procfs.path(), (20, 10), "nginx", &inside, "20\t1");
        make(procfs.path(), (30, 20), "nginx", &inside, "30\t7");
        procfs
    }

    fn looked_up(procfs: &Path, (pid, comm): (u32, &str), parent: (u32, &str), container: &str) -> Process {
        let mut process = Process {
            pid,
            tid: pid,
            uid: 0,
            comm: comm.to_owned(),
            exe: None,
            command_line: None,
            parents: vec![Ancestor { pid: parent.0, comm: parent.1.to_owned(), exe: None }],
            tree: ProcessTree::default(),
        };
        super::super::complete(&mut process, procfs, CommandLines::Full, container);
        process
    }

    fn pids(process: &Process) -> Vec<u32> {
        process.tree.ancestors.iter().map(|ancestor| ancestor.pid).collect()
    }

    #[test]
    fn the_root_of_a_shell_of_a_worker_is_the_worker_and_not_init() {
        let procfs = node();
        let nested = format!("/../../podx/{CONTAINER}/nested/deep");
        make(procfs.path(), (40, 30), "sh", &nested, "40\t8");
        make(procfs.path(), (41, 40), "mount", &nested, "41\t9");
        let process = looked_up(procfs.path(), (41, "mount"), (40, "sh"), CONTAINER);
        assert_eq!(pids(&process), [40, 30]);
        assert_eq!(process.tree.started, Some(1041));
        let root = process.tree.root.unwrap();
        assert_eq!((root.pid, root.uid, root.comm.as_str()), (30, 33, "nginx"));
        assert_eq!((root.parents[0].pid, root.tree.started), (20, Some(1030)));
        assert_eq!(root.command_line, Some(vec!["/bin/nginx".to_owned()]));
    }

    #[test]
    fn a_shell_that_was_started_from_outside_is_a_root_also_after_its_command_has_ended() {
        let procfs = node();
        make(procfs.path(), (50, 10), "sh", &format!("/kubepods/podx/{CONTAINER}"), "50\t12");
        let process = looked_up(procfs.path(), (51, "mount"), (50, "sh"), CONTAINER);
        assert_eq!((pids(&process), process.tree.started), (vec![50], None));
        assert_eq!(process.tree.root.unwrap().parents[0].comm, "containerd-shim");
        let shell = looked_up(procfs.path(), (50, "sh"), (10, "containerd-shim"), CONTAINER);
        assert_eq!((pids(&shell), shell.tree.root), (vec![], None), "it is the root");
        let gone = looked_up(procfs.path(), (52, "id"), (10, "containerd-shim"), CONTAINER);
        assert_eq!((pids(&gone), gone.tree.started, gone.tree.knows_parent), (vec![], None, true));
        let all_gone = looked_up(procfs.path(), (52, "id"), (53, "sh"), CONTAINER);
        assert!(!all_gone.tree.knows_parent);
    }

    #[test]
    fn init_is_a_tree_of_its_own_and_one_of_a_nested_namespace_does_not_split_a_tree() {
        let procfs = node();
        let init = looked_up(procfs.path(), (20, "nginx"), (10, "containerd-shim"), CONTAINER);
        assert_eq!((pids(&init), init.tree.root), (vec![], None));
        let inside = format!("/kubepods/podx/{CONTAINER}");
        make(procfs.path(), (60, 30), "unshare", &inside, "60\t14");
        make(procfs.path(), (61, 60), "sh", &inside, "61\t15\t1");
        make(procfs.path(), (62, 61), "mount", &inside, "62\t16\t2");
        let process = looked_up(procfs.path(), (62, "mount"), (61, "sh"), CONTAINER);
        assert_eq!(pids(&process), [61, 60, 30]);
    }

    #[test]
    fn transient_units_of_a_group_are_recognized_and_nothing_is_inside_of_no_cgroup() {
        let procfs = node();
        make(procfs.path(), (70, 1), "sshd", "/user.slice/user-0.slice/session-3.scope", "70");
        make(procfs.path(), (71, 70), "bash", "/user.slice/user-0.slice/session-3.scope", "71");
        let ancestors = |container| pids(&looked_up(procfs.path(), (71, "bash"), (70, "sshd"), container));
        assert_eq!(ancestors("session-*.scope"), [70]);
        assert_eq!(ancestors("session-*.service"), [0; 0]);
        assert_eq!(ancestors(""), [0; 0]);
    }

    #[test]
    fn an_id_that_was_used_again_is_another_process() {
        let key = |started| ProcessKey { pid: 7, started };
        assert!(key(Some(1)).matches(key(Some(1))) && key(Some(1)).matches(key(None)));
        assert!(!key(Some(1)).matches(key(Some(2))));
    }
}
