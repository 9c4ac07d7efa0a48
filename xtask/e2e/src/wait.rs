//! Waiting for what a container, a runtime or a server does.

use std::time::Duration;

use anyhow::{Context, Result};
use syscallmon_testkit::try_wait_for;

/// Each look starts a thread or a program.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer.
///
/// Fails when the time is over, or as soon as asking does.
pub(crate) fn wait_for<T>(what: &str, patience: Duration, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    try_wait_for(what, patience, PAUSE, ask).context("the logs are in target/e2e")
}
