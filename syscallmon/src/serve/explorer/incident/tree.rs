//! The process tree of an incident: from the oldest known ancestor to each process that made an unexpected call.

use crate::{
    detect::{Incident, Violation, call_text},
    process::{Ancestor, Process},
    serve::explorer::text::Name,
};

/// A process of the tree.
pub(super) struct TreeLine {
    pub(super) depth: usize,
    pub(super) program: Name,
    pub(super) pid: u32,
    pub(super) uid: Option<u32>,
    pub(super) command_line: Option<Name>,
    /// The unexpected calls that it made.
    pub(super) calls: Vec<String>,
    /// Its executable, if known. A process can replace it.
    exe: Option<String>,
}

/// Returns the processes, each below its parent.
pub(super) fn tree(incident: &Incident) -> Vec<TreeLine> {
    let Some(root) = &incident.process else { return Vec::new() };
    let parents = root.parents.iter().rev().enumerate();
    let mut lines: Vec<TreeLine> = parents.map(|(depth, parent)| TreeLine::of_ancestor(depth, parent)).collect();
    let root_at = lines.len();
    lines.push(TreeLine::of_process(root_at, root));
    for call in &incident.calls {
        if let Some(process) = &call.process {
            add(&mut lines, root_at, call, process);
        }
    }
    lines
}

/// Adds the process of a call, and its ancestors below the root.
fn add(lines: &mut Vec<TreeLine>, root_at: usize, call: &Violation, process: &Process) {
    let (pid, root_pid) = (process.pid, lines[root_at].pid);
    let known = (root_at..lines.len()).find(|&at| lines[at].is(pid, process.exe.as_deref()));
    let at = known.unwrap_or_else(|| {
        let below_root = process.parents.iter().position(|parent| parent.pid == root_pid).unwrap_or_default();
        let mut parent = root_at;
        for ancestor in process.parents[..below_root].iter().rev() {
            parent = child(lines, parent, TreeLine::of_ancestor(0, ancestor));
        }
        child(lines, parent, TreeLine::of_process(0, process))
    });
    if lines[at].calls.is_empty() {
        // Facts about the process itself are better than those about an ancestor.
        lines[at] = TreeLine::of_process(lines[at].depth, process);
    }
    lines[at].calls.push(call_text(call));
}

/// Returns the place of a process below its parent. If it is not there yet, it becomes the last one.
fn child(lines: &mut Vec<TreeLine>, parent: usize, line: TreeLine) -> usize {
    let depth = lines[parent].depth + 1;
    let start = parent + 1;
    let end = start + lines[start..].iter().take_while(|line| line.depth >= depth).count();
    let is_known = |at: &usize| lines[*at].depth == depth && lines[*at].is(line.pid, line.exe.as_deref());
    (start..end).find(is_known).unwrap_or_else(|| {
        lines.insert(end, TreeLine { depth, ..line });
        end
    })
}

impl TreeLine {
    fn of_ancestor(depth: usize, Ancestor { pid, comm, exe }: &Ancestor) -> Self {
        let program = Name::whole(exe.as_ref().unwrap_or(comm));
        Self { depth, program, pid: *pid, uid: None, command_line: None, calls: Vec::new(), exe: exe.clone() }
    }

    fn of_process(depth: usize, process: &Process) -> Self {
        let Process { pid, uid, comm, exe, command_line, .. } = process;
        Self {
            depth,
            program: Name::whole(exe.as_ref().unwrap_or(comm)),
            pid: *pid,
            uid: Some(*uid),
            command_line: command_line.as_ref().map(|arguments| Name::whole(&arguments.join(" "))),
            calls: Vec::new(),
            exe: exe.clone(),
        }
    }

    /// Whether it is this process with this executable.
    fn is(&self, pid: u32, exe: Option<&str>) -> bool {
        self.pid == pid && (self.exe.is_none() || exe.is_none() || self.exe.as_deref() == exe)
    }
}
