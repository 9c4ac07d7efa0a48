//! `cargo xtask runtime-bases`: the calls of container runtimes between loading the filter and the program's start.

pub use syscallmon_e2e::runtime_bases::{Args, run};
