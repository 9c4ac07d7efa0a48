//! syscallmon: which system calls every container, pod and service makes.
//!
//! Data flows one way: [`kernel`] -> [`snapshot`] -> [`cgroup`] (names of cgroups) -> [`workload`] -> [`model`]
//! (totals that never fall) -> [`view`] (what is published) -> [`export`]. `ARCHITECTURE.md` says why; [`command`] wires it.

pub mod alert;
pub mod attribution;
pub mod blocking;
pub mod cgroup;
pub mod clock;
pub mod command;
pub mod detector;
pub mod durations;
pub mod export;
pub mod fair_share;
pub mod files;
pub mod first_calls;
pub mod kernel;
pub mod logging;
pub mod losses;
pub mod memory;
pub mod model;
pub mod policy;
pub mod policy_watch;
pub mod privileges;
pub mod process;
pub mod recording;
pub mod requests;
pub mod resolver;
pub mod rfc3339;
pub mod sampler;
pub(crate) mod scheduling;
pub mod series;
pub mod settings;
pub mod snapshot;
pub mod store;
pub mod syscalls;
pub mod tally;
pub mod tls;
pub mod view;
pub mod workload;
