//! `cargo xtask manifests`: the files in `deploy/`.

pub use syscallmon_generate::manifests::{Args, check, run};
