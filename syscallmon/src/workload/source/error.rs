//! Why a source did not answer.

use std::{error::Error, io, iter, time::Duration};

/// Why a source did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
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

impl SourceError {
    /// A refusal or misunderstanding in `operation`, with everything that led to it.
    #[must_use]
    pub fn answer(operation: &str, error: &(dyn Error + 'static)) -> Self {
        let causes = iter::successors(Some(error), |&error| error.source());
        Self::Answer(causes.fold(operation.to_owned(), |message, cause| format!("{message}: {cause}")))
    }
}
