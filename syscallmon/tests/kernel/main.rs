//! The daemon on the real kernel, with ground truth from a program that makes a known number of calls.
//!
//! Each test requires root, or the privileges that it names, and a cgroup2 mount. It makes its own cgroups and its own
//! daemon, and removes them at the end, also on failure.

mod abi;
mod arguments;
mod blocked;
mod churn;
mod command_recording;
mod container;
mod container_init;
mod delegated;
mod denied;
mod documents;
mod errors;
mod exact;
mod export;
mod failure;
mod fairness;
mod harness;
mod hierarchy;
mod http2;
mod incidents;
mod io_uring;
mod kernels;
mod latency;
mod learning;
mod lifecycle;
mod names;
mod nesting;
mod pinned;
mod policies;
mod policy_command;
mod privileges;
mod profile;
mod prometheus;
mod recording;
mod restarts;
mod top;
mod transient;
mod web;
