//! Shared code of the verbs of `cargo xtask`: required programs and packages, paths, and builds.

pub mod apt;
pub mod arch;
pub mod busybox;
pub mod cargo_tool;
pub mod clients;
pub mod cross;
pub mod elf;
pub mod generated;
pub mod hash;
pub mod image;
pub mod marked;
pub mod parallel;
pub mod pypi;
pub mod reproducible;
pub mod script_checks;
pub mod setup;
pub mod shell;
pub mod static_build;
pub mod toolchain;
pub mod workspace;
