//! `syscallmon health`: does a running daemon count, or do the daemons of a `DaemonSet`? The chart's test runs it.

mod cluster;
mod pages;
#[cfg(test)]
mod tests;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tokio::time::{Instant, sleep};

use self::cluster::ObjectName;
use super::{daemon_flags::DaemonArgs, output};

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Check whether a running daemon counts, or the daemons of a cluster.
///
/// Requests /readyz and the metrics of the daemon, which must contain counted calls. In a cluster, --daemonset and
/// --service check the daemons of all nodes.
///
/// Exit status: 0 if all is well, 1 if not, 2 if the command line is invalid.
#[derive(Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    daemon: DaemonArgs,

    /// Path of the metrics, as in `web.telemetry_path` of the daemon.
    #[arg(long, value_name = "PATH", default_value = "/metrics")]
    telemetry_path: String,

    /// Repeat for this time until all is well.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    wait: Duration,

    /// Check by the Kubernetes API that enough pods of this `DaemonSet` are ready: all but its `maxUnavailable`, and at
    /// least one. Requires a pod whose service account may get the `DaemonSet`.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    daemonset: Option<ObjectName>,

    /// All pods of the `DaemonSet` must be ready, whatever its `maxUnavailable` is.
    #[arg(long, requires = "daemonset")]
    every_pod: bool,

    /// Request the pages of every daemon of this Service, with the scheme of --url. Gets the addresses from the
    /// Kubernetes API: needs no DNS. Requires a pod whose service account may get the `Endpoints`.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    service: Option<ObjectName>,
}

impl Health {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the async runtime")?;
        let checked = runtime.block_on(self.check_until_well());
        // Does not wait for a silent resolver.
        runtime.shutdown_background();
        output::print(checked?.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    /// Checks, and repeats a failed check until `wait` is over. Returns what was found.
    async fn check_until_well(&self) -> Result<String> {
        let begin = Instant::now();
        loop {
            match self.check().await {
                Err(_) if begin.elapsed() + PAUSE <= self.wait => sleep(PAUSE).await,
                checked => return checked,
            }
        }
    }

    async fn check(&self) -> Result<String> {
        let mut text = String::new();
        let mut is_empty = false;
        if let Some(daemonset) = &self.daemonset {
            let state = cluster::state(daemonset).await?;
            is_empty = state.desired == 0;
            text = format!("DaemonSet {daemonset}: {}\n", state.judge(self.every_pod)?);
        }
        if let Some(service) = &self.service {
            let addresses = cluster::addresses(service).await?;
            if addresses.is_empty() && !is_empty {
                anyhow::bail!("Service {service}: no pod is ready");
            }
            for address in addresses {
                text += &pages::check(&self.daemon.daemon_at(address)?, &self.telemetry_path).await?;
            }
        } else if self.daemonset.is_none() {
            text += &pages::check(&self.daemon.daemon(), &self.telemetry_path).await?;
        }
        Ok(text)
    }
}
