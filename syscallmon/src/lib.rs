//! syscallmon: which system calls every container, pod and service makes.
//!
//! Data flows one way: [`kernel`] -> [`snapshot`] -> [`cgroup`] (paths of cgroups) -> [`workload`] -> [`model`] (totals
//! that never fall) -> [`view`] (published state) -> [`serve`]. `ARCHITECTURE.md` explains why. [`command`] connects
//! the modules.

pub mod alert;
pub mod blocking;
pub mod cgroup;
pub mod client;
pub mod clock;
pub mod command;
pub mod detect;
pub mod engine;
mod error_report;
pub mod fair_share;
pub mod files;
pub mod kernel;
pub mod logging;
pub mod memory;
pub mod model;
pub mod privileges;
pub mod process;
pub mod profile;
pub mod recording;
mod retry;
pub mod rfc3339;
pub mod scheduling;
pub mod seccomp;
pub mod serve;
pub mod settings;
pub mod snapshot;
pub mod stable_id;
pub mod store;
pub mod syscalls;
pub mod view;
pub mod workload;
