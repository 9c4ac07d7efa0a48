//! Whose calls they are, as people name it: what becomes of a cgroup in the labels.
//!
//! For now a workload is a cgroup by its path; names of containers and pods come here.

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A workload: what totals belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// A cgroup, by its path in the hierarchy. Two cgroups of one path, one after the other, are one workload.
    Cgroup(Arc<str>),
    /// Cgroups whose path could not be found out, all together.
    Unknown,
    /// Calls that found the kernel's tables full, of whatever cgroup.
    Remainder,
    /// Cgroups that are gone, and were too many to be kept apart until their time was over.
    Gone,
}

/// What stands in labels for things that are not told apart; nothing of the kernel's has brackets in its name.
pub const REMAINDER: &str = "(remainder)";

impl Workload {
    /// The value of the label `cgroup`. Paths start with `/`, so no cgroup can have the names in brackets.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        match self {
            Self::Cgroup(path) => path,
            Self::Unknown => "(unknown)",
            Self::Remainder => REMAINDER,
            Self::Gone => "(gone)",
        }
    }
}

impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.cgroup())
    }
}
