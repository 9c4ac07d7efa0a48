//! `/new`: which calls and workloads are new since yesterday, or since another time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

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
    text::{Moment, Name, span, thousands},
    workload::program,
    workloads::about,
};
use crate::{
    model::Totals,
    serve::Site,
    stable_id::StableId,
    syscalls::{Call, CallId},
    view::{RecordedFirstCall, View},
    workload::Workload,
};

/// Calls in this time after a workload began, or after counting began, are those of its start.
const START: Duration = Duration::from_mins(5);

/// Maximum new workloads that are listed.
const NEW_WORKLOADS: usize = 50;

/// Choices of the form.
const SINCE: [(&str, &str); 5] =
    [("15m", "15 minutes"), ("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"), ("366d", "all time")];

#[derive(Template)]
#[template(path = "explorer/new.html")]
pub(super) struct NewPage {
    frame: Frame,
    query: ListQuery,
    since: Vec<(&'static str, &'static str, bool)>,
    /// When counting began, if that is within the time.
    began: Option<Moment>,
    start: String,
    pages: Pages,
    rows: Vec<Row>,
    /// Calls that are left out, since they belong to the start of their workload.
    left_out: Option<String>,
    workloads: Vec<WorkloadLine>,
    more_workloads: usize,
}

struct Row {
    id: StableId,
    workload: Name,
    call: &'static str,
    abi: Option<&'static str>,
    calls: String,
    first: Moment,
    process: Option<Name>,
    is_start: bool,
}

/// A workload that is new itself.
struct WorkloadLine {
    id: StableId,
    name: Name,
    about: Option<Name>,
    began: Moment,
    is_gone: bool,
    calls: usize,
}

/// A call that is new.
struct Found<'a> {
    workload: &'a Workload,
    call: CallId,
    calls: u64,
    first: Instant,
    is_start: bool,
}

/// Serves the page.
pub(super) async fn page(Extract(site): Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    answer(site, (uri, headers), |view, asked| Ok(NewPage::new(view, asked))).await
}

impl NewPage {
    fn new(view: &View, Asked { query, frame }: Asked) -> Self {
        let since = query.since();
        let from = now(view).checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH);
        let (mut found, mut workloads) = (Vec::new(), Vec::new());
        let has = query.filter();
        // Not those that stand for several.
        for (workload, totals) in view.model.workloads().filter(|(workload, _)| workload.is_one()) {
            let text = workload.to_string();
            let about = about(totals).unwrap_or_default();
            add_calls(view, (workload, totals), from, |call| has(&[&text, about, call.syscall, call.abi]), &mut found);
            if let Some(began) = totals.created().filter(|&began| view.facts.time_of(Some(began)) >= from)
                && has(&[&text, about])
            {
                workloads.push((began, workload, totals));
            }
        }
        let of_start = found.iter().filter(|found| found.is_start).count();
        found.retain(|found| query.all || !found.is_start);
        found.sort_by_key(|found| (std::cmp::Reverse(found.first), found.workload, found.call));
        let pages = query.page("/new", &mut found);
        workloads.sort_by_key(|&(began, workload, _)| (std::cmp::Reverse(began), workload));
        let processes = Processes::of(view);
        let counting = view.facts.started.1;
        Self {
            since: SINCE.map(|(value, text)| (value, text, parsed(value) == since)).to_vec(),
            began: (counting >= from).then(|| Moment::new(counting, now(view))),
            start: span(START),
            pages,
            rows: found.iter().map(|found| found.row(view, &processes)).collect(),
            left_out: (of_start > 0 && !query.all).then(|| thousands(of_start as u64)),
            more_workloads: workloads.len().saturating_sub(NEW_WORKLOADS),
            workloads: workloads.iter().take(NEW_WORKLOADS).map(|new| WorkloadLine::new(view, *new)).collect(),
            frame,
            query,
        }
    }

    /// Returns the link that shows what is left out.
    fn all_link(&self) -> String {
        self.query.with_all().link("/new")
    }
}

fn parsed(since: &str) -> Duration {
    humantime::parse_duration(since).unwrap_or_default()
}

/// Adds the calls of a workload that were first seen since a time.
fn add_calls<'a>(
    view: &View,
    (workload, totals): (&'a Workload, &'a Totals),
    from: SystemTime,
    is_chosen: impl Fn(Call) -> bool,
    found: &mut Vec<Found<'a>>,
) {
    let began = totals.created().unwrap_or(view.facts.started.0);
    for (call, &calls) in totals.counts.calls.iter() {
        let Some((first, _)) = view.model.seen(totals, call) else { continue };
        if view.facts.time_of(Some(first)) >= from && is_chosen(view.facts.calls.call(call)) {
            let is_start = first.saturating_duration_since(began) < START;
            found.push(Found { workload, call, calls, first, is_start });
        }
    }
}

/// The process of each kept first call.
struct Processes<'a>(HashMap<(&'a Workload, &'static str, &'static str), &'a RecordedFirstCall>);

impl<'a> Processes<'a> {
    fn of(view: &'a View) -> Self {
        // The newest comes first, so the earliest call stays.
        Self(view.first_calls.iter().map(|first| ((&first.workload, first.abi, first.syscall), &**first)).collect())
    }
}

impl Found<'_> {
    fn row(&self, view: &View, Processes(processes): &Processes) -> Row {
        let call = view.facts.calls.call(self.call);
        let first = processes.get(&(self.workload, call.abi, call.syscall));
        Row {
            id: self.workload.id(),
            workload: Name::short(&self.workload.to_string()),
            call: call.syscall,
            abi: (!call.is_native()).then_some(call.abi),
            calls: thousands(self.calls),
            first: Moment::new(view.facts.time_of(Some(self.first)), now(view)),
            process: first.map(|first| Name::short(&program(&first.process))),
            is_start: self.is_start,
        }
    }
}

impl WorkloadLine {
    fn new(view: &View, (began, workload, totals): (Instant, &Workload, &Arc<Totals>)) -> Self {
        Self {
            id: workload.id(),
            name: Name::short(&workload.to_string()),
            about: about(totals).map(Name::short),
            began: Moment::new(view.facts.time_of(Some(began)), now(view)),
            is_gone: totals.is_gone(),
            calls: totals.counts.calls.iter().count(),
        }
    }
}
