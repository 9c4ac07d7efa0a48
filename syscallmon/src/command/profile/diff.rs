//! `syscallmon profile diff`: what two profiles decide differently.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use super::{FOUND, ReportFormat, files};
use crate::{
    command::output::print,
    profile::{Change, Comparison},
};

/// Show the calls about which two seccomp profiles decide differently.
///
/// Compares decisions, not texts. Exit status: 0 if there are no differences, 1 if there are, 2 if they could not be
/// compared.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// First profile.
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// Second profile.
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    /// Form of the report.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,
}

impl Diff {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let [before, after] = [&self.before, &self.after].map(|path| files::read_profile(path));
        let comparison = Comparison::new(&before?.profile, &after?.profile);
        match self.output {
            ReportFormat::Text => print(text(&comparison).as_bytes())?,
            ReportFormat::Json => print((serde_json::to_string_pretty(&comparison)? + "\n").as_bytes())?,
        }
        Ok(if comparison.changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
    }
}

fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for Change { abi, syscall, before, after, danger } in &comparison.changes {
        let danger = danger.map_or_else(String::new, |danger| format!("; {danger}"));
        let _ = writeln!(text, "{abi}/{syscall}: {before} -> {after}{danger}");
    }
    text
}
