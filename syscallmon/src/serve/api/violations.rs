//! `/api/v1/violations` and `/api/v1/violations/<id>`: unexpected calls, the newest first.

use axum::{
    extract::{Path, Query, State as Extract, rejection::QueryRejection},
    response::Response,
};
use serde::Deserialize;

use super::{
    answer_query, answer_view, find,
    json::success,
    position::{Position, newest_page},
    query::{Limit, QueryError, Selection, Since},
};
use crate::{
    detect::{Severity, Violation},
    serve::Site,
    view::View,
};

/// The query. Without parameters, it selects all violations.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct ViolationsQuery {
    /// Only of workloads that this selector matches, by all of their metadata.
    #[serde(rename = "match")]
    pub(in crate::serve) selector: Option<String>,
    /// Only of this policy.
    policy: Option<String>,
    /// Only of this severity.
    severity: Option<Severity>,
    /// Only of this call.
    syscall: Option<String>,
    /// Only violations that were first seen at this time or later.
    first_seen_since: Option<Since>,
    /// Only violations that were last seen at this time or later.
    since: Option<Since>,
    /// Maximum number; 100 if absent.
    limit: Option<Limit>,
    /// Only what follows this entry.
    cursor: Option<Position>,
}

impl ViolationsQuery {
    fn chooses(&self, violation: &Violation, selection: &Selection) -> bool {
        let Self { policy, severity, syscall, first_seen_since, since, .. } = self;
        policy.as_ref().is_none_or(|policy| *policy == *violation.policy)
            && severity.is_none_or(|severity| severity == violation.severity)
            && syscall
                .as_ref()
                .is_none_or(|syscall| syscall == violation.call.syscall || syscall == violation.call.name())
            && first_seen_since.is_none_or(|Since(since)| violation.time >= since)
            && since.is_none_or(|Since(since)| violation.last_seen >= since)
            && selection.has(&violation.metadata)
    }
}

/// Serves the violations.
pub(in crate::serve) async fn violations(
    Extract(site): Extract<Site>,
    query: Result<Query<ViolationsQuery>, QueryRejection>,
) -> Response {
    answer_query(site, query, answer).await
}

/// Serves one violation.
pub(super) async fn violation(Extract(site): Extract<Site>, Path(id): Path<String>) -> Response {
    let answer = move |view: &View| {
        let found = find(&id, "/api/v1/violations", view.violations.kept.iter(), |violation| violation.id());
        found.map_or_else(|missing| *missing, success)
    };
    answer_view(site, answer).await
}

fn answer(view: &View, query: &ViolationsQuery) -> Result<Response, QueryError> {
    let known = || view.violations.kept.iter().map(|violation| violation.metadata.clone()).collect();
    let selection = Selection::of(query.selector.as_deref(), known)?;
    let chosen = view.violations.kept.iter().filter(|violation| query.chooses(violation, &selection));
    let placed = chosen.map(|violation| (Position::new(violation.last_seen, violation.id()), violation));
    Ok(newest_page("violations", placed, query.cursor, query.limit))
}
