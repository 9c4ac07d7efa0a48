//! The verbs of `cargo xtask`, one module each, and what they share.
//!
//! Every verb takes the workspace's root, and is callable from tests and from other verbs.

pub mod bench;
pub mod ci;
pub mod dist;
pub mod docs;
pub mod e2e;
pub mod ebpf;
pub mod fuzz;
pub mod image;
pub mod manifests;
pub mod pictures;
pub mod run;
pub mod setup;
pub mod syscalls;
pub mod test;
pub mod vm;

pub mod arch;
pub mod cross;
pub mod record;
pub mod shell;
pub mod toolchain;
pub mod workspace;

mod apt;
mod clients;
mod dashboards;
mod generated;
mod interrupt;
mod load;
mod marked;
mod parallel;
mod pypi;
mod reproducible;
