//! `/incidents`: unexpected calls by process tree, the last seen first.

use askama::Template;
use axum::{
    extract::State as Extract,
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{
    Asked, answer,
    frame::{Frame, now},
    query::{ListQuery, Pages},
    text::{Moment, Name, thousands},
    workloads::sentence,
};
use crate::{
    detect::{Incident, IncidentState, Severity},
    serve::{Site, api::incidents::newest},
    stable_id::StableId,
    view::View,
};

#[derive(Template)]
#[template(path = "explorer/incidents.html")]
pub(super) struct IncidentsPage {
    frame: Frame,
    query: ListQuery,
    pages: Pages,
    rows: Vec<Row>,
    policies: usize,
}

struct Row {
    id: StableId,
    severity: Severity,
    is_resolved: bool,
    workload: Name,
    workload_id: StableId,
    sentence: Name,
    count: String,
    seen: Moment,
}

/// Serves the page.
pub(super) async fn page(Extract(site): Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    answer(site, (uri, headers), |view, asked| Ok(IncidentsPage::new(view, asked))).await
}

/// Returns the incidents that a search finds, the last seen first.
pub(super) fn found<'a>(view: &'a View, query: &ListQuery) -> Vec<&'a Incident> {
    let has = query.filter();
    let is_found = |incident: &&Incident| {
        let (message, texts) = (incident.message(), query.texts_of(&incident.workload, &incident.metadata));
        let calls = incident.calls.iter().map(|call| call.call.syscall);
        let texts = texts.iter().map(String::as_str).chain([message.as_str(), incident.severity.name()]).chain(calls);
        has(&texts.collect::<Vec<_>>())
    };
    newest(view).into_iter().filter(is_found).collect()
}

impl IncidentsPage {
    fn new(view: &View, Asked { query, frame }: Asked) -> Self {
        let mut chosen = found(view, &query);
        let pages = query.page("/incidents", &mut chosen);
        let rows = chosen.iter().map(|incident| Row::new(view, incident)).collect();
        Self { pages, rows, policies: view.policies.iter().len(), frame, query }
    }
}

impl Row {
    fn new(view: &View, incident: &Incident) -> Self {
        Self {
            id: incident.id,
            severity: incident.severity,
            is_resolved: incident.state == IncidentState::Resolved,
            workload: Name::short(&incident.workload.to_string()),
            workload_id: incident.workload.id(),
            sentence: sentence(incident),
            count: thousands(incident.count),
            seen: Moment::new(incident.last_seen, now(view)),
        }
    }
}
