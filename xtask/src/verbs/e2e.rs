//! `cargo xtask e2e`: real environments that run containers, on this machine, and the daemon in them.

pub use syscallmon_e2e::{Args, ci, run};
