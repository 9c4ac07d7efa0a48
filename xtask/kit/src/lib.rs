//! Shared code of syscallmon's tests and benchmarks: a daemon under test, cgroups that are removed, children that end,
//! expositions, waiting.
//!
//! Tests on the real kernel (`syscallmon/tests/kernel`, in VMs too), `cargo xtask e2e` and `cargo xtask bench` use it.
//! It does not use syscallmon itself.

pub mod alertmanager;
pub mod cgroup;
mod child;
mod daemon;
mod exposition;
mod free_address;
pub mod interrupt;
pub mod usage;
mod wait;

pub use self::{
    cgroup::Cgroup,
    child::Guarded,
    daemon::Daemon,
    exposition::Exposition,
    free_address::free_address,
    wait::{try_wait_for, wait_for},
};
