//! Evidence of a Prometheus, a Thanos or a Mimir, which have the metrics of many daemons over a long time.
//!
//! Counts and metadata are different series: counts have the labels that identify a workload, and only
//! `syscallmon_workload_info` has its owner and image. So the metadata are read first, then the counts of the workloads
//! that they name, and both are joined here. A join in `PromQL` would lose workloads whose metadata came late.
//!
//! A call was made if its counter was there and above 0. Its increase alone would miss counters with one sample, and
//! counters that never grew after their first sample.

mod answer;
mod api;
mod collect;
mod evidence;
mod health;
mod labels;
mod promql;
mod replicas;
#[cfg(test)]
mod tests;
mod window;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use http::{HeaderName, HeaderValue, Uri};

#[cfg(test)]
pub(in crate::command) use self::evidence::ObservedCall;
pub(in crate::command) use self::evidence::ObservedWorkload;
use self::{
    api::{Api, Server, rfc3339},
    collect::{Counters, Infos},
    evidence::Range,
    health::Health,
    labels::LabelSet,
    replicas::Joined,
    window::Window,
};
use super::server_url;
use crate::{
    client::{exchange::ExchangeLimits, http::HttpClientConfig},
    process::printable_name,
    profile::{Evidence, SourceKind},
    workload::Selector,
};

/// Maximum bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Maximum samples of all answers together.
const MAX_SAMPLES: usize = 10_000_000;

/// Minimum and maximum range, in seconds.
const RANGES: (u64, u64) = (60, 400 * 86_400);

/// A Prometheus, and credentials.
#[derive(Clone, Debug, Args)]
pub(in crate::command) struct PrometheusSource {
    /// URL of a Prometheus, Thanos or Mimir that scrapes syscallmon. A path is kept, such as /prometheus of Mimir.
    #[arg(
        long = "prometheus",
        value_name = "URL",
        id = "prometheus_url",
        requires = "selector",
        value_parser = server_url
    )]
    pub(in crate::command) url: Option<Uri>,
    /// How far to look back: 12h, 7d. A long range finds calls that are rare.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = range)]
    range: Duration,
    /// User name for Prometheus.
    #[arg(long, value_name = "NAME", requires_all = ["prometheus_url", "prometheus_password_file"])]
    prometheus_username: Option<String>,
    /// File with the password for Prometheus.
    #[arg(long, value_name = "FILE", requires = "prometheus_username")]
    prometheus_password_file: Option<PathBuf>,
    /// File with the bearer token for Prometheus.
    #[arg(long, value_name = "FILE", requires = "prometheus_url", conflicts_with = "prometheus_username")]
    prometheus_token_file: Option<PathBuf>,
    /// File with CA certificates (PEM) for Prometheus; by default those of the host.
    #[arg(long, value_name = "FILE", requires = "prometheus_url")]
    prometheus_ca_file: Option<PathBuf>,
    /// HTTP header of each query, such as X-Scope-OrgID=tenant for Mimir. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", requires = "prometheus_url", value_parser = header)]
    prometheus_header: Vec<(HeaderName, HeaderValue)>,
    /// Maximum duration of one query.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    prometheus_timeout: Duration,
}

impl PrometheusSource {
    fn server(&self, url: &Uri) -> Server {
        Server {
            url: url.clone(),
            client_config: HttpClientConfig {
                ca_file: self.prometheus_ca_file.clone(),
                bearer_token_file: self.prometheus_token_file.clone(),
                basic: self.prometheus_username.clone().zip(self.prometheus_password_file.clone()),
            },
            headers: self.prometheus_header.clone(),
            limits: ExchangeLimits { time: self.prometheus_timeout, bytes: MAX_ANSWER_BYTES },
            max_samples: MAX_SAMPLES,
        }
    }

    /// Returns the calls of each workload that a selector matches in the range before `end`, and the server's warnings.
    pub(in crate::command) async fn workloads(
        &self,
        url: &Uri,
        workload: &Selector,
        end: SystemTime,
    ) -> Result<(Vec<ObservedWorkload>, Vec<String>)> {
        let Found { mut api, infos, windows } = self.find(url, workload, end).await?;
        let counts = Counts::read(&mut api, &infos, &windows).await?;
        let joined = counts.joined(&infos)?;
        let health = health(&mut api, &infos, &windows).await?;
        let range = Range { windows: &windows, window: Duration::from_secs(Window::length(self.range)) };
        let workloads = evidence::workloads(&joined, &health, &range);
        Ok((workloads, api.warnings.iter().map(|warning| printable_name(warning)).collect()))
    }

    /// Returns the evidence of a workload in the range before `end`.
    pub(in crate::command) async fn evidence(
        &self,
        url: &Uri,
        workload: &Selector,
        end: SystemTime,
    ) -> Result<Evidence> {
        let Found { mut api, infos, windows } = self.find(url, workload, end).await?;
        let evidence = of_infos(&mut api, &infos, &windows, Window::length(self.range), url).await?;
        if evidence.calls.is_empty() && evidence.unknown_numbers == 0 {
            bail!(
                "{url} has metadata of {}, but no counts in the last {}; to check: count by (namespace, pod, \
                 container) (last_over_time(syscallmon_syscalls_total[1d]))",
                printable_name(workload.text()),
                humantime::format_duration(self.range)
            );
        }
        Ok(evidence)
    }

