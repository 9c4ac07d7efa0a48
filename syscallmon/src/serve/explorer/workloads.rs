//! `/`: all workloads, with their rates.

use std::{cmp::Ordering, collections::HashMap};

use askama::Template;
use axum::{
    extract::State as Extract,
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{
    Asked, answer,
    frame::{Frame, now},
    incidents,
    query::{Column, Heading, ListQuery, Pages},
    spark::Spark,
    text::{Moment, Name, rate, thousands},
};
use crate::{
    detect::{Incident, Severity, Violation, call_text},
    model::Totals,
    process::printable,
    serve::Site,
    stable_id::StableId,
    view::{Rate, Sums, View},
    workload::{Label, Workload},
};

/// Incidents above the table.
const INCIDENTS: usize = 3;

/// Calls of an incident that are named.
const CALLS: usize = 5;

const COLUMNS: [Column; 8] = [
    Column { key: "name", label: "Workload", is_number: false, width: 0 },
    Column { key: "rate", label: "Calls/s", is_number: true, width: 0 },
    Column { key: "errors", label: "Errors/s", is_number: true, width: 1 },
    Column { key: "denied", label: "Denied/s", is_number: true, width: 1 },
    Column { key: "calls", label: "Calls", is_number: true, width: 2 },
    Column { key: "all-errors", label: "Errors", is_number: true, width: 2 },
    Column { key: "all-denied", label: "Denied", is_number: true, width: 2 },
    Column { key: "flagged", label: "Incidents", is_number: true, width: 0 },
];

#[derive(Template)]
#[template(path = "explorer/workloads.html")]
pub(super) struct WorkloadsPage {
    frame: Frame,
    query: ListQuery,
    headings: Vec<Heading>,
    pages: Pages,
    rows: Vec<Row>,
    incidents: Vec<IncidentLine>,
    /// The worst severity of the incidents that the search finds.
    worst: Option<Severity>,
    /// Incidents that are not above the table.
    more_incidents: usize,
}

/// A workload of the list.
struct Row {
    id: StableId,
    name: Name,
    /// Its image or owner.
    about: Option<Name>,
    is_gone: bool,
    rates: Option<[String; 3]>,
    spark: Spark,
    totals: [String; 3],
    flagged: Option<Flagged>,
}

/// The incidents of a workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flagged {
    pub(super) number: u64,
    pub(super) worst: Severity,
}

/// An incident in one line.
pub(super) struct IncidentLine {
    pub(super) id: StableId,
    pub(super) severity: Severity,
    /// `sh (child of nginx) made an unexpected call: mount (critical)`.
    pub(super) sentence: Name,
    pub(super) workload: Name,
    pub(super) seen: Moment,
}

/// A workload before it is a row.
struct Candidate<'a> {
    workload: &'a Workload,
    totals: &'a Totals,
    id: StableId,
    text: String,
    sums: Sums,
    rate: Option<Rate>,
    flagged: Option<Flagged>,
}

/// Serves the page.
pub(super) async fn page(Extract(site): Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    answer(site, (uri, headers), |view, asked| Ok(WorkloadsPage::new(view, asked))).await
}

impl WorkloadsPage {
    fn new(view: &View, Asked { query, frame }: Asked) -> Self {
        let flagged = flagged(view);
        let has = query.filter();
        let texts = |candidate: &Candidate| query.texts_of(candidate.workload, &candidate.totals.metadata);
        let mut chosen: Vec<Candidate> = view
            .model
            .workloads()
            .map(|(workload, totals)| Candidate::new(view, workload, totals, &flagged))
            .filter(|candidate| has(&texts(candidate).iter().map(String::as_str).collect::<Vec<_>>()))
            .collect();
        let (key, is_descending) = query.order(&COLUMNS);
        chosen.sort_by(|left, right| {
            let order = left.compare(right, key);
            let order = if is_descending { order.reverse() } else { order };
            order.then_with(|| left.text.cmp(&right.text)).then_with(|| left.id.cmp(&right.id))
        });
        let pages = query.page("/", &mut chosen);
        let mut found = incidents::found(view, &query);
        // The newest of the worst.
        found.sort_by_key(|incident| std::cmp::Reverse(incident.severity));
        let shown = found.iter().take(INCIDENTS);
        Self {
            headings: query.headings("/", &COLUMNS),
            pages,
            rows: chosen.iter().map(|candidate| candidate.row(view)).collect(),
            worst: found.first().map(|incident| incident.severity),
            incidents: shown.map(|incident| IncidentLine::new(view, incident)).collect(),
            more_incidents: view.incidents.len() - found.len().min(INCIDENTS),
            frame,
            query,
        }
    }
}

