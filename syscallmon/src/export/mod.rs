//! What the outside sees: the pages of the HTTP server and what they say.
//!
//! Reads [`crate::view`], asks the sampler for fresh counts, and never sees aya.

mod api;
mod baselines;
mod builders;
#[cfg_attr(not(test), expect(dead_code, reason = "the renderer of views will use it"))]
mod encode;
mod exposition;
pub mod families;
mod json;
mod landing;
mod local;
mod process_metrics;
mod query;
mod sample;
mod violations;
pub mod web;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State as Extract,
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
};

#[cfg(test)]
pub(crate) use self::baselines::router as baseline_routes;
use self::{builders::Builders, json::failure};
pub use self::{
    exposition::{Error, Exposition, Renderer},
    query::{Since, SinceError},
};
use crate::{requests::Requester, sampler::Tunables, view::Views};

/// What `fuzz/` needs and nobody else: what clients send, without a socket.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use super::{local::refused as refusal, query::fuzzing::queries, web::fuzzing::*};
}

/// Paths that `--web.telemetry-path` cannot take.
pub const PATHS: [&str; 6] =
    ["/", "/healthz", "/readyz", "/api/v1/workloads", "/api/v1/violations", "/api/v1/policies"];

/// A snapshot this much older than the poll interval means that the sampler is stuck.
const STUCK: Duration = Duration::from_mins(1);

/// What the pages need.
#[derive(Clone)]
pub struct Site {
    views: Views,
    owner: Requester,
    renderer: Arc<Renderer>,
    /// One rendering at a time. Held by the work, not by the request.
    rendering: Arc<Semaphore>,
    builders: Builders,
    telemetry_path: Arc<str>,
    tunables: watch::Receiver<Tunables>,
}

impl Site {
    /// Brings it together.
    ///
    /// # Errors
    ///
    /// When the table of families has a mistake.
    pub fn new(
        views: Views,
        owner: Requester,
        telemetry_path: &str,
        tunables: watch::Receiver<Tunables>,
    ) -> Result<Self, Error> {
        let renderer = Arc::new(Renderer::new(views.clone())?);
        let (rendering, builders) = (Arc::new(Semaphore::new(1)), Builders::default());
        Ok(Self { views, owner, renderer, rendering, builders, telemetry_path: telemetry_path.into(), tunables })
    }

    /// The newest exposition, of a snapshot that is fresh.
    ///
    /// # Errors
    ///
    /// When encoding or compressing fails.
    pub async fn exposition(&self) -> Result<Exposition, Error> {
        self.owner.refresh().await;
        let turn = Arc::clone(&self.rendering).acquire_owned().await;
        let renderer = Arc::clone(&self.renderer);
        let work = spawn_blocking(move || {
            let _turn = turn;
            renderer.render()
        });
        work.await?
    }

    /// The pages.
    pub fn router(self) -> Router {
        let baselines = baselines::router(self.views.clone(), self.owner.clone());
        Router::new()
            .route(&self.telemetry_path, get(metrics))
            .route("/", get(landing::page))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/api/v1/workloads", get(api::workloads))
            .route("/api/v1/violations", get(violations::violations))
            .with_state(self)
            .merge(baselines)
            .fallback(nothing_here)
    }
}

async fn nothing_here(uri: Uri) -> Response {
    let text = "there is no such page: / has links to those that there are";
    if uri.path().starts_with("/api/") {
        return failure(StatusCode::NOT_FOUND, text.to_owned());
    }
    (StatusCode::NOT_FOUND, format!("{text}\n")).into_response()
}

async fn metrics(Extract(site): Extract<Site>, headers: HeaderMap) -> Response {
    let exposition = match site.exposition().await {
        Ok(exposition) => exposition,
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let gzip = accepts_gzip(&headers);
    let mut response = Response::new(Body::from(if gzip { exposition.gzip } else { exposition.plain }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.filter_map(|parameter| parameter.strip_prefix("q=")).any(|q| q.parse() == Ok(0.0));
        is_gzip && !refused
    })
}

/// Whether the daemon works: its sampler still takes snapshots.
async fn healthz(Extract(site): Extract<Site>) -> (StatusCode, &'static str) {
    let age = site.views.newest().snapshot.taken.elapsed();
    if age <= site.tunables.borrow().poll_interval + STUCK {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no snapshot for too long\n")
    }
}

/// Whether there is something to scrape.
async fn readyz(Extract(site): Extract<Site>) -> (StatusCode, &'static str) {
    if site.views.newest().snapshot.number > 0 {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no snapshot yet\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("deflate, GZIP;q=0.5") && accepts("br,gzip"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("gzip; q=0.0") && !accepts("xgzip"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
