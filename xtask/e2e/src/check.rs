//! The checks in each environment: known numbers of calls, by the names that users see, through a real Prometheus.

mod chart;
mod cluster;
mod dashboards;
mod enforced;
mod events;
mod explorer;
mod exporter;
mod fresh;
mod hostile;
mod kubernetes;
mod matrix;
mod operations;
mod ordinary;
mod outages;
mod pinned;
mod policies;
mod privileges;
mod profiles;
mod runtimes;
mod web;
mod workloads;

pub use self::runtimes::SHOWN;
pub(super) use self::{
    explorer::explorer,
    exporter::{Exporter, binary as daemon},
    kubernetes::kubernetes,
    operations::{quiet, table},
    ordinary::images,
    policies::policies,
    profiles::profiles,
    runtimes::{busy, containerd, docker, podman},
};

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use syscallmon_testkit::Prometheus;

use super::wait::wait_for;

/// Checks engines and OCI runtimes of all Debian suites, or of the newest one only. With a text, only cells with it in
/// their names.
pub(super) fn runtimes(root: &Path, newest: bool, write: bool, only: Option<&str>) -> Result<()> {
    if newest { matrix::newest(root, only) } else { matrix::all(root, write, only) }
}

/// The call that workloads make. No runtime makes it in a container's cgroup, and a shell makes it without another
/// process.
pub(super) const CALL: &str = "kill";

/// Maximum delay of a value: a scrape, a poll, and the start of a container on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Returns a shell command that makes this many calls. It has no `$$`, because Kubernetes replaces `$$` by `$`.
pub(super) fn calls(count: u64) -> String {
    format!("i=0; while [ $i -lt {count} ]; do kill -0 1; i=$((i+1)); done")
}

/// Returns the same for a container that continues to run afterwards.
pub(super) fn calls_and_waits(count: u64) -> String {
    format!("{}; exec sleep 100000", calls(count))
}

/// Returns the sum of a query's answer, or `None` for an empty answer.
pub(super) fn value(prometheus: &Prometheus, promql: &str) -> Result<Option<f64>> {
    let samples = prometheus.query(promql)?;
    Ok((!samples.is_empty()).then(|| samples.iter().map(|sample| sample.value).sum()))
}

/// Waits until a query has this answer. A higher value fails at once, because nothing may be counted twice.
fn expect_count(prometheus: &Prometheus, promql: &str, count: u64) -> Result<()> {
    let expected = count as f64;
    let mut last = None;
    let reached = wait_for(&format!("{promql} = {count}"), TIMEOUT, || {
        last = value(prometheus, promql)?;
        ensure!(last.is_none_or(|value| value <= expected), "{promql} is {last:?}, more than {count}");
        Ok((last == Some(expected)).then_some(()))
    });
    reached.map_err(|error| error.context(format!("{promql} is {last:?}, not {count}")))
}

/// Waits until a query has no answer.
fn expect_nothing(prometheus: &Prometheus, promql: &str) -> Result<()> {
    wait_for(&format!("nothing for {promql}"), TIMEOUT, || Ok(value(prometheus, promql)?.is_none().then_some(())))
}

/// Runs one of the checks, and prints its duration.
fn step<T>(what: &str, check: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let result = check().map_err(|error| error.context(what.to_owned()))?;
    println!("  {what}: ok, {:.1} s", begin.elapsed().as_secs_f64());
    Ok(result)
}
