//! The JSON API.

pub(super) mod baselines;
pub(super) mod builders;
pub(super) mod incidents;
pub(super) mod json;
pub(super) mod local;
pub(super) mod profile;
pub(super) mod query;
pub(super) mod violations;
pub(super) mod workloads;

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};

use self::{json::failure, query::MatchError};
use super::Site;
use crate::view::View;

/// Answers a query from a fresh view, outside of the async workers.
async fn answer_query<Q: Send + 'static>(
    site: Site,
    query: Result<Query<Q>, QueryRejection>,
    answer: fn(&View, &Q) -> Result<Response, MatchError>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return failure(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    site.owner.refresh().await;
    let view = site.views.newest();
    let build =
        move || answer(&view, &query).unwrap_or_else(|error| failure(StatusCode::BAD_REQUEST, error.to_string()));
    site.builders.build(build).await
}
