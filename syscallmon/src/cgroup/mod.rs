//! Cgroups as the file system and the kernel's events tell of them: where, which, and whether they live.
//!
//! Knows nothing of counts. `workload` gives the paths their meaning.

mod mount;
mod tree;

pub use self::{
    mount::{Mount, MountError},
    tree::{Change, Tree},
};
