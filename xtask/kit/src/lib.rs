//! Shared code of syscallmon's tests and benchmarks: a daemon under test, real servers (Prometheus, Alertmanager,
//! dockerd), a receiver of webhooks, cgroups that are removed, children that end, expositions, waiting.
//!
//! Tests on the real kernel (`syscallmon/tests/kernel`, in VMs too), `cargo xtask e2e` and `cargo xtask bench` use it.
//! It does not use syscallmon itself.

mod alertmanager;
mod calls;
pub mod cgroup;
mod child;
mod daemon;
pub mod docker;
mod exposition;
mod free_address;
mod http_receiver;
pub mod interrupt;
mod network;
mod process;
pub mod prometheus;
mod server;
pub mod usage;
mod wait;

pub use self::{
    alertmanager::{Alert, Alertmanager},
    calls::HARMLESS_CALLS,
    cgroup::Cgroup,
    child::Guarded,
    daemon::Daemon,
    exposition::Exposition,
    free_address::free_address,
    http_receiver::HttpReceiver,
    network::Network,
    process::Process,
    prometheus::Prometheus,
    server::Site,
    wait::{try_wait_for, wait_for},
};
