//! `/` and the pages below it: an explorer for people, in the browser.
//!
//! Pages are HTML that needs no script. They are made of the newest view, and cost nothing while nobody looks. The
//! script only saves reloads: it asks for the same pages, and changes what differs.

mod assets;
mod change;
mod frame;
mod incident;
mod incidents;
mod new_calls;
mod policies;
mod query;
mod spark;
#[cfg(test)]
mod tests;
mod text;
mod workload;
mod workloads;

use std::{io::Write as _, sync::Arc};

use askama::Template;
use axum::{
    Router,
    extract::{Request, State as Extract},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use flate2::{Compression, write::GzEncoder};

use self::{frame::Frame, query::ListQuery};
use super::{Site, exposition::accept};
use crate::{stable_id::StableId, view::View};

/// What a browser may do with a page. It has no inline style or script, and nothing from elsewhere.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src \
                              'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // `no-referrer` would make the origin of a form unknown.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// First parts of paths that pages have, so the metrics cannot have them.
pub(super) const TAKEN: [&str; 8] =
    ["workload", "new", "incidents", "incident", "violation", "policies", "baseline", "assets"];

/// Returns the routes.
pub(super) fn router() -> Router<Site> {
    Router::new()
        .route("/", get(workloads::page))
        .route("/workload/{id}", get(workload::page))
        .route("/new", get(new_calls::page))
        .route("/incidents", get(incidents::page))
        .route("/incident/{id}", get(incident::of_incident))
        .route("/violation/{id}", get(incident::of_violation))
        .route("/policies", get(policies::page))
        .route("/baseline/{id}", get(policies::baseline))
        .route("/baseline/{id}/{action}", post(change::change))
        .route("/assets/{name}", get(assets::asset))
        .layer(middleware::from_fn(protected))
}

/// Adds the headers that protect a page.
async fn protected(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A request for a page.
struct Asked {
    query: ListQuery,
    frame: Frame,
}

/// Answers with a page of the newest view, made outside of the async workers.
async fn answer<P: Template>(
    site: Site,
    (uri, headers): (Uri, HeaderMap),
    page: impl FnOnce(&View, Asked) -> Result<P, Missing> + Send + 'static,
) -> Response {
    let (view, telemetry_path) = (site.views.newest(), Arc::clone(&site.telemetry_path));
    let is_gzip = accept::gzip(&headers);
    let build = move || {
        let frame = Frame::new(&view, &telemetry_path, &uri, &headers);
        let (status, html) = match page(&view, Asked { query: ListQuery::of(&uri), frame }) {
            Ok(page) => (StatusCode::OK, page.render()),
            Err(missing) => {
                let frame = Frame::new(&view, &telemetry_path, &uri, &headers);
                (StatusCode::NOT_FOUND, MissingPage { frame, missing }.render())
            }
        };
        match html {
            Ok(html) => written(status, html, is_gzip),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        }
    };
    site.builders.build(build).await
}

/// Returns a page as a response. It is not kept, since it can have command lines.
fn written(status: StatusCode, html: String, is_gzip: bool) -> Response {
    let body = if is_gzip { compressed(&html) } else { html.into_bytes() };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn compressed(html: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(html.as_bytes()).and_then(|()| encoder.finish()).expect("writing to memory succeeds")
}

/// Something that a link names, and that is not there.
#[derive(Debug)]
struct Missing {
    what: &'static str,
    hint: &'static str,
    list: &'static str,
}

#[derive(Template)]
#[template(path = "explorer/missing.html")]
struct MissingPage {
    frame: Frame,
    missing: Missing,
}

/// Answers to a path without a page.
pub(super) async fn nothing_here(Extract(site): Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    let missing = || Missing { what: "There is no such page.", hint: "All pages are below", list: "/" };
    let mut response = answer(site, (uri, headers), move |_, _| Err::<MissingPage, _>(missing())).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns the only thing with an id.
fn find<T>(text: &str, all: impl Iterator<Item = T>, id_of: impl Fn(&T) -> StableId) -> Option<T> {
    let id: StableId = text.parse().ok()?;
    let mut found = all.filter(|thing| id_of(thing) == id);
    found.next().filter(|_| found.next().is_none())
}
