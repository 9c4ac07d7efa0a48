//! Why a list or watch ended, and the remedy.

use std::{error::Error, io, time::Duration};

use exporter_web::tls;
use http_body_util::LengthLimitError;
use kube::{
    core::Status,
    runtime::watcher::{
        self,
        Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed},
    },
};

use super::pod::cut;
use crate::{error_report::causes, workload::providers::ProviderError};

/// Why a list or watch ended.
#[derive(Debug)]
pub(super) enum ApiFailure {
    /// A page of the list was too late.
    Slow(Duration),
    /// The API server or the connection failed.
    Watcher(watcher::Error),
}

impl From<watcher::Error> for ApiFailure {
    fn from(error: watcher::Error) -> Self {
        Self::Watcher(error)
    }
}

impl ApiFailure {
    /// Whether a watch that continues from its last position would miss something, or end at once.
    ///
    /// The watcher would skip an unreadable event, and would repeat requests for a version that no longer exists.
    pub(super) fn needs_list(&self) -> bool {
        match self {
            Self::Slow(_) => true,
            Self::Watcher(error) => match error {
                InitialListFailed(_) | NoResourceVersion | WatchFailed(kube::Error::SerdeError(_)) => true,
                WatchStartFailed(_) | WatchFailed(_) | WatchError(_) => self.is_expired(),
            },
        }
    }

    /// Whether the server no longer has the version of the watch: it keeps versions for a few minutes.
    fn is_expired(&self) -> bool {
        self.status().is_some_and(|status| status.code == 410)
    }

    /// Whether the answer exceeded the limit.
    pub(super) fn is_too_long(&self) -> bool {
        matches!(self, Self::Watcher(error) if cause::<LengthLimitError>(error).is_some())
    }

    /// Whether a watch exceeded the limit: by many changes, or by one line without an end.
    pub(super) fn is_long_watch(&self) -> bool {
        matches!(self, Self::Watcher(WatchFailed(_))) && self.is_too_long()
    }

    /// Whether it is reported. An expired resource version is normal.
    pub(super) fn to_report(&self) -> Option<ProviderError> {
        (!self.is_expired()).then(|| match self {
            Self::Slow(time) => ProviderError::Timeout(*time),
            Self::Watcher(_) if self.is_too_long() => ProviderError::Answer("the response is too long".to_owned()),
            Self::Watcher(error) => {
                let answered = self.status().map(answer).or_else(|| connection(error));
                answered.unwrap_or_else(|| ProviderError::Answer(description(error)))
            }
        })
    }

    /// Returns the API server's error.
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Watcher(WatchError(status)) => Some(status),
            Self::Watcher(InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) => match error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Slow(_) | Self::Watcher(NoResourceVersion) => None,
        }
    }
}

/// Returns the API server's error, such as: `403: pods is forbidden: User "..." cannot list resource "pods"`.
fn answer(status: &Status) -> ProviderError {
    let text = if status.message.is_empty() { &status.reason } else { &status.message };
    ProviderError::Answer(format!("{}: {}", status.code, cut(text)))
}

/// Whether a request failed to connect. (The end of a running watch does not count.)
fn connection(error: &watcher::Error) -> Option<ProviderError> {
    let kind = match error {
        InitialListFailed(error) | WatchStartFailed(error) if tls::cause(error).is_some() => io::ErrorKind::InvalidData,
        InitialListFailed(error) | WatchStartFailed(error) => cause::<io::Error>(error)?.kind(),
        WatchError(_) | WatchFailed(_) | NoResourceVersion => return None,
    };
    Some(ProviderError::Connect(io::Error::new(kind, description(error))))
}

/// Returns the error and its causes in one line. kube's messages repeat some parts.
pub(super) fn description(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(String::new(), |text, cause| {
        let more = cause.to_string();
        let more = cut(&more);
        match text.as_str() {
            "" => more.to_owned(),
            text if text.contains(more) => text.to_owned(),
            text => format!("{text}: {more}"),
        }
    })
}

pub(super) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}
