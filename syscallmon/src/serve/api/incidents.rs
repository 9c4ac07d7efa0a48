//! `/api/v1/incidents`: unexpected calls by process tree, the newest first.

use axum::{
    extract::{Query, State as Extract, rejection::QueryRejection},
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{
    answer_query,
    json::ListAnswer,
    query::{MatchError, Selection, Since},
};
use crate::{
    detect::{Incident, Severity},
    serve::Site,
    view::View,
};

/// Default and maximum number of incidents in an answer.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 5000;

/// The query. Without parameters, it selects all incidents.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct IncidentsQuery {
    /// Only of workloads that this selector matches, by all of their metadata.
    #[serde(rename = "match")]
    pub(in crate::serve) selector: Option<String>,
    /// Only of this severity.
    severity: Option<Severity>,
    /// Only incidents with a call at this time or later.
    since: Option<Since>,
    /// Maximum number; [`DEFAULT_LIMIT`] if absent.
    limit: Option<usize>,
}

impl IncidentsQuery {
    fn chooses(&self, incident: &Incident, selection: &Selection) -> bool {
        let Self { severity, since, .. } = self;
        severity.is_none_or(|severity| severity == incident.severity)
            && since.is_none_or(|Since(since)| incident.last_seen >= since)
            && selection.has(&incident.metadata)
    }
}

/// Fields of an answer besides the incidents.
#[derive(Serialize)]
struct IncidentsHead {
    /// Number of matches. As many of them follow as the limits permit.
    total: usize,
}

/// Serves the incidents.
pub(in crate::serve) async fn incidents(
    Extract(site): Extract<Site>,
    query: Result<Query<IncidentsQuery>, QueryRejection>,
) -> Response {
    answer_query(site, query, answer).await
}

fn answer(view: &View, query: &IncidentsQuery) -> Result<Response, MatchError> {
    let known = || view.incidents.iter().map(|incident| incident.metadata.clone()).collect();
    let selection = Selection::of(query.selector.as_deref(), known)?;
    let mut incidents = newest(view);
    incidents.retain(|incident| query.chooses(incident, &selection));
    let mut answer = ListAnswer::new(&IncidentsHead { total: incidents.len() }, "incidents");
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    // Entry by entry, until the answer is full.
    let _ = incidents.into_iter().take(limit).all(|incident| answer.push(incident));
    Ok(answer.finish())
}

/// Returns all kept incidents, the last seen first.
pub(in crate::serve) fn newest(view: &View) -> Vec<&Incident> {
    let mut incidents: Vec<&Incident> = view.incidents.iter().map(AsRef::as_ref).collect();
    incidents.sort_by_key(|incident| std::cmp::Reverse((incident.last_seen, incident.started)));
    incidents
}
