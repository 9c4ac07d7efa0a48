//! `/new`: which calls and workloads are new since yesterday, or since another time.

use std::{
    collections::{BTreeMap, HashMap},
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
    text::{Moment, Name, counted, in_words, span, thousands},
    workload::program,
    workloads::about,
};
use crate::{
    detect::{Severity, Violation},
    model::Totals,
    serve::Site,
    stable_id::StableId,
    syscalls::Call,
    view::{RecordedFirstCall, START, View},
    workload::{Labels, Workload},
};

/// Maximum new workloads that are listed.
const NEW_WORKLOADS: usize = 50;

/// Choices of the form.
const SINCE: [(&str, &str); 7] = [
    ("5m", "5 minutes"),
    ("10m", "10 minutes"),
    ("15m", "15 minutes"),
    ("1h", "1 hour"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("366d", "all time"),
];

#[derive(Template)]
#[template(path = "explorer/new.html")]
pub(super) struct NewPage {
    frame: Frame,
    query: ListQuery,
    since: Vec<(String, String, bool)>,
    /// A time that is not a duration, and the time in its place.
    unreadable: Option<(Name, String)>,
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
    /// Absent if the workload has no page any more.
    id: Option<StableId>,
    workload: Name,
    call: &'static str,
    abi: Option<&'static str>,
    calls: String,
    first: Moment,
    process: Option<Name>,
    is_start: bool,
    is_denied: bool,
    unexpected: Option<(StableId, Severity)>,
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
    is_workload_there: bool,
    call: Call,
    calls: u64,
    first: SystemTime,
    is_start: bool,
    /// Its worst violation.
    violation: Option<&'a Violation>,
}

/// The worst violation of each call of a workload. A class of arguments is a call of its own.
type Unexpected<'a> = BTreeMap<Call, &'a Violation>;

/// A search in one workload: the words that its name and labels do not have.
struct Search(Vec<String>);

/// Serves the page.
pub(super) async fn page(Extract(site): Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    answer(site, (uri, headers), |view, asked| Ok(NewPage::new(view, asked))).await
}

impl NewPage {
    fn new(view: &View, Asked { query, frame }: Asked) -> Self {
        let from = now(view).checked_sub(query.since()).unwrap_or(SystemTime::UNIX_EPOCH);
        let (mut found, mut workloads) = (Vec::new(), Vec::new());
        let mut violations = violations(view);
        for (workload, totals) in view.model.workloads() {
            let search = Search::new(&query, workload, &totals.metadata);
            let mut unexpected = violations.remove(workload).unwrap_or_default();
            // Not those that stand for several.
            if workload.is_one() {
                add_calls(view, (workload, totals), from, (&search, &mut unexpected), &mut found);
                if let Some(began) = totals.created().filter(|&began| view.facts.time_of(Some(began)) >= from)
                    && search.finds_workload()
                {
                    workloads.push((began, workload, totals));
                }
            }
            add_violations(unexpected, from, (&search, true), &mut found);
        }
        for unexpected in violations.into_values() {
            if let Some(violation) = unexpected.values().next() {
                let search = Search::new(&query, &violation.workload, &violation.metadata);
                add_violations(unexpected, from, (&search, false), &mut found);
            }
        }
        let of_start = found.iter().filter(|found| found.is_left_out()).count();
        found.retain(|found| query.all || !found.is_left_out());
        found.sort_by_key(|found| (std::cmp::Reverse(found.first), found.workload, found.call));
        let pages = query.page("/new", &mut found);
        workloads.sort_by_key(|&(began, workload, _)| (std::cmp::Reverse(began), workload));
        let processes = Processes::of(view);
        let counting = view.facts.started.1;
        Self {
            since: choices(&query),
            unreadable: query.unreadable_since().map(|since| (Name::short(since), in_words(query.since()))),
            began: (counting >= from).then(|| Moment::new(counting, now(view))),
            start: span(START),
            pages,
            rows: found.iter().map(|found| found.row(view, &processes)).collect(),
            left_out: (of_start > 0 && !query.all).then(|| counted(of_start as u64, "call", "calls")),
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

/// Returns the choices of the form: value, text, and whether it is chosen. A time of the query that is not among them
/// is one more.
fn choices(query: &ListQuery) -> Vec<(String, String, bool)> {
    let since = query.since();
    let mut choices: Vec<(Duration, String, String)> =
        SINCE.iter().map(|(value, text)| (parsed(value), (*value).to_owned(), (*text).to_owned())).collect();
    let at = choices.partition_point(|(duration, ..)| *duration < since);
    if let Some(given) = query.given_since()
        && choices.get(at).is_none_or(|(duration, ..)| *duration != since)
    {
        choices.insert(at, (since, given.to_owned(), in_words(since)));
    }
    choices.into_iter().map(|(duration, value, text)| (value, text, duration == since)).collect()
}

fn parsed(since: &str) -> Duration {
    humantime::parse_duration(since).unwrap_or_default()
}

/// Returns the worst violation of each call of each workload.
fn violations(view: &View) -> HashMap<&Workload, Unexpected<'_>> {
    let mut worst: HashMap<&Workload, Unexpected> = HashMap::new();
    let order = |violation: &Violation| (violation.severity, violation.class().rank(), violation.last_seen);
    for violation in &view.violations.kept {
        let known = worst.entry(&violation.workload).or_default().entry(violation.call).or_insert(violation);
        if order(known) < order(violation) {
            *known = violation;
        }
    }
    worst
}

impl Search {
    fn new(query: &ListQuery, workload: &Workload, metadata: &Labels) -> Self {
        let texts: Vec<String> = query.texts_of(workload, metadata).iter().map(|text| text.to_lowercase()).collect();
        let mut words = query.words();
        words.retain(|word| !texts.iter().any(|text| text.contains(word.as_str())));
        Self(words)
    }

    /// Whether it finds the workload alone.
    fn finds_workload(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it finds a call. A violation is found as `unexpected`, and by its severity.
    fn finds(&self, call: Call, violation: Option<&Violation>) -> bool {
        let mark = violation.map(|violation| ["unexpected", violation.severity.name()]);
        let has = |word: &String| {
            let mut texts = [call.syscall, call.abi].into_iter().chain(mark.into_iter().flatten());
            texts.any(|text| text.to_lowercase().contains(word.as_str()))
        };
        self.0.iter().all(has)
    }
}

/// Adds the calls of a workload that were first seen since a time. Takes the violations of those calls.
fn add_calls<'a>(
    view: &View,
    (workload, totals): (&'a Workload, &'a Totals),
    from: SystemTime,
    (search, unexpected): (&Search, &mut Unexpected<'a>),
    found: &mut Vec<Found<'a>>,
) {
    for (id, &calls) in totals.counts.calls.iter() {
        let Some((seen, _)) = view.model.seen(totals, id) else { continue };
        let (call, first) = (view.facts.calls.call(id), view.facts.time_of(Some(seen)));
        let violation = unexpected.remove(&call);
        if first >= from && search.finds(call, violation) {
            let is_start = view.facts.is_during_start(totals, seen);
            found.push(Found { workload, is_workload_there: true, call, calls, first, is_start, violation });
        }
    }
}

/// Adds violations that are no counted calls: classes of arguments, denied calls, and those of workloads that are gone.
fn add_violations<'a>(
    unexpected: Unexpected<'a>,
    from: SystemTime,
    (search, is_workload_there): (&Search, bool),
    found: &mut Vec<Found<'a>>,
) {
    for (call, violation) in unexpected.into_iter().filter(|(_, violation)| violation.time >= from) {
        if search.finds(call, Some(violation)) {
            found.push(Found {
                workload: &violation.workload,
                is_workload_there,
                call,
                calls: violation.count,
                first: violation.time,
                is_start: false,
                violation: Some(violation),
            });
        }
    }
}

/// The process of each kept first call.
struct Processes<'a>(HashMap<(&'a Workload, &'static str, &'static str), &'a RecordedFirstCall>);

impl<'a> Processes<'a> {
    fn of(view: &'a View) -> Self {
        // The newest comes first, so the earliest call stays.
        let of_calls = view.first_calls.iter().filter(|first| first.argument.is_empty());
        Self(of_calls.map(|first| ((&first.workload, first.abi, first.syscall), &**first)).collect())
    }
}

impl Found<'_> {
    /// Whether it belongs to a start and is expected.
    fn is_left_out(&self) -> bool {
        self.is_start && self.violation.is_none()
    }

    fn row(&self, view: &View, Processes(processes): &Processes) -> Row {
        let Call { abi, syscall } = self.call;
        let first = processes.get(&(self.workload, abi, syscall)).map(|first| &first.process);
        let process = first.or_else(|| self.violation.and_then(|violation| violation.process.as_ref()));
        Row {
            id: self.is_workload_there.then(|| self.workload.id()),
            workload: Name::short(&self.workload.to_string()),
            call: self.call.text(),
            abi: (!self.call.is_native()).then_some(abi),
            calls: thousands(self.calls),
            first: Moment::new(self.first, now(view)),
            process: process.map(|process| Name::short(&program(process))),
            is_start: self.is_start,
            is_denied: self.violation.is_some_and(|violation| violation.denied),
            unexpected: self.violation.map(|violation| (violation.id(), violation.severity)),
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
