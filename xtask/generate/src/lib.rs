//! Generated files that are committed: documents, manifests, dashboards, their pictures, and tables of system calls.

pub mod dashboards;
pub mod docs;
pub mod manifests;
pub mod pictures;
pub mod syscalls;
