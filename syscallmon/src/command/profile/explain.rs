//! `syscallmon profile explain`: how much of the kernel a profile leaves open.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::{ReportFormat, files};
use crate::{
    command::output::print,
    process::printable_name,
    profile::{Open, Surface},
};

/// Show how much of the kernel a seccomp profile leaves open, and which dangerous calls.
///
/// Counts the calls of the kernel, of the default profile of container runtimes, and of this profile.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Profile.
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,

    /// Form of the report.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,
}

impl Explain {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let read = files::read_profile(&self.profile)?;
        let surface = Surface::new(&read.profile);
        match self.output {
            ReportFormat::Text => print(text(&surface, &read.document["x-syscallmon"]).as_bytes())?,
            ReportFormat::Json => print((serde_json::to_string_pretty(&surface)? + "\n").as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(surface: &Surface, provenance: &Value) -> String {
    let mut text = String::new();
    for (architecture, open) in &surface.architectures {
        let Open { kernel, runtime_default, profile, restricted, other_abis, dangerous, dangerous_left } = open;
        let removed = 100.0 * (1.0 - *profile as f64 / (*kernel).max(1) as f64);
        let left = dangerous_left.len();
        let _ =
            writeln!(text, "{architecture}: {profile} calls are allowed ({removed:.0} % of the kernel's are closed)");
        let _ = writeln!(text, "                  kernel  runtime default  this profile");
        let _ = writeln!(text, "  calls           {kernel:>6}  {runtime_default:>15}  {profile:>12}");
        let _ = writeln!(text, "  dangerous calls {:>6}  {:>15}  {left:>12}", dangerous[0], dangerous[1]);
        for (call, reason) in dangerous_left {
            let origin = origin(provenance, call);
            let _ = writeln!(text, "  {call}: {reason}{origin}");
        }
        if !restricted.is_empty() {
            text += "  only with these arguments:\n";
        }
        for (call, classes) in restricted {
            let _ = writeln!(text, "    {call}: {}", classes.join(" "));
        }
        if !other_abis.is_empty() {
            let _ = writeln!(text, "  calls of other ABIs are let in as well: {}", other_abis.join(", "));
        }
    }
    if surface.architectures.is_empty() {
        text += "the profile names no architecture that syscallmon has tables of\n";
    }
    if let Some(sources) = provenance["sources"].as_array() {
        let sources: Vec<String> = sources.iter().filter_map(Value::as_str).map(printable_name).collect();
        let _ = writeln!(text, "generated {} from {}", shown(&provenance["generated"]), sources.join(", "));
    }
    text
}

/// Returns why a generated profile allows a dangerous call.
fn origin(provenance: &Value, call: &str) -> String {
    let Some(coverage) = provenance["coverage"].as_object() else { return String::new() };
    match coverage.get(call) {
        Some(replicas) => format!(" (made by {} of {} replicas)", shown(replicas), shown(&provenance["replicas"])),
        None => " (not observed: the runtime makes it, a sibling was observed, or a person asked for it)".to_owned(),
    }
}

fn shown(value: &Value) -> String {
    printable_name(value.as_str().unwrap_or(&value.to_string()))
}