impl IncidentLine {
    pub(super) fn new(view: &View, incident: &Incident) -> Self {
        Self {
            id: incident.id,
            severity: incident.severity,
            sentence: sentence(incident),
            workload: Name::short(&incident.workload.to_string()),
            seen: Moment::new(incident.last_seen, now(view)),
        }
    }
}

/// Returns the names of the worst calls, of so many different ones.
pub(super) fn calls_in_short<'a>(calls: impl Iterator<Item = &'a Violation>, all: u64) -> String {
    let mut names: Vec<String> = calls.take(CALLS).map(call_text).collect();
    let more = all.saturating_sub(names.len() as u64);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Returns the sentence about an incident without its workload, which pages show beside it.
pub(super) fn sentence(incident: &Incident) -> Name {
    let message = incident.message();
    let workload = printable(&incident.workload.to_string());
    let rest = message.strip_prefix(&workload).and_then(|rest| rest.strip_prefix(": "));
    Name::sentence(rest.unwrap_or(&message))
}

/// Returns the incidents of each workload.
fn flagged(view: &View) -> HashMap<&Workload, Flagged> {
    let mut flagged: HashMap<&Workload, Flagged> = HashMap::new();
    for incident in &view.incidents {
        let known = flagged.entry(&incident.workload).or_insert(Flagged { number: 0, worst: incident.severity });
        known.number += 1;
        known.worst = known.worst.max(incident.severity);
    }
    flagged
}

/// Returns what tells a reader most about a workload besides its name.
pub(super) fn about(totals: &Totals) -> Option<&str> {
    let get = |label| totals.metadata.get(label).map(AsRef::<str>::as_ref);
    get(Label::Image).or_else(|| get(Label::Owner))
}

impl<'a> Candidate<'a> {
    fn new(view: &View, workload: &'a Workload, totals: &'a Totals, flagged: &HashMap<&Workload, Flagged>) -> Self {
        let id = workload.id();
        Self {
            workload,
            totals,
            id,
            text: workload.to_string(),
            sums: Sums::of(totals, &view.facts.calls),
            rate: view.rates.of(id).last().copied(),
            flagged: flagged.get(workload).copied(),
        }
    }

    fn compare(&self, other: &Self, key: &str) -> Ordering {
        let rate = |of: fn(Rate) -> f32| {
            let of = |rate: Option<Rate>| rate.map_or(0.0, of);
            of(self.rate).total_cmp(&of(other.rate))
        };
        let sum = |of: fn(Sums) -> u64| of(self.sums).cmp(&of(other.sums));
        match key {
            "name" => self.text.cmp(&other.text),
            "errors" => rate(|rate| rate.errors),
            "denied" => rate(|rate| rate.denied),
            "calls" => sum(|sums| sums.calls),
            "all-errors" => sum(|sums| sums.errors),
            "all-denied" => sum(|sums| sums.denied),
            "flagged" => {
                let rank = |flagged: Option<Flagged>| flagged.map(|flagged| (flagged.worst, flagged.number));
                rank(self.flagged).cmp(&rank(other.flagged))
            }
            // In the first seconds there are no rates.
            _ => rate(|rate| rate.calls).then_with(|| sum(|sums| sums.calls)),
        }
    }

    fn row(&self, view: &View) -> Row {
        let Sums { calls, errors, denied, .. } = self.sums;
        Row {
            id: self.id,
            name: Name::short(&self.text),
            about: about(self.totals).map(Name::short),
            is_gone: self.totals.is_gone(),
            rates: self.rate.map(|Rate { calls, errors, denied }| [calls, errors, denied].map(rate)),
            spark: Spark::small(view.rates.of(self.id).iter().map(|rate| rate.calls)),
            totals: [calls, errors, denied].map(thousands),
            flagged: self.flagged.filter(|_| self.workload.is_judged()),
        }
    }
}
