//! One request and its whole answer, within a deadline and a limit of bytes.

use std::{error::Error, time::Duration};

use http::{HeaderMap, Request, StatusCode, header::LOCATION};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy;
use tokio::time::timeout;

use super::http::HttpsClient;

/// What an exchange may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeLimits {
    /// Deadline of the whole exchange, with the connection.
    pub(crate) time: Duration,
    /// Maximum bytes of the answer.
    pub(crate) bytes: usize,
}

/// An answer, with any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    headers: HeaderMap,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The deadline has passed.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// There is no connection, or no HTTP on it.
    #[error(transparent)]
    Request(#[from] legacy::Error),
    /// The answer is too long.
    #[error("the answer exceeds {} MiB", .0 >> 20)]
    TooLarge(usize),
    /// The connection broke within the answer.
    #[error("the answer is cut")]
    Body(#[source] Box<dyn Error + Send + Sync>),
}

/// Sends a request and returns the answer. Does not follow redirects.
///
/// # Errors
///
/// When there is no whole answer within the limits.
pub(crate) async fn exchange(
    client: &HttpsClient,
    request: Request<Full<Bytes>>,
    limits: ExchangeLimits,
) -> Result<Answer, ExchangeError> {
    let exchange = async {
        let (head, body) = client.request(request).await?.into_parts();
        let body = Limited::new(body, limits.bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                ExchangeError::TooLarge(limits.bytes)
            } else {
                ExchangeError::Body(error)
            }
        })?;
        Ok(Answer { status: head.status, body: body.to_bytes(), headers: head.headers })
    };
    timeout(limits.time, exchange).await.map_err(|_| ExchangeError::Timeout(limits.time))?
}

impl Answer {
    /// Returns the target of a redirect.
    pub(crate) fn location(&self) -> Option<String> {
        let target = self.headers.get(LOCATION).filter(|_| self.status.is_redirection())?;
        Some(super::http::first_line(target.as_bytes()))
    }
}
