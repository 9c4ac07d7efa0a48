//! Facts about a process from `/proc`: its command line and its ancestors.
//!
//! The daemon reads them right after an unexpected call, when the process may have ended. Facts that are gone are left
//! out, and so are those of another process that reuses the id. [`readers`] does this in threads of its own.

mod caller;
mod command_line;
mod readers;
mod socket_owner;
mod text;
mod tree;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

pub use self::{
    caller::{Ancestor, Process},
    command_line::{CommandLines, shortened},
    readers::{LOOKUP_TIMEOUT, LookupResult, ProcessReaders, Ticket},
    socket_owner::owner_of_socket,
    text::{is_obeyed, printable, printable_name, short_ids},
    tree::{ProcessKey, ProcessTree},
};

use crate::kernel::FirstCallEvent;

/// Bytes that are read of a file: one more than a whole command line has.
const READ_MAX: u64 = command_line::MAX_BYTES as u64 + 1;

/// Maximum bytes of JSON for the parents of a process, and for its executable.
const PARENTS_MAX: usize = 2048;
const EXE_MAX: usize = 512;

/// Maximum ancestors in a violation.
const MAX_ANCESTORS: usize = 16;

/// Facts from the kernel's event about the process of a first call.
#[must_use]
pub fn of_event(call: &FirstCallEvent) -> Process {
    let parent = |(pid, comm): &(u32, String)| Ancestor {
        pid: *pid,
        comm: printable(comm),
        exe: call.parent_exe.as_deref().map(printable),
    };
    Process {
        pid: call.pid,
        tid: call.tid,
        uid: call.uid,
        comm: printable(&call.comm),
        exe: call.exe.as_deref().map(printable),
        command_line: None,
        parents: call.parent.iter().map(parent).collect(),
        tree: ProcessTree::default(),
    }
}

/// Bounds the texts of a process, except for the command line, which is bounded already.
fn bound(process: &mut Process) {
    let exes = process.parents.iter_mut().map(|parent| &mut parent.exe).chain([&mut process.exe]);
    for exe in exes.flatten() {
        *exe = shortened(std::slice::from_ref(exe), EXE_MAX, false).swap_remove(0);
    }
    let is_long = |parents: &[Ancestor]| serde_json::to_string(parents).is_ok_and(|json| json.len() > PARENTS_MAX);
    while is_long(&process.parents) {
        process.parents.pop();
    }
    if let Some(root) = &mut process.tree.root {
        bound(root);
    }
}

/// Adds the facts that procfs still has. `container` is the name of the cgroup of its container or unit, which bounds
/// its process tree.
pub fn complete(process: &mut Process, procfs: &Path, command_lines: CommandLines, container: &str) {
    add(process, procfs, command_lines);
    process.tree = tree::tree(process, procfs, command_lines, container);
    bound(process);
}

fn add(process: &mut Process, procfs: &Path, command_lines: CommandLines) {
    let directory = procfs.join(process.pid.to_string());
    if comm(&directory.join("task").join(process.tid.to_string())).as_ref() == Some(&process.comm) {
        process.command_line = command_lines.parse(&read(directory.join("cmdline")).unwrap_or_default());
        process.exe = process.exe.take().or_else(|| executable(&directory));
    }
    let Some(mut ancestor) = process.parents.pop() else { return };
    while process.parents.len() < MAX_ANCESTORS {
        let directory = procfs.join(ancestor.pid.to_string());
        if comm(&directory).as_ref() != Some(&ancestor.comm) {
            break;
        }
        ancestor.exe = ancestor.exe.take().or_else(|| executable(&directory));
        let parent = parent(&directory).filter(|&pid| pid != 0);
        let next = parent.and_then(|pid| Some(Ancestor { pid, comm: comm(&procfs.join(pid.to_string()))?, exe: None }));
        let Some(next) = next else { break };
        process.parents.push(std::mem::replace(&mut ancestor, next));
    }
    process.parents.push(ancestor);
}

