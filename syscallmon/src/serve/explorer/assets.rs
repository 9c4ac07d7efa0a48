//! The files of the pages: style, script and icon, which are in the binary.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};

use crate::stable_id::StableId;

/// A file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

static ASSETS: [Asset; 3] = [
    Asset {
        name: "explorer.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../../../assets/explorer.css"),
    },
    Asset {
        name: "explorer.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../../assets/explorer.js"),
    },
    Asset { name: "icon.svg", media_type: "image/svg+xml", text: include_str!("../../../assets/icon.svg") },
];

/// The version of the files, in the URLs of the pages: a browser keeps them until it changes.
pub(super) static VERSION: LazyLock<String> =
    LazyLock::new(|| StableId::of("assets", ASSETS.iter().map(|asset| asset.text)).to_string());

/// Serves a file.
pub(super) async fn asset(Path(name): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let etag = format!("\"{}\"", *VERSION);
    let is_current = uri.query().and_then(|query| query.strip_prefix("v=")) == Some(VERSION.as_str());
    let caching = if is_current { "private, max-age=31536000, immutable" } else { "no-cache" };
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { asset.text.into_response() };
    let all = [(CACHE_CONTROL, caching), (CONTENT_TYPE, asset.media_type), (ETAG, &etag)];
    for (name, value) in all {
        response.headers_mut().insert(name, HeaderValue::from_str(value).expect("plain text is a value"));
    }
    response
}
