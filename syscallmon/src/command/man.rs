//! `syscallmon man`: the man page of a command on stdout.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::{Cli, output::print};

/// Print the man page of syscallmon or of one of its commands.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Command; by default syscallmon itself.
    command: Option<String>,
}

impl Man {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut cli = Cli::command();
        cli.build();
        let page = match &self.command {
            None => &cli,
            Some(name) => cli.find_subcommand(name).with_context(|| format!("unknown command {name}: see --help"))?,
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page.clone()).render(&mut text)?;
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