    /// Finds the metadata of the workloads that a selector matches in the range before `end`.
    async fn find(&self, url: &Uri, workload: &Selector, end: SystemTime) -> Result<Found> {
        let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let windows = Window::of_range(end, self.range);
        let mut api = Api::new(self.server(url)).await?;
        let mut infos = collect::infos(&mut api, &promql::infos(workload), &windows).await?;
        infos.retain(|info, _| workload.matches(&info.workload_labels()));
        if infos.is_empty() {
            return Err(self.nothing(&mut api, url, workload, &windows).await);
        }
        Ok(Found { api, infos, windows })
    }

    /// Explains why there are no metadata.
    async fn nothing(&self, api: &mut Api, url: &Uri, workload: &Selector, windows: &[Window]) -> anyhow::Error {
        let mut any = 0.0;
        for window in windows.iter().rev() {
            let query = format!("count(last_over_time(syscallmon_workload_info[{}s]))", window.seconds());
            match api.count(&query, window.end).await {
                Ok(count) => any += count,
                Err(error) => return error,
            }
            if any > 0.0 {
                break;
            }
        }
        let range = humantime::format_duration(self.range);
        let (begin, end) = (rfc3339(windows[0].begin), rfc3339(windows[windows.len() - 1].end));
        if any == 0.0 {
            return anyhow!(
                "{url} has no syscallmon_workload_info in the last {range} ({begin} to {end}): does it scrape \
                 syscallmon? To check: count by (job, instance) (syscallmon_build_info)"
            );
        }
        anyhow!(
            "no workload matches {} in the last {range} at {url} ({begin} to {end}); to see what there is: count by \
             (namespace, owner, container) (last_over_time(syscallmon_workload_info[1d]))",
            printable_name(workload.text())
        )
    }
}

/// Metadata of workloads, and what their counters are read with.
struct Found {
    api: Api,
    infos: Infos,
    windows: Vec<Window>,
}

/// Counters of calls and of denied calls.
struct Counts {
    calls: Counters,
    denied: Counters,
    /// By class of arguments.
    classes: [Counters; 2],
}

/// Metrics of classes of arguments: of calls, and of denied calls.
const ARGUMENTS: [&str; 2] = ["syscallmon_syscall_arguments_total", "syscallmon_syscall_arguments_denied_total"];

impl Counts {
    async fn read(api: &mut Api, infos: &Infos, windows: &[Window]) -> Result<Self> {
        let mut calls = collect::counters(api, promql::CALLS, infos, windows).await?;
        collect::without_container_init(api, &mut calls, infos, windows).await?;
        let denied = collect::counters(api, "syscallmon_syscalls_denied_total", infos, windows).await?;
        let mut classes = [Counters::new(), Counters::new()];
        for (metric, counters) in ARGUMENTS.into_iter().zip(&mut classes) {
            *counters = collect::counters(api, metric, infos, windows).await?;
        }
        Ok(Self { calls, denied, classes })
    }

    /// Returns the counts of each replica.
    fn joined<'a>(&'a self, infos: &'a Infos) -> Result<Joined<'a>> {
        let mut joined = replicas::join(infos, &self.calls, &self.denied)?;
        joined.add_arguments(infos, &self.classes);
        Ok(joined)
    }
}

/// Reads how the daemons of these metadata were.
async fn health(api: &mut Api, infos: &Infos, windows: &[Window]) -> Result<Health> {
    let targets: BTreeSet<LabelSet> = infos.keys().map(LabelSet::of_target).collect();
    Health::read(api, &targets, windows).await
}

/// Reads what belongs to these metadata.
async fn of_infos(api: &mut Api, infos: &Infos, windows: &[Window], length: u64, url: &Uri) -> Result<Evidence> {
    let counts = Counts::read(api, infos, windows).await?;
    let joined = counts.joined(infos)?;
    let health = health(api, infos, windows).await?;
    let mut evidence = Evidence::new(SourceKind::Prometheus, url.to_string());
    let range = Range { windows, window: Duration::from_secs(length) };
    evidence::add_all(&mut evidence, &joined, &health, &range)?;
    for warning in &api.warnings {
        evidence.warn(format!("the server warns: {warning}"));
    }
    Ok(evidence)
}

fn range(text: &str) -> Result<Duration, String> {
    let range = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let seconds = range.as_secs();
    if (RANGES.0..=RANGES.1).contains(&seconds) { Ok(range) } else { Err("expected 1m to 400d".to_owned()) }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let expected = || "expected NAME=VALUE, such as X-Scope-OrgID=tenant".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(expected)?;
    let name: HeaderName = name.trim().parse().map_err(|_| expected())?;
    let mut value: HeaderValue = value.trim().parse().map_err(|_| expected())?;
    value.set_sensitive(true);
    Ok((name, value))
}
