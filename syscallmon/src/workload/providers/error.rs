//! Why a source did not answer.

use std::{error::Error, io, time::Duration};

use crate::error_report::chain;

/// Why a source did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Its socket cannot be connected to.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// Somebody listens, but does not know names: another's socket.
    #[error("{0}")]
    Absent(String),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It refused, or could not be understood.
    #[error("{0}")]
    Answer(String),
}

impl ProviderError {
    /// Whether it may answer later, as it is: nobody was there, or it took too long. A certificate that is not
    /// trusted stays so.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Timeout(_) => true,
            Self::Absent(_) | Self::Answer(_) => false,
        }
    }

    /// A refusal or misunderstanding in `operation`, with everything that led to it.
    #[must_use]
    pub fn answer(operation: &str, error: &(dyn Error + 'static)) -> Self {
        Self::Answer(format!("{operation}: {}", chain(error)))
    }
}
