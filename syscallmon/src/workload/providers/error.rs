//! Errors of metadata providers.

use std::{error::Error, io, time::Duration};

use crate::error_report::chain;

/// Why a provider did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Its socket does not accept a connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The process behind the socket serves another API.
    #[error("{0}")]
    Absent(String),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It returned an error, or an answer that cannot be parsed.
    #[error("{0}")]
    Answer(String),
}

impl ProviderError {
    /// Whether it may answer later without a change: no process listened, or it took too long. A certificate without
    /// trust stays so.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Timeout(_) => true,
            Self::Absent(_) | Self::Answer(_) => false,
        }
    }

    /// Returns an error of `operation`, with all of its causes.
    #[must_use]
    pub fn answer(operation: &str, error: &(dyn Error + 'static)) -> Self {
        Self::Answer(format!("{operation}: {}", chain(error)))
    }
}
