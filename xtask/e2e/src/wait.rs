//! Waits for actions of a container, a runtime or a server.

use std::time::Duration;

use anyhow::{Context, Result};
use syscallmon_testkit::try_wait_for;

/// Pause between two attempts. Each attempt starts a thread or a program.
const PAUSE: Duration = Duration::from_millis(100);

/// Repeats `ask` until it returns a value.
///
/// Fails after this time, or as soon as `ask` fails.
pub(crate) fn wait_for<T>(what: &str, patience: Duration, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    try_wait_for(what, patience, PAUSE, ask).context("the logs are in target/e2e")
}
