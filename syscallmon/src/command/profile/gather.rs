//! Reads all sources that a command names, and merges them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::note;
use crate::{
    files,
    profile::{CommandRecording, Evidence},
};

/// The sources of evidence; at least one.
#[derive(Clone, Debug, Args)]
pub(super) struct Sources {
    /// Recording of `syscallmon record -- COMMAND`; repeatable.
    #[arg(value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
}

impl Sources {
    /// Returns the selector of the sources, if there is one.
    pub(super) fn selector(&self) -> Option<String> {
        None
    }

    /// Returns what all sources know together.
    pub(super) async fn gather(&self) -> Result<Evidence> {
        let mut evidence = Evidence::default();
        for path in &self.recordings {
            let shown = path.display().to_string();
            let text = files::read(path).with_context(|| format!("cannot read {shown}"))?;
            let recording = CommandRecording::from_json(&text).with_context(|| format!("cannot use {shown}"))?;
            evidence.merge(recording.evidence(&shown)?)?;
        }
        if evidence.sources.is_empty() {
            bail!("no source of system calls: name a recording, --daemon, --baseline or --prometheus");
        }
        Ok(evidence)
    }
}

/// Fails if there is nothing to make a profile from.
pub(super) fn require_calls(evidence: &Evidence) -> Result<()> {
    if evidence.calls.values().all(|seen| seen.count == 0) {
        for source in &evidence.sources {
            source.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
        }
        bail!("the sources have no system calls of the workload: nothing was written");
    }
    Ok(())
}
