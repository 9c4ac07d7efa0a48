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
    workloads::{calls_in_short, program_in_short},
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
    calls: String,
    count: String,
    program: Option<Name>,
    seen: Moment,
}

/// Serves the page.
pub(super) async fn page(Extract(site): Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    answer(site, (uri, headers), |view, asked| Ok(IncidentsPage::new(view, asked))).await
}

impl IncidentsPage {
    fn new(view: &View, Asked { query, frame }: Asked) -> Self {
        let has = query.filter();
        let is_chosen = |incident: &&Incident| {
            let (workload, message) = (incident.workload.to_string(), incident.message());
            let calls = incident.calls.iter().map(|call| call.call.syscall);
            has(&[&[&*workload, &message, incident.severity.name()][..], &calls.collect::<Vec<_>>()].concat())
        };
        let mut chosen: Vec<&Incident> = newest(view).into_iter().filter(is_chosen).collect();
        let pages = query.page("/incidents", &mut chosen);
        let rows = chosen.iter().map(|incident| Row::new(view, incident)).collect();
        Self { pages, rows, policies: view.policies.iter().len(), frame, query }
    }
}

impl Row {
    fn new(view: &View, incident: &Incident) -> Self {
        let calls = incident.calls.iter().map(AsRef::as_ref);
        Self {
            id: incident.id,
            severity: incident.severity,
            is_resolved: incident.state == IncidentState::Resolved,
            workload: Name::short(&incident.workload.to_string()),
            workload_id: incident.workload.id(),
            calls: calls_in_short(calls, incident.number_of_calls()),
            count: thousands(incident.count),
            program: incident.process.as_ref().map(program_in_short),
            seen: Moment::new(incident.last_seen, now(view)),
        }
    }
}
