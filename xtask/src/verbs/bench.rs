//! `cargo xtask bench`: measures what the daemon costs, against the limits that the design sets.

pub use syscallmon_bench::{Args, run};
