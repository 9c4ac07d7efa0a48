//! Finds processes of the command that left its cgroup: another process moved them, or they moved themselves.
//!
//! Nothing in the kernel keeps root from moving a process. The command's own process is checked at its end, other
//! processes each second, so a process that leaves and ends within a second is not found.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use super::cgroup::{CommandCgroup, cgroup2_path};

/// Maximum number of processes that are remembered.
const MAX_KNOWN: usize = 65_536;

/// The processes that were in the cgroup, and those that left.
pub(super) struct LeftProcesses {
    procfs: PathBuf,
    /// The part of each path in cgroup2 that only processes of the command have.
    cgroup: String,
    /// Process ids that were seen inside, with their start times.
    known: HashMap<i32, u64>,
    /// Processes that left, with their names.
    left: BTreeMap<(i32, u64), String>,
}

/// What `/proc/PID/stat` has of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    state: char,
    parent: i32,
    start: u64,
}

impl LeftProcesses {
    pub(super) fn new(procfs: &Path, cgroup: &CommandCgroup) -> Self {
        let cgroup = format!("/{}", cgroup.name());
        Self { procfs: procfs.to_owned(), cgroup, known: HashMap::new(), left: BTreeMap::new() }
    }

    /// Checks one process, also if it has just ended and nobody has waited for it yet.
    pub(super) fn check_one(&mut self, process: i32) {
        if let Some(stat) = self.stat(process).filter(|_| self.is_outside(process)) {
            self.note(process, stat);
        }
    }

    /// Checks all processes that were inside before, and the children of those that are inside.
    pub(super) fn check(&mut self, inside: &HashSet<i32>) {
        let entries = fs::read_dir(&self.procfs).into_iter().flatten().flatten();
        let processes: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        let mut known = HashMap::new();
        for process in processes {
            let Some(stat) = self.stat(process) else { continue };
            if inside.contains(&process) {
                if known.len() < MAX_KNOWN {
                    known.insert(process, stat.start);
                }
                continue;
            }
            let was_inside = self.known.get(&process) == Some(&stat.start);
            let is_child = inside.contains(&stat.parent);
            // A zombie is in no list of processes.
            if (was_inside || is_child) && !matches!(stat.state, 'Z' | 'X') && self.is_outside(process) {
                self.note(process, stat);
            }
        }
        self.known = known;
    }

    /// Returns how many left. Logs their names.
    pub(super) fn report(self) -> u64 {
        let count = self.left.len();
        if count > 0 {
            let names: HashSet<String> = self.left.into_values().collect();
            let names: Vec<String> = names.into_iter().take(8).collect();
            tracing::warn!(
                "{count} processes left the cgroup of the command ({}): their later calls are missing",
                names.join(", ")
            );
        }
        count as u64
    }

    fn note(&mut self, process: i32, stat: Stat) {
        if self.left.len() < MAX_KNOWN {
            self.left.insert((process, stat.start), stat.name);
        }
    }

    /// Whether a process is in another cgroup. A process that is gone is not.
    fn is_outside(&self, process: i32) -> bool {
        let cgroups = fs::read_to_string(self.procfs.join(format!("{process}/cgroup"))).unwrap_or_default();
        cgroup2_path(&cgroups).is_some_and(|path| !is_below(path, &self.cgroup))
    }

    fn stat(&self, process: i32) -> Option<Stat> {
        let bytes = fs::read(self.procfs.join(format!("{process}/stat"))).ok()?;
        parse_stat(&String::from_utf8_lossy(&bytes))
    }
}

/// Whether a path has a directory: `/a/b` and `/a (deleted)` have `/a`.
fn is_below(path: &str, directory: &str) -> bool {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with('/') || rest.starts_with(' ');
    path.match_indices(directory).any(|(at, _)| ends(&path[at + directory.len()..]))
}

/// Parses `/proc/PID/stat`. The name can have any characters, also parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, rest) = text.rsplit_once(") ")?;
    let name = head.split_once(" (")?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Field 3 is the state, 4 the parent, 22 the start time.
    Some(Stat {
        name,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_have_any_name() {
        let stat = "12 (a) S 1 (b) S 7 12 12 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 1 0 5555 100 200\n";
        let expected = Stat { name: "a) S 1 (b".to_owned(), state: 'S', parent: 7, start: 5555 };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat("12 (a) S"), None);
    }

    #[test]
    fn nested_and_removed_cgroups_are_below_the_command_s_and_others_are_not() {
        for path in ["/r-1", "/a/r-1/b", "/r-1 (deleted)", "/../r-1"] {
            assert!(is_below(path, "/r-1"), "{path}");
        }
        for path in ["/", "/r-12", "/a/r", "/a-r-1"] {
            assert!(!is_below(path, "/r-1"), "{path}");
        }
    }

    #[test]
    fn only_processes_that_were_inside_or_whose_parent_is_have_left() {
        let directory = tempfile::tempdir().unwrap();
        let put = |process: i32, parent: i32, state: char, cgroup: &str| {
            let dir = directory.path().join(process.to_string());
            fs::create_dir_all(&dir).unwrap();
            let zeros = "0 ".repeat(17);
            fs::write(dir.join("stat"), format!("{process} (p{process}) {state} {parent} {zeros}{process}0 0\n"))
                .unwrap();
            fs::write(dir.join("cgroup"), format!("4:cpu:/\n0::{cgroup}\n")).unwrap();
        };
        let mut left = LeftProcesses {
            procfs: directory.path().to_owned(),
            cgroup: "/r-1".to_owned(),
            known: HashMap::new(),
            left: BTreeMap::new(),
        };
        for (process, parent) in [(10, 1), (11, 10), (12, 1)] {
            put(process, parent, 'S', "/r-1");
        }
        put(20, 1, 'S', "/");
        left.check(&[10, 11, 12].into());
        assert!(left.left.is_empty());
        // 11 leaves, 12 becomes a zombie, 10 has a child elsewhere, and another one that was not listed yet.
        put(11, 10, 'S', "/");
        put(12, 1, 'Z', "/");
        put(13, 10, 'S', "/r-12");
        put(14, 10, 'S', "/r-1/nested");
        left.check(&[10].into());
        assert_eq!(left.left.values().collect::<Vec<_>>(), ["p11", "p13"]);
        assert_eq!(left.report(), 2);
    }
}
