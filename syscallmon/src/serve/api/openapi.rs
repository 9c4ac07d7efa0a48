//! `/api/v1` and `/api/v1/openapi.json`: what the API has, for people and for programs.
//!
//! `openapi.yaml` is the only list of paths and parameters: the index comes from it, and [`super::query`] refuses
//! parameters that it does not have. Tests compare it with the routes, the queries and real answers.

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

use super::json::success;

/// The description of the API for people.
const DOCUMENTATION: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/http-api.md");

/// The document.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value =
        serde_saphyr::from_str(include_str!("openapi.yaml")).expect("a test parses the same text");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document
});

/// The same as text.
static TEXT: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&*DOCUMENT).expect("JSON values are serialized").into());

#[derive(Serialize)]
struct Index {
    version: &'static str,
    openapi: &'static str,
    documentation: &'static str,
    /// Sorted by path.
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Endpoint {
    method: String,
    path: &'static str,
    summary: &'static str,
}

/// Serves the index.
pub(super) async fn index() -> Response {
    success(Index {
        version: env!("CARGO_PKG_VERSION"),
        openapi: "/api/v1/openapi.json",
        documentation: DOCUMENTATION,
        endpoints: operations().map(|(path, method, operation)| Endpoint::new(path, method, operation)).collect(),
    })
}

/// Serves the document.
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], TEXT.clone()).into_response()
}

impl Endpoint {
    fn new(path: &'static str, method: &str, operation: &'static Value) -> Self {
        Self { method: method.to_uppercase(), path, summary: operation["summary"].as_str().unwrap_or_default() }
    }
}

/// Returns path, method and description of each operation.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten().filter(|(method, _)| *method != "parameters");
        operations.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Returns the names of the parameters in the query of a path, as the router has it.
pub(super) fn parameters(path: &str) -> Vec<&'static str> {
    let parameters = DOCUMENT["paths"][path]["get"]["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| {
        let component = parameter["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
        component.and_then(|path| DOCUMENT.pointer(path)).unwrap_or(parameter)
    });
    parameters
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str())
        .collect()
}
