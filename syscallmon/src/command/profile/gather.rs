//! Reads all sources that a command names, and merges them.

use std::{path::PathBuf, time::SystemTime};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use super::{
    note,
    sources::{WorkloadFlag, baseline, daemon, daemon::DaemonSource, prometheus::PrometheusSource},
};
use crate::{
    detect::BaselineKey,
    files,
    profile::{CommandRecording, Evidence},
};

/// The sources of evidence; at least one.
#[derive(Clone, Debug, Args)]
pub(super) struct Sources {
    /// Recording of `syscallmon record -- COMMAND`, or file of a baseline; repeatable.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    workload: WorkloadFlag,

    #[command(flatten)]
    daemon: DaemonSource,

    /// Baseline of the daemon, such as shop/Deployment/web/httpd; repeatable.
    #[arg(long, value_name = "KIND", requires = "daemon_url")]
    baseline: Vec<BaselineKey>,

    #[command(flatten)]
    prometheus: PrometheusSource,
}

impl Sources {
    /// Returns the selector of the sources, if there is one.
    pub(super) fn selector(&self) -> Option<String> {
        self.workload.selector.as_ref().map(|selector| selector.text().to_owned())
    }

    /// Returns what all sources know together.
    pub(super) async fn gather(&self) -> Result<Evidence> {
        let mut evidence = Evidence::default();
        for path in &self.files {
            let shown = path.display().to_string();
            let text = files::read(path).with_context(|| format!("cannot read {shown}"))?;
            evidence.merge(of_file(&text, &shown).with_context(|| format!("cannot use {shown}"))?)?;
        }
        if let Some(server) = self.daemon.daemon() {
            if self.workload.selector.is_none() && self.baseline.is_empty() {
                bail!("--daemon needs the workload: --workload 'container=\"web\"', or --baseline KIND");
            }
            for kind in &self.baseline {
                evidence.merge(baseline::of_daemon(&server, kind).await?)?;
            }
            if let Some(workload) = &self.workload.selector {
                evidence.merge(daemon::evidence(&server, workload).await?)?;
            }
        }
        if let Some((url, workload)) = self.prometheus.url.as_ref().zip(self.workload.selector.as_ref()) {
            evidence.merge(self.prometheus.evidence(url, workload, SystemTime::now()).await?)?;
        }
        if evidence.sources.is_empty() {
            bail!("no source of system calls: name a recording, --daemon or --prometheus");
        }
        Ok(evidence)
    }
}

/// Reads a recording or a baseline. Only a baseline has a kind.
fn of_file(text: &[u8], name: &str) -> Result<Evidence> {
    #[derive(Deserialize)]
    struct Kind {
        kind: Option<String>,
    }
    if serde_json::from_slice::<Kind>(text).is_ok_and(|file| file.kind.is_some()) {
        return baseline::of_text(text, name);
    }
    Ok(CommandRecording::from_json(text)?.evidence(name)?)
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
