//! One request: password, method, the router's answer within its time, security headers.
//!
//! Called by `connection`. Never touches the connection itself. Tells the router who asks, and lets it decide what they may.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_LENGTH, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceExt as _;

use super::auth::Gate;
use super::config::WebConfig;
use super::reload::Source;

/// Kubernetes' probes cannot hold a password safely, and the pages say no more than "up".
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Who sent a request, for pages that are not for everybody: an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whether the connection comes from a loopback address.
    pub is_local: bool,
    /// Whether the request had a right user and password; never, where none are configured.
    pub is_authenticated: bool,
}

/// Answers requests of all connections.
pub(super) struct Service {
    source: Arc<Source>,
    gate: Gate,
    router: Router,
    timeout: Duration,
}

impl Service {
    pub(super) fn new(source: Arc<Source>, router: Router, timeout: Duration) -> Self {
        Self { source, gate: Gate::new(), router, timeout }
    }

    /// The response, whatever happens: 401, 405 and 503 are responses too.
    pub(super) async fn answer(&self, request: Request<Incoming>, is_local: bool) -> Response<Body> {
        let config = self.source.current().await;
        let is_head = request.method() == Method::HEAD;
        let response = tokio::time::timeout(self.timeout, self.admit(&config, request, is_local)).await;
        let mut response = response.unwrap_or_else(|_| status(StatusCode::SERVICE_UNAVAILABLE));
        for (name, value) in config.headers() {
            response.headers_mut().insert(name, value.clone());
        }
        if is_head {
            // With HTTP/2 hyper would send it, and clients take that for a broken connection.
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn admit(&self, config: &WebConfig, mut request: Request<Incoming>, is_local: bool) -> Response<Body> {
        let open = OPEN_PATHS.contains(&request.uri().path());
        if !open && !self.gate.admits(config.users(), request.headers()).await {
            return with_header(status(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, "Basic");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) {
            return with_header(status(StatusCode::METHOD_NOT_ALLOWED), ALLOW, "GET, HEAD");
        }
        let is_authenticated = !open && !config.users().is_empty();
        request.extensions_mut().insert(Caller { is_local, is_authenticated });
        self.route(request).await
    }

    /// Without the request's body: no page reads one, and hyper closes a connection whose body was left unread.
    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, _body) = request.into_parts();
        let answered = self.router.clone().oneshot(Request::from_parts(head, Body::empty())).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

fn status(code: StatusCode) -> Response<Body> {
    let text = format!("{}\n", code.canonical_reason().unwrap_or_default());
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    // Said here because an answer to HEAD loses its body before hyper can measure it.
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

fn with_header(mut response: Response<Body>, name: HeaderName, value: &'static str) -> Response<Body> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
