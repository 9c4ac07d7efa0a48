//! Cgroups in the file system and in the kernel's events: paths, ids, births and deaths.
//!
//! This module does not know counts. `workload` interprets the paths.

mod hierarchy;
mod mount;
mod tree;

pub use self::{
    hierarchy::{ChoiceError, Hierarchies, HierarchyChoice, HierarchyError, HierarchySet, V1},
    mount::{Mount, MountKind},
    tree::{Tree, TreeChange},
};
