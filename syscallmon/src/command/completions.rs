//! `syscallmon completions`: shell completions on stdout.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output::print};

/// Print completions for a shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell to complete for.
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        // It panics if it cannot write.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "syscallmon", &mut text);
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
