//! `syscallmon profile check`: would this profile break the workload, and what does it allow in vain.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, process::ExitCode, time::SystemTime};

use anyhow::{Result, ensure};
use clap::Args;

use super::{FOUND, ReportFormat, counted, files, gather::Sources, note, on_runtime, runtime::RuntimeArgs};
use crate::{
    command::output::print,
    profile::{self, Finding, with_allowed},
};

/// Check a seccomp profile against what a workload calls.
///
/// Reports calls that the workload makes and the profile refuses, calls that were denied, calls that nobody makes, and
/// calls without which a container does not start. Exit status: 0 if the profile can be enforced, 1 if not, 2 if it
/// could not be checked.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Profile: JSON of OCI or Docker, an object of the security-profiles-operator, or the drop-in of a systemd unit.
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,

    #[command(flatten)]
    sources: Sources,

    #[command(flatten)]
    runtime: RuntimeArgs,

    /// Write the profile with the calls that it lacks to this file, without dangerous ones.
    #[arg(long, value_name = "FILE")]
    suggest: Option<PathBuf>,

    /// Form of the report.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,
}

impl Check {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let read = files::read_profile(&self.profile)?;
        ensure!(
            !read.is_drop_in || self.suggest.is_none(),
            "--suggest writes no drop-in: use `profile generate --format systemd --allow-denied`"
        );
        let evidence = on_runtime(self.sources.gather())?;
        // No container runtime starts a unit.
        let [needed, made] = if read.is_drop_in { [BTreeSet::new(), BTreeSet::new()] } else { self.runtime.calls() };
        let check = profile::Check::new(&read.profile, &evidence, &needed, &made);
        let check = check.with_confidence(&profile::Confidence::new(&evidence, SystemTime::now()));
        match self.output {
            ReportFormat::Text => print(text(&check).as_bytes())?,
            ReportFormat::Json => print((serde_json::to_string_pretty(&check)? + "\n").as_bytes())?,
        }
        if let Some(path) = &self.suggest {
            let (added, left) = check.suggestion();
            let healed = serde_json::to_string_pretty(&with_allowed(read.document, &added))? + "\n";
            files::install(path, healed.as_bytes())?;
            note(&format!("{} added: {}", counted(added.len(), "call"), path.display()));
            if !left.is_empty() {
                let left: Vec<&str> = left.into_iter().collect();
                let reason = "they are dangerous, or a filter cannot tell their arguments from others";
                note(&format!("left for you to decide, because {reason}: {}", left.join(", ")));
            }
        }
        Ok(if check.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
    }
}

fn text(check: &profile::Check) -> String {
    let mut text = String::new();
    if check.refuses_everything {
        text += "The profile refuses every call.\n";
    }
    section(&mut text, "The workload makes these calls, and the profile refuses them:", &check.breaks);
    section(&mut text, "Seccomp denied these calls, and the profile refuses them:", &check.denied);
    section(
        &mut text,
        "The profile answers these calls with ENOSYS, and libraries use others instead:",
        &check.falls_back,
    );
    names(
        &mut text,
        "Containers do not start without these calls, and the profile refuses them:",
        &check.missing_at_start,
    );
    names(&mut text, "The profile allows these calls, and the workload does not make them:", &check.unused);
    section(
        &mut text,
        "The workload makes these dangerous calls, and the profile allows them. If they are an attack, do not enforce it:",
        &check.dangerous,
    );
    for warning in &check.warnings {
        let _ = writeln!(text, "Warning: {warning}");
    }
    text += match (check.is_ok(), check.warnings.is_empty() && check.dangerous.is_empty()) {
        (true, true) => "The profile can be enforced.\n",
        (true, false) => "The profile breaks nothing that was observed. Read the warnings before you enforce it.\n",
        (false, _) => "The profile must not be enforced.\n",
    };
    text
}

fn section(text: &mut String, title: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}");
    for Finding { abi, syscall, count, replicas, decision, danger } in findings {
        let danger = danger.map_or_else(String::new, |danger| format!("; dangerous: {danger}"));
        let (times, replicas) =
            (counted(usize::try_from(*count).unwrap_or(usize::MAX), "time"), counted(*replicas, "replica"));
        let _ = writeln!(text, "  {abi}/{syscall}  {times} in {replicas}; {decision}{danger}");
    }
}

fn names(text: &mut String, title: &str, names: &[&str]) {
    if !names.is_empty() {
        let _ = writeln!(text, "{title}\n  {}", names.join(" "));
    }
}
