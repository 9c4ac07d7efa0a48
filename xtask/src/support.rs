//! What verbs share.

pub(crate) mod apt;
pub mod arch;
pub(crate) mod clients;
pub mod cross;
pub(crate) mod dashboards;
pub(crate) mod generated;
pub mod hash;
pub(crate) mod interrupt;
pub(crate) mod marked;
pub(crate) mod parallel;
pub(crate) mod pypi;
pub(crate) mod reproducible;
pub mod setup;
pub mod shell;
pub mod toolchain;
pub mod workspace;
