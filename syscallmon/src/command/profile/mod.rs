//! `syscallmon profile`: seccomp profiles from what workloads call, and profiles against what workloads call.

mod check;
mod diff;
mod explain;
mod files;
mod gather;
mod generate;
mod own;
mod runtime;
mod sources;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

pub use self::own::PROFILE;
pub(super) use self::{
    generate::ProfileArgs,
    own::OwnProfile,
    sources::{
        WorkloadFlag, baseline,
        prometheus::{ObservedWorkload, PrometheusSource},
    },
};

#[cfg(test)]
pub(super) use self::sources::prometheus::ObservedCall;

/// Exit status of a command that found something.
pub(super) const FOUND: u8 = 1;
/// Exit status of a command that could not look, as of grep and diff.
pub(super) const TROUBLE: u8 = 2;

/// Generate seccomp profiles from what workloads call, and check, compare and explain profiles.
///
/// Sources are recordings of `syscallmon record -- COMMAND`, a running daemon, learned baselines, and a Prometheus that
/// scrapes daemons.
#[derive(Debug, Args)]
pub(super) struct Profile {
    #[command(subcommand)]
    action: ProfileAction,
}

#[derive(Debug, Subcommand)]
enum ProfileAction {
    Generate(generate::Generate),
    Check(check::Check),
    Diff(diff::Diff),
    Explain(explain::Explain),
    #[command(name = "self")]
    Own(OwnProfile),
}

/// Form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Text for people.
    #[default]
    Text,
    /// JSON.
    Json,
}

impl Profile {
    pub(super) fn execute(self) -> Result<ExitCode> {
        match self.action {
            ProfileAction::Generate(generate) => generate.execute(),
            ProfileAction::Check(check) => or_trouble(check.execute()),
            ProfileAction::Diff(diff) => or_trouble(diff.execute()),
            ProfileAction::Explain(explain) => explain.execute(),
            ProfileAction::Own(own) => own.execute(),
        }
    }
}

/// Makes an error an exit status of its own, so that scripts can tell it from findings.
pub(super) fn or_trouble(outcome: Result<ExitCode>) -> Result<ExitCode> {
    outcome.or_else(|error| {
        note(&format!("syscallmon: {error:#}"));
        Ok(ExitCode::from(TROUBLE))
    })
}

/// Writes a line for people to stderr. Nobody may be there to read it.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Returns a number with its noun: `1 call`, `2 calls`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
