//! The pages of one daemon: /readyz, and metrics with counted calls.

use std::{future::Future, time::Duration};

use anyhow::{Context, Error, Result, anyhow, ensure};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use tokio::time::timeout;

use crate::{client::http::first_line, command::daemon::Daemon};

/// Deadline of a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum bytes of a line of metrics.
const MAX_LINE_BYTES: usize = 64 << 10;
/// Maximum bytes of an answer that is no success.
const MAX_REFUSAL_BYTES: usize = 4 << 10;
/// Every daemon exports this family, with the calls of its own process at least.
const SERIES: &str = "syscallmon_syscalls_total{";

/// Checks both pages. Returns a line about them.
pub(super) async fn check(daemon: &Daemon, telemetry_path: &str) -> Result<String> {
    let url = &daemon.url;
    within(ready(daemon)).await.with_context(|| format!("/readyz of {url}"))?;
    let found = within(metrics(daemon, telemetry_path)).await.with_context(|| format!("{telemetry_path} of {url}"))?;
    Ok(format!("{url} is ready, {found}\n"))
}

async fn within<T>(request: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PAGE_TIMEOUT, request).await.context("no answer in time")?
}

/// Checks that the daemon has metrics. This page needs no password.
async fn ready(daemon: &Daemon) -> Result<()> {
    let response = daemon.open("/readyz").await?;
    if response.status() == StatusCode::OK { Ok(()) } else { Err(refusal(response).await) }
}

/// Checks the metrics, unless they require a password that is not given. Returns what was found.
async fn metrics(daemon: &Daemon, path: &str) -> Result<&'static str> {
    let response = daemon.open(path).await?;
    match response.status() {
        StatusCode::OK => {
            ensure!(has_counted_calls(response).await?, "no call is counted");
            Ok("and exports counted calls")
        }
        StatusCode::UNAUTHORIZED if daemon.client_config.basic.is_none() => Ok("and its metrics require a password"),
        _ => Err(refusal(response).await),
    }
}

/// Reads metrics until a series has a count above zero.
async fn has_counted_calls<B>(response: Response<B>) -> Result<bool>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (mut body, mut line) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        for part in frame.context("the answer is cut")?.into_data().unwrap_or_default().split_inclusive(|&b| b == b'\n')
        {
            line.extend_from_slice(part);
            ensure!(line.len() <= MAX_LINE_BYTES, "the answer is no metrics of syscallmon");
            if line.ends_with(b"\n") {
                if is_counted(&line) {
                    return Ok(true);
                }
                line.clear();
            }
        }
    }
    Ok(false)
}

fn is_counted(line: &[u8]) -> bool {
    let value = std::str::from_utf8(line).ok().filter(|line| line.starts_with(SERIES));
    let value = value.and_then(|line| line.rsplit(' ').next()?.trim_end().parse::<f64>().ok());
    value.is_some_and(|value| value > 0.0)
}

/// Returns the status and the first line of an answer.
async fn refusal<B: Body<Data = Bytes> + Unpin>(response: Response<B>) -> Error {
    let status = response.status();
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        if bytes.len() >= MAX_REFUSAL_BYTES {
            break;
        }
    }
    anyhow!("{status} ({})", first_line(&bytes))
}
