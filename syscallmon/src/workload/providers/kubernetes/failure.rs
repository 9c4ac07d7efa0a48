//! Why a list or a watch ended, and what helps.

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

/// Why a list or a watch ended.
#[derive(Debug)]
pub(super) enum ApiFailure {
    /// A page of the list did not come in time.
    Slow(Duration),
    /// What the API server, or the way to it, had against it.
    Watcher(watcher::Error),
}

impl From<watcher::Error> for ApiFailure {
    fn from(error: watcher::Error) -> Self {
        Self::Watcher(error)
    }
}

impl ApiFailure {
    /// Whether a watch from where it ended would miss something, or end at once.
    ///
    /// The watcher would skip an event that it cannot read, and ask again and again for a version that is gone.
    pub(super) fn needs_list(&self) -> bool {
        match self {
            Self::Slow(_) => true,
            Self::Watcher(error) => match error {
                InitialListFailed(_) | NoResourceVersion | WatchFailed(kube::Error::SerdeError(_)) => true,
                WatchStartFailed(_) | WatchFailed(_) | WatchError(_) => self.is_expired(),
            },
        }
    }

    /// Whether the server has forgotten the version that the watch was at: it keeps a few minutes of them.
    fn is_expired(&self) -> bool {
        self.status().is_some_and(|status| status.code == 410)
    }

    /// Whether the answer was longer than is read.
    pub(super) fn is_too_long(&self) -> bool {
        matches!(self, Self::Watcher(error) if cause::<LengthLimitError>(error).is_some())
    }

    /// Whether it is a watch that was longer than is read: of much that changed, or of one line without an end.
    pub(super) fn is_long_watch(&self) -> bool {
        matches!(self, Self::Watcher(WatchFailed(_))) && self.is_too_long()
    }

    /// Whether it is reported: an expired resource version is normal.
    pub(super) fn to_report(&self) -> Option<ProviderError> {
        (!self.is_expired()).then(|| match self {
            Self::Slow(time) => ProviderError::Timeout(*time),
            Self::Watcher(_) if self.is_too_long() => ProviderError::Answer("the response is too long".to_owned()),
            Self::Watcher(error) => {
                let told = self.status().map(answer).or_else(|| connection(error));
                told.unwrap_or_else(|| ProviderError::Answer(description(error)))
            }
        })
    }

    /// What the API server said.
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

/// What the API server said, such as: `403: pods is forbidden: User "..." cannot list resource "pods"`.
fn answer(status: &Status) -> ProviderError {
    let text = if status.message.is_empty() { &status.reason } else { &status.message };
    ProviderError::Answer(format!("{}: {}", status.code, cut(text)))
}

/// A request that did not come through. (The end of a watch that did is no failure to connect.)
fn connection(error: &watcher::Error) -> Option<ProviderError> {
    let kind = match error {
        InitialListFailed(error) | WatchStartFailed(error) if tls::cause(error).is_some() => io::ErrorKind::InvalidData,
        InitialListFailed(error) | WatchStartFailed(error) => cause::<io::Error>(error)?.kind(),
        WatchError(_) | WatchFailed(_) | NoResourceVersion => return None,
    };
    Some(ProviderError::Connect(io::Error::new(kind, description(error))))
}

/// The error and what is behind it, in one line; kube's messages have some of it twice.
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
