//! `syscallmon check`: can this host run it? One line per requirement, with the remedy.

mod files;
mod host;
mod peers;

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;

use self::Finding::{Failed, Fine, Remark};
use super::{ConfigFile, output, run::resolve};
use crate::settings::{Config, Settings};

/// Check whether this host can run syscallmon, and whether a configuration is valid.
///
/// Tests what `syscallmon run` requires with the same flags: reads the files, connects to other services, loads the
/// eBPF programs. Attaches nothing and changes no file. Prints one line for each requirement. "ok": fulfilled.
/// "remark": syscallmon runs with reduced features, or a service is not available now. "failed": `syscallmon run` fails
/// or cannot follow the configuration.
///
/// Exit status: 0 if no requirement failed, 1 if one failed, 2 if the command line is invalid.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,

    /// Output format.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line for each requirement.
    Table,
    /// JSON list of objects with name, state and text.
    Json,
}

/// State of a requirement.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Fulfilled.
    Fine(String),
    /// `run` has reduced features, or a service is not available now.
    Remark(String),
    /// `run` fails, or cannot follow the configuration.
    Failed(String),
}

impl Check {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let file = self.config.config_file.as_deref();
        let findings = match resolve(&self.settings, &self.config) {
            Ok(config) => requirements(&Arc::new(config), file)?,
            Err(error) => vec![("config", Failed(format!("{error:#}")))],
        };
        let text = match self.output {
            Format::Table => findings.iter().map(line).collect(),
            Format::Json => serde_json::to_string_pretty(&findings.iter().map(object).collect::<Vec<_>>())? + "\n",
        };
        output::print(text.as_bytes())?;
        let has_failed = findings.iter().any(|(_, finding)| matches!(finding, Failed(_)));
        Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Finding {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Fine(text) => ("ok", text),
            Remark(text) => ("remark", text),
            Failed(text) => ("failed", text),
        }
    }
}

fn line((name, finding): &(&str, Finding)) -> String {
    let (state, text) = finding.parts();
    format!("{state:<8} {name:<15} {text}\n")
}

fn object((name, finding): &(&str, Finding)) -> serde_json::Value {
    let (state, text) = finding.parts();
    json!({"name": name, "state": state, "text": text})
}

fn requirements(config: &Arc<Config>, file: Option<&Path>) -> anyhow::Result<Vec<(&'static str, Finding)>> {
    let from = file.map_or("defaults and flags".to_owned(), |file| file.display().to_string());
    let mut findings = vec![("config", Fine(from))];
    findings.extend(files::requirements(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the async runtime")?;
    findings.extend(runtime.block_on(peers::requirements(config)));
    // Does not wait for a silent resolver.
    runtime.shutdown_background();
    findings.extend(host::requirements(config));
    Ok(findings)
}
