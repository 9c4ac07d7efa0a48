//! `syscallmon unpin`: removes what pinned mode left in the kernel.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::output::print;
use crate::kernel;

/// Detach and remove the programs and tables that a daemon with --pin.directory left.
///
/// Counting ends, and counts that no daemon has read are lost. Refuses while a daemon runs with this directory, and
/// removes nothing that syscallmon did not make.
#[derive(Debug, Args)]
pub(super) struct Unpin {
    /// The directory of the daemon.
    #[arg(long = "pin.directory", value_name = "DIR", default_value = "/sys/fs/bpf/syscallmon")]
    directory: PathBuf,
}

impl Unpin {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let directory = self.directory.display();
        if kernel::unpin(&self.directory)? {
            print(format!("removed {directory} with its programs and tables\n").as_bytes())?;
        } else {
            print(format!("nothing is pinned in {directory}\n").as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
