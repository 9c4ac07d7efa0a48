//! `cargo xtask docs`: the documents that are generated from the code.

pub use syscallmon_generate::docs::{Args, check, run};
