//! `cargo xtask manifests`: what is in `deploy/`.

pub use syscallmon_generate::manifests::{Args, check, run};
