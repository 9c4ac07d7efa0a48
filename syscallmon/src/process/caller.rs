//! The process that made a call, and its ancestors.

use serde::{Deserialize, Serialize};

use super::ProcessTree;

/// The process that made a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id, in the daemon's pid namespace.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// The thread's name.
    pub comm: String,
    /// The executable's path within its file system, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The command line, if the process still existed. Cut at 4,096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_line: Option<Vec<String>>,
    /// Its parent, its parent's parent, and so on, as far as known.
    pub parents: Vec<Ancestor>,
    /// Its ancestors in its container or unit.
    #[serde(skip)]
    pub tree: ProcessTree,
}

impl Process {
    /// Returns its approximate memory besides its own size, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let arguments = self.command_line.iter().flatten().map(|argument| size_of::<String>() + argument.len());
        let parents = self.parents.iter().map(|parent| size_of::<Ancestor>() + parent.comm.len() + text(&parent.exe));
        let keys = size_of_val(&self.tree.ancestors[..]);
        let root = self.tree.root.as_ref().map_or(0, |root| size_of::<Self>() + root.bytes());
        self.comm.len() + text(&self.exe) + arguments.sum::<usize>() + parents.sum::<usize>() + keys + root
    }
}

/// An ancestor of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Process id, in the daemon's pid namespace.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Its executable, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
}
