//! What is generated and committed: documents, manifests, dashboards, their pictures, tables of system calls.

pub mod dashboards;
pub mod docs;
pub mod manifests;
pub mod pictures;
pub mod syscalls;
