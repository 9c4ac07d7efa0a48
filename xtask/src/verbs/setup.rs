//! `cargo xtask setup`: installs what is missing, and says why it is needed.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use xtask_support::setup::{Purpose, ensure_all};

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub struct Args {
    /// What the machine shall be fit for; everything, unless given
    #[arg(long = "for", value_name = "PURPOSE")]
    purposes: Vec<Purpose>,
}

/// Runs the verb.
///
/// # Errors
///
/// If something is missing and cannot be installed. The message names it and says what to do.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    ensure_all(root, if args.purposes.is_empty() { Purpose::value_variants() } else { &args.purposes })
}
