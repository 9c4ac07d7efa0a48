//! The JSON API. Its description for programs is `openapi.yaml`, from which `/api/v1` and the names of parameters come.

mod audit;
pub(super) mod baseline_action;
pub(super) mod baselines;
pub(super) mod builders;
mod calls;
pub(super) mod incidents;
pub(super) mod json;
pub(super) mod local;
mod openapi;
mod position;
mod profile;
pub(super) mod query;
#[cfg(test)]
mod tests;
pub(super) mod violations;
pub(super) mod workloads;

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
    routing::{MethodRouter, get},
};

use self::{
    json::failure,
    query::{QueryError, parsed},
};
use super::Site;
use crate::{stable_id::StableId, view::View};

/// Returns the paths that need a [`Site`]. [`baselines::router`] has the others.
pub(super) fn routes() -> [(&'static str, MethodRouter<Site>); 10] {
    [
        ("/api/v1", get(openapi::index)),
        ("/api/v1/openapi.json", get(openapi::document)),
        ("/api/v1/workloads", get(workloads::workloads)),
        ("/api/v1/workloads/{id}", get(workloads::workload)),
        ("/api/v1/calls", get(calls::calls)),
        ("/api/v1/incidents", get(incidents::incidents)),
        ("/api/v1/incidents/{id}", get(incidents::incident)),
        ("/api/v1/violations", get(violations::violations)),
        ("/api/v1/violations/{id}", get(violations::violation)),
        ("/api/v1/profile", get(profile::profile)),
    ]
}

/// Answers a query from a fresh view, outside of the async workers.
async fn answer_query<Q: serde::de::DeserializeOwned + Send + 'static>(
    site: Site,
    query: Result<Query<Q>, QueryRejection>,
    answer: fn(&View, &Q) -> Result<Response, QueryError>,
) -> Response {
    match parsed(query) {
        Ok(query) => {
            let answer = move |view: &View| {
                answer(view, &query).unwrap_or_else(|error| failure(error.status(), error.to_string()))
            };
            answer_view(site, answer).await
        }
        Err(refusal) => *refusal,
    }
}

/// Answers from a fresh view, outside of the async workers.
async fn answer_view(site: Site, answer: impl FnOnce(&View) -> Response + Send + 'static) -> Response {
    site.owner.refresh().await;
    let view = site.views.newest();
    site.builders.build(move || answer(&view)).await
}

/// Returns the only thing with an id, or an answer that says what to do. `list` is the path that lists all of them.
fn find<T>(
    text: &str,
    list: &str,
    all: impl Iterator<Item = T>,
    id_of: impl Fn(&T) -> StableId,
) -> Result<T, Box<Response>> {
    let missing = |why: String| Box::new(failure(StatusCode::NOT_FOUND, format!("{why}: {list} lists all")));
    let id: StableId = text.parse().map_err(|error| missing(format!("{error}")))?;
    let mut found = all.filter(|thing| id_of(thing) == id);
    match (found.next(), found.next()) {
        (None, _) => Err(missing(format!("nothing has the id {id}"))),
        (Some(thing), None) => Ok(thing),
        (Some(_), Some(_)) => {
            let text = format!("the id {id} is ambiguous: {list} lists all with their labels");
            Err(Box::new(failure(StatusCode::CONFLICT, text)))
        }
    }
}
