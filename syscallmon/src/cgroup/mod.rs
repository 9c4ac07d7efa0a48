//! Cgroups as the file system and the kernel's events tell of them: where, which, and whether they live.
//!
//! Knows nothing of counts. `workload` gives the paths their meaning.

mod hierarchy;
mod mount;
mod tree;

pub use self::{
    hierarchy::{ChoiceError, Hierarchies, HierarchyChoice, HierarchyError, HierarchySet, V1},
    mount::{Mount, MountKind},
    tree::{Tree, TreeChange},
};