fn read(path: PathBuf) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(READ_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn comm(directory: &Path) -> Option<String> {
    let bytes = read(directory.join("comm"))?;
    Some(printable(&String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes))))
}

/// The kernel shows this only to processes that may trace the process.
fn executable(directory: &Path) -> Option<String> {
    Some(printable(&directory.join("exe").read_link().ok()?.to_string_lossy()))
}

fn parent(directory: &Path) -> Option<u32> {
    let status = read(directory.join("status"))?;
    String::from_utf8_lossy(&status).lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn make(procfs: &Path, pid: u32, comm: &str, parent: u32) {
        let directory = procfs.join(pid.to_string());
        let task = directory.join("task").join(pid.to_string());
        fs::create_dir_all(&task).unwrap();
        for place in [&directory, &task] {
            fs::write(place.join("comm"), format!("{comm}\n")).unwrap();
        }
        fs::write(directory.join("cmdline"), format!("/bin/{comm}\0--all\0\0")).unwrap();
        fs::write(directory.join("status"), format!("Name:\t{comm}\nPPid:\t{parent}\n")).unwrap();
    }

    fn process(comm: &str, parent: Option<(u32, &str)>) -> Process {
        of_event(&FirstCallEvent {
            monotonic: Duration::ZERO,
            cgroup_id: 1,
            abi: syscallmon_common::Abi::Native,
            number: 1,
            class: None,
            pid: 30,
            tid: 30,
            uid: 0,
            denied: false,
            comm: comm.to_owned(),
            parent: parent.map(|(pid, comm)| (pid, comm.to_owned())),
            exe: Some("/bin/ls".to_owned()),
            parent_exe: parent.map(|(_, comm)| format!("/bin/{comm}")),
        })
    }

    fn parents(process: &Process) -> Vec<(u32, &str)> {
        process.parents.iter().map(|parent| (parent.pid, parent.comm.as_str())).collect()
    }

    #[test]
    fn a_process_has_its_command_line_and_its_parents() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 30, "ls", 20);
        make(procfs.path(), 20, "sh", 1);
        make(procfs.path(), 1, "init", 0);
        let mut process = process("ls", Some((20, "sh")));
        complete(&mut process, procfs.path(), CommandLines::Full, "");
        assert_eq!(process.command_line, Some(vec!["/bin/ls".to_owned(), "--all".to_owned()]));
        assert_eq!(parents(&process), [(20, "sh"), (1, "init")]);
        assert_eq!(process.parents[0].exe.as_deref(), Some("/bin/sh"), "the kernel side knows it without privileges");
    }

    #[test]
    fn a_parent_with_control_characters_is_printable_and_hides_no_ancestor() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 20, "s\u{1b}[2Jh", 1);
        make(procfs.path(), 1, "init", 0);
        let mut process = process("ls", Some((20, "s\u{1b}[2Jh")));
        complete(&mut process, procfs.path(), CommandLines::Full, "");
        assert_eq!(parents(&process), [(20, r"s\u{1b}[2Jh"), (1, "init")]);
        assert_eq!(process.parents[0].exe.as_deref(), Some(r"/bin/s\u{1b}[2Jh"));
    }

    #[test]
    fn what_is_gone_or_another_s_is_left_out() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 30, "other", 20);
        make(procfs.path(), 20, "sh", 1);
        let mut process = process("ls", Some((20, "zsh")));
        complete(&mut process, procfs.path(), CommandLines::Full, "");
        assert_eq!((&process.command_line, parents(&process)), (&None, vec![(20, "zsh")]));
        assert_eq!(process.exe.as_deref(), Some("/bin/ls"));
    }

    #[test]
    fn parents_that_go_in_a_circle_end() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 20, "a", 21);
        make(procfs.path(), 21, "b", 20);
        let mut process = process("ls", Some((20, "a")));
        complete(&mut process, procfs.path(), CommandLines::Full, "");
        assert_eq!(process.parents.len(), MAX_ANCESTORS + 1);
    }
}
