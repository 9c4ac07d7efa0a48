//! `/api/v1/calls`: each call of each workload, with the times of the first and the last one, the newest first.

use std::{
    cmp::Reverse,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    extract::{Query, State as Extract, rejection::QueryRejection},
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{
    answer_query,
    json::ListAnswer,
    query::{Limit, QueryError, Selection, Since},
    workloads::is_zero,
};
use crate::{
    clock::unix_time,
    model::Totals,
    serve::Site,
    stable_id::StableId,
    syscalls::{Call, CallId},
    view::View,
    workload::Workload,
};

/// Default and maximum number of calls in an answer.
const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 10_000;

/// The query. Without parameters, it selects all calls.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CallsQuery {
    /// Only of workloads that this selector matches, by all of their metadata.
    #[serde(rename = "match")]
    selector: Option<String>,
    /// Only this call.
    syscall: Option<String>,
    /// Only calls that were first seen at this time or later.
    first_seen_since: Option<Since>,
    /// Only calls of the start of their workload or of the daemon; or only others.
    during_start: Option<bool>,
    /// Only calls that were last seen at this time or later.
    since: Option<Since>,
    /// Maximum number; [`DEFAULT_LIMIT`] if absent.
    limit: Option<Limit>,
    /// Only what follows this entry.
    cursor: Option<Position>,
}

/// The place of an entry in the list. It does not change while the workload has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Position {
    /// Seconds since 1970 of the first time, the newest first.
    first_seen: Reverse<u64>,
    workload: StableId,
    call: u16,
}

/// Fields of an answer besides the calls.
#[derive(Serialize)]
struct CallsHead {
    /// When the daemon began to count. A call that a workload made only before has no first time.
    counting_since: f64,
    snapshot_time: f64,
    /// Number of matches, on all pages together.
    total: usize,
}

/// A call of a workload.
struct Found<'a> {
    position: Position,
    workload: &'a Workload,
    totals: &'a Arc<Totals>,
    calls: u64,
    seen: (Instant, Instant),
}

#[derive(Serialize)]
struct Entry<'a> {
    workload_id: StableId,
    workload: &'a Workload,
    #[serde(flatten)]
    call: Call,
    calls: u64,
    #[serde(skip_serializing_if = "is_zero")]
    container_init: u64,
    first_seen: f64,
    last_seen: f64,
    during_start: bool,
}

/// Serves the calls.
pub(super) async fn calls(Extract(site): Extract<Site>, query: Result<Query<CallsQuery>, QueryRejection>) -> Response {
    answer_query(site, query, answer).await
}

fn answer(view: &View, query: &CallsQuery) -> Result<Response, QueryError> {
    let known = || view.model.workloads().map(|(_, totals)| totals.metadata.clone()).collect();
    let selection = Selection::of(query.selector.as_deref(), known)?;
    let mut found = chosen(view, query, &selection);
    let head = CallsHead {
        counting_since: unix_time(view.facts.started.1),
        snapshot_time: unix_time(view.snapshot.time),
        total: found.len(),
    };
    found.retain(|found| query.cursor.is_none_or(|cursor| found.position > cursor));
    found.sort_unstable_by_key(|found| found.position);
    let limit = Limit::within(query.limit, DEFAULT_LIMIT, MAX_LIMIT);
    let cursor = |found: &Found| Some(found.position.to_string());
    Ok(ListAnswer::new(&head, "calls").page(&found, limit, |found| found.entry(view), cursor))
}

fn chosen<'a>(view: &'a View, query: &CallsQuery, selection: &Selection) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for (workload, totals) in view.model.workloads().filter(|(_, totals)| selection.has(&totals.metadata)) {
        let mut id = None;
        for (call, &calls) in totals.counts.calls.iter() {
            let is_chosen = |&seen: &(Instant, Instant)| query.chooses(view, totals, call, seen);
            let Some(seen) = view.model.seen(totals, call).filter(is_chosen) else {
                continue;
            };
            let since_epoch = view.facts.time_of(Some(seen.0)).duration_since(SystemTime::UNIX_EPOCH);
            let first_seen = Reverse(since_epoch.unwrap_or_default().as_secs());
            let workload_id = *id.get_or_insert_with(|| workload.id());
            let position = Position { first_seen, workload: workload_id, call: call.0 };
            found.push(Found { position, workload, totals, calls, seen });
        }
    }
    found
}

impl CallsQuery {
    fn chooses(&self, view: &View, totals: &Totals, call: CallId, (first, last): (Instant, Instant)) -> bool {
        let is_since =
            |moment, since: Option<Since>| since.is_none_or(|Since(since)| view.facts.time_of(Some(moment)) >= since);
        is_since(first, self.first_seen_since)
            && is_since(last, self.since)
            && self.during_start.is_none_or(|during_start| during_start == view.facts.is_during_start(totals, first))
            && self.syscall.as_ref().is_none_or(|syscall| syscall == view.facts.calls.call(call).syscall)
    }
}

impl<'a> Found<'a> {
    fn entry(&self, view: &View) -> Entry<'a> {
        let call = CallId(self.position.call);
        let time = |moment| unix_time(view.facts.time_of(Some(moment)));
        Entry {
            workload_id: self.position.workload,
            workload: self.workload,
            call: view.facts.calls.call(call),
            calls: self.calls,
            container_init: self.totals.counts.container_init.get(call).copied().unwrap_or_default(),
            first_seen: time(self.seen.0),
            last_seen: time(self.seen.1),
            during_start: view.facts.is_during_start(self.totals, self.seen.0),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.first_seen.0, self.workload, self.call)
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let position = || {
            let mut parts = text.splitn(3, '-');
            let first_seen = Reverse(parts.next()?.parse().ok()?);
            Some(Self { first_seen, workload: parts.next()?.parse().ok()?, call: parts.next()?.parse().ok()? })
        };
        position().ok_or("cursor: not a cursor; use the value of next in the answer before")
    }
}

impl TryFrom<String> for Position {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
