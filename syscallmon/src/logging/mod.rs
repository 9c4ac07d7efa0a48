//! The log: level, format, and the start of logging. It starts first, and uses only a thread of its own.

mod writer;

use std::{io, panic};

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

pub use self::writer::{dropped_lines, flush};

/// Minimum level of log messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// All messages.
    Debug,
    /// Changes of state.
    #[default]
    Info,
    /// Degraded operation.
    Warn,
    /// Failures.
    Error,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs, like Prometheus.
    #[default]
    Logfmt,
    /// One JSON object for each line.
    Json,
}

/// Changes the level of a running log.
pub struct LogHandle(reload::Handle<EnvFilter, tracing_subscriber::Registry>);

impl LogHandle {
    /// Changes the level.
    pub fn set_level(&self, level: LogLevel) {
        // An error means that the log has ended, so there is nothing to change.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging to stderr from a thread of its own. Includes records of the `log` crate, such as those of aya-log,
/// and panics.
///
/// # Errors
///
/// When a log was started before, or its thread cannot be started.
pub fn start(level: LogLevel, format: LogFormat) -> io::Result<LogHandle> {
    let writer = writer::start()?;
    let (filter, handle) = reload::Layer::new(filter(level));
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Logfmt => {
            registry.with(tracing_logfmt::builder().with_target(false).layer().with_writer(writer)).try_init()
        }
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_target(false).with_writer(writer)).try_init()
        }
    }
    .map_err(io::Error::other)?;
    // The usual hook writes to stderr, which may block.
    panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(LogHandle(handle))
}

/// Selects the daemon's messages from the level on, and warnings of other crates.
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // kube's warnings are errors for the caller as well, and it would also log whole answers.
    EnvFilter::new(format!("warn,kube_client=off,kube_runtime=off,syscallmon={level},exporter_web={level}"))
}

#[cfg(test)]
mod tests {
    use tracing::{Level, enabled, subscriber::with_default};

    use super::*;

    #[test]
    fn the_level_holds_for_the_crates_of_the_daemon_and_others_only_warn() {
        with_default(tracing_subscriber::registry().with(filter(LogLevel::Info)), || {
            assert!(enabled!(target: "syscallmon::command", Level::INFO));
            assert!(enabled!(target: "exporter_web::reload", Level::INFO));
            assert!(!enabled!(target: "exporter_web::connection", Level::DEBUG));
            assert!(!enabled!(target: "hyper", Level::INFO));
            assert!(enabled!(target: "hyper", Level::WARN));
        });
    }
}
