//! `/api/v1/incidents` and `/api/v1/incidents/<id>`: unexpected calls by process tree, the newest first.

use std::cmp::Reverse;

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
    detect::{Incident, Severity},
    serve::Site,
    view::View,
};

/// The query. Without parameters, it selects all incidents.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct IncidentsQuery {
    /// Only of workloads that this selector matches, by all of their metadata.
    #[serde(rename = "match")]
    pub(in crate::serve) selector: Option<String>,
    /// Only of this severity.
    severity: Option<Severity>,
    /// Only incidents that began at this time or later.
    first_seen_since: Option<Since>,
    /// Only incidents with a call at this time or later.
    since: Option<Since>,
    /// Maximum number; 100 if absent.
    limit: Option<Limit>,
    /// Only what follows this entry.
    cursor: Option<Position>,
}

impl IncidentsQuery {
    fn chooses(&self, incident: &Incident, selection: &Selection) -> bool {
        let Self { severity, first_seen_since, since, .. } = self;
        severity.is_none_or(|severity| severity == incident.severity)
            && first_seen_since.is_none_or(|Since(since)| incident.started >= since)
            && since.is_none_or(|Since(since)| incident.last_seen >= since)
            && selection.has(&incident.metadata)
    }
}

/// Serves the incidents.
pub(in crate::serve) async fn incidents(
    Extract(site): Extract<Site>,
    query: Result<Query<IncidentsQuery>, QueryRejection>,
) -> Response {
    answer_query(site, query, answer).await
}

/// Serves one incident.
pub(super) async fn incident(Extract(site): Extract<Site>, Path(id): Path<String>) -> Response {
    let answer = move |view: &View| {
        let found = find(&id, "/api/v1/incidents", view.incidents.iter(), |incident| incident.id);
        found.map_or_else(|missing| *missing, success)
    };
    answer_view(site, answer).await
}

fn answer(view: &View, query: &IncidentsQuery) -> Result<Response, QueryError> {
    let known = || view.incidents.iter().map(|incident| incident.metadata.clone()).collect();
    let selection = Selection::of(query.selector.as_deref(), known)?;
    let chosen = view.incidents.iter().filter(|incident| query.chooses(incident, &selection));
    let placed = chosen.map(|incident| (Position::new(incident.last_seen, incident.id), incident));
    Ok(newest_page("incidents", placed, query.cursor, query.limit))
}

/// Returns all kept incidents, the last seen first.
pub(in crate::serve) fn newest(view: &View) -> Vec<&Incident> {
    let mut incidents: Vec<&Incident> = view.incidents.iter().map(AsRef::as_ref).collect();
    incidents.sort_by_key(|incident| Reverse((incident.last_seen, incident.started)));
    incidents
}
