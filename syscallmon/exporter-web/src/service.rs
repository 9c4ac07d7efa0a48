//! One request: password, the router's answer within its time and memory, security headers.
//!
//! Called by `connection`, whose state it does not change. It adds the client's identity to the request, and the router
//! decides about permissions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Collected};
use hyper::body::{Body as _, Incoming};
use tower::ServiceExt as _;

use super::{
    auth::{Admission, Gate, user},
    client::{Addresses, Client},
    config::WebConfig,
    limits::Limits,
    memory::{AnswerMemory, PIECE},
    reload::WatchedConfig,
};

/// Kubernetes' probes cannot hold a password safely, and the pages say no more than "up".
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// The client of a request, for pages with restricted access: an extension of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whether the connection comes from a loopback address.
    pub is_local: bool,
    /// The user whose right password the request had; `None` without configured users.
    pub user: Option<Arc<str>>,
    /// Both ends of the connection, if it is one of TCP: the client's address and the server's.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// Answers requests of all connections.
pub(super) struct Service {
    source: Arc<WatchedConfig>,
    gate: Gate,
    memory: Arc<AnswerMemory>,
    router: Router,
    timeout: Duration,
}

impl Service {
    pub(super) fn new(source: Arc<WatchedConfig>, router: Router, limits: &Limits) -> Self {
        let memory = AnswerMemory::new(limits.answer_bytes);
        Self { source, gate: Gate::new(), memory, router, timeout: limits.request_timeout }
    }

    /// The response, whatever happens: 401, 405 and 503 are responses too.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        client: Client,
        addresses: Addresses,
    ) -> Response<Body> {
        let config = self.source.current().await;
        let (is_head, is_api) = (request.method() == Method::HEAD, request.uri().path().starts_with("/api/"));
        let answered = tokio::time::timeout(self.timeout, self.admit(&config, request, (client, addresses))).await;
        let response = answered.unwrap_or_else(|_| unavailable("the response took too long"));
        let mut response = explained(self.counted(response, client, is_head).await, is_api);
        for (name, value) in config.headers() {
            response.headers_mut().insert(name, value.clone());
        }
        if is_head {
            // With HTTP/2 hyper would send it, and clients take that for a broken connection.
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn admit(
        &self,
        config: &WebConfig,
        mut request: Request<Incoming>,
        (client, addresses): (Client, Addresses),
    ) -> Response<Body> {
        let open = OPEN_PATHS.contains(&request.uri().path());
        if !open {
            match self.gate.admits(config.users(), request.headers(), client).await {
                Admission::Granted => {}
                Admission::Missing => {
                    return unauthorized("requires a user and a password (HTTP basic authentication)");
                }
                Admission::Wrong => return unauthorized("the user or the password is wrong"),
                Admission::Busy => return unavailable("too many password checks in progress; try again in 1 s"),
            }
        }
        let user = (!open && !config.users().is_empty()).then(|| user(request.headers())).flatten();
        request.extensions_mut().insert(Caller { is_local: client.is_local(), user, addresses });
        self.route(request).await
    }

    /// Drops the request's body: no page reads one, and hyper closes a connection with an unread body.
    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, _body) = request.into_parts();
        let answered = self.router.clone().oneshot(Request::from_parts(head, Body::empty())).await;
        answered.unwrap_or_else(|never| match never {})
    }

    /// With a body that counts towards the memory of all answers; 503 if there is no room for it.
    async fn counted(&self, response: Response<Body>, client: Client, is_head: bool) -> Response<Body> {
        let is_small = response.body().size_hint().upper().is_some_and(|upper| upper <= PIECE as u64);
        if is_small || is_head {
            return response;
        }
        let (head, body) = response.into_parts();
        // Pages are made whole: nothing is waited for here.
        let Ok(content) = body.collect().await else { return unavailable("cannot create the response") };
        match self.memory.admit(client, content.to_bytes()) {
            Ok(body) => Response::from_parts(head, Body::new(body)),
            Err(_) => unavailable("too many large responses in progress; try again in 1 s"),
        }
    }
}

fn unauthorized(text: &str) -> Response<Body> {
    let mut response = status(StatusCode::UNAUTHORIZED, text);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    response
}

fn unavailable(text: &str) -> Response<Body> {
    let mut response = status(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn status(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = code;
    response
}

/// An error with a text for people, or for programs that use the API. Those of this module and of the router have none
/// of their own.
fn explained(response: Response<Body>, is_api: bool) -> Response<Body> {
    let code = response.status();
    let is_error = code.is_client_error() || code.is_server_error();
    if !is_error || response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // Of this module, or empty: a text that is there already.
    let given = body.collect().now_or_never().and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
    let given = String::from_utf8_lossy(&given);
    let reason = code.canonical_reason().unwrap_or_default();
    let text = match (given.is_empty(), code) {
        (false, _) => format!("{reason}: {given}"),
        (true, StatusCode::METHOD_NOT_ALLOWED) => {
            let allowed = head.headers.get(ALLOW).and_then(|methods| methods.to_str().ok()).unwrap_or_default();
            format!("{reason}: use {}", allowed.replace(',', " or "))
        }
        (true, _) => reason.to_owned(),
    };
    let (kind, text) = if is_api {
        ("application/json", error_json(&text))
    } else {
        ("text/plain; charset=utf-8", format!("{text}\n"))
    };
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Said here because an answer to HEAD loses its body before hyper can measure it.
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    Response::from_parts(head, Body::from(text))
}

/// The body of an error of the API.
pub(super) fn error_json(text: &str) -> String {
    serde_json::json!({"status": "error", "error": text}).to_string()
}
