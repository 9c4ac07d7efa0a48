//! Presentation: the pages of the HTTP server, and their content.
//!
//! Reads [`crate::view`], and asks the sampler for fresh counts. Does not use aya.

mod api;
mod explorer;
mod exposition;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State as Extract,
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use exporter_web::{Limits, Server};
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
};

#[cfg(test)]
pub(crate) use self::api::baselines::router as baseline_routes;
pub use self::exposition::families;
pub use self::{
    api::query::{Since, SinceError},
    exposition::renderer::{Error, Exposition, Renderer},
};
use self::{
    api::{builders::Builders, json::failure, query::check_parameters},
    exposition::{accept, encode::Format},
};
use crate::{
    blocking::{self, FILE_TIMEOUT, Work},
    engine::Tunables,
    view::{Requester, Views},
};

/// Interface for fuzz targets: requests of clients, without a socket.
#[cfg(fuzzing)]
pub mod fuzzing {
    use axum::body::Bytes;

    use super::{Renderer, exposition::encode::Format};
    pub use super::{api::local::refused as refusal, api::query::fuzzing::queries};

    /// Returns the newest exposition in Prometheus' text format and as `OpenMetrics`.
    #[must_use]
    pub fn expositions(renderer: &Renderer) -> [Bytes; 2] {
        [Format::Text, Format::OpenMetrics].map(|format| renderer.render(format).plain())
    }
}

/// Whether a path has another page than the metrics, so `--web.telemetry-path` cannot use it.
#[must_use]
pub fn is_taken(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    ["", "healthz", "readyz", "api"].contains(&first) || explorer::TAKEN.contains(&first)
}

/// If a snapshot is this much older than the poll interval, the sampler is stuck.
const STUCK: Duration = Duration::from_mins(1);

/// Loads the web configuration. Later checks of its files have a deadline, and count as [`Work::WebConfig`].
///
/// # Errors
///
/// As for [`Server::new`].
pub fn web_server(web_config: Option<PathBuf>, limits: Limits) -> Result<Server, exporter_web::Error> {
    let server = Server::new(web_config, limits)?;
    Ok(server.check_files_with(async |check| {
        let _ = blocking::run(Work::WebConfig, "web.config.file", FILE_TIMEOUT, check).await;
    }))
}

/// Data that the pages need.
#[derive(Clone)]
pub struct Site {
    views: Views,
    owner: Requester,
    renderer: Arc<Renderer>,
    /// Allows one rendering at a time. The rendering holds it, not the request.
    rendering: Arc<Semaphore>,
    builders: Builders,
    telemetry_path: Arc<str>,
    tunables: watch::Receiver<Tunables>,
}

impl Site {
    /// Builds it.
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

    /// Returns the exposition of a fresh snapshot in the text format.
    ///
    /// # Errors
    ///
    /// When rendering fails.
    pub async fn exposition(&self) -> Result<Bytes, Error> {
        self.rendered(Format::Text, Exposition::plain).await
    }

    /// Returns an encoding of the newest exposition. All concurrent requests share one rendering and one compression.
    async fn rendered(
        &self,
        format: Format,
        encode: impl FnOnce(&Exposition) -> Bytes + Send + 'static,
    ) -> Result<Bytes, Error> {
        self.owner.refresh().await;
        let turn = Arc::clone(&self.rendering).acquire_owned().await;
        let renderer = Arc::clone(&self.renderer);
        let work = spawn_blocking(move || {
            let _turn = turn;
            encode(&renderer.render(format))
        });
        Ok(work.await?)
    }

    /// Returns the pages.
    pub fn router(self) -> Router {
        let baselines = api::baselines::router(self.views.clone(), self.owner.clone());
        let api = api::routes().into_iter().fold(Router::new(), |api, (path, method)| api.route(path, method));
        let api = api.route_layer(middleware::from_fn(check_parameters)).with_state(self.clone()).merge(baselines);
        Router::new()
            .route(&self.telemetry_path, get(metrics))
            .merge(explorer::router())
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .fallback(nothing_here)
            .with_state(self)
            .merge(api)
    }
}

async fn nothing_here(site: Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    let is_api = uri.path().strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_api {
        return failure(StatusCode::NOT_FOUND, "page not found: /api/v1 lists all pages of the API".to_owned());
    }
    explorer::nothing_here(site, uri, headers).await
}

async fn metrics(Extract(site): Extract<Site>, headers: HeaderMap) -> Response {
    let (format, gzip) = (accept::format(&headers), accept::gzip(&headers));
    let encode = if gzip { Exposition::gzip } else { Exposition::plain };
    let body = match site.rendered(format, encode).await {
        Ok(body) => body,
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether the daemon works: its sampler still takes snapshots.
async fn healthz(Extract(site): Extract<Site>) -> (StatusCode, &'static str) {
    let age = site.views.newest().snapshot.taken.elapsed();
    if age <= site.tunables.borrow().poll_interval + STUCK {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the newest snapshot is too old\n")
    }
}

/// Whether there are metrics to scrape.
async fn readyz(Extract(site): Extract<Site>) -> (StatusCode, &'static str) {
    if site.views.newest().snapshot.number > 0 {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no snapshot yet\n")
    }
}
