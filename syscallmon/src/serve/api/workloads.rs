//! `/api/v1/workloads` and `/api/v1/workloads/<id>`: the content of `/metrics` and more metadata, as JSON.
//!
//! Answers have the envelope of Prometheus' own API: `{"status": "success", "data": ...}`.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, Query, State as Extract, rejection::QueryRejection},
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{
    answer_query, answer_view, find,
    json::{ListAnswer, success},
    query::{Limit, QueryError, Selection},
};
use crate::{
    clock::unix_time,
    kernel::ProbeStatus,
    model::Totals,
    serve::{Site, exposition::workload_series::denied_call},
    snapshot::{ArgumentKey, Bound, Durations, ErrorKey, Losses, SortedCounts},
    stable_id::StableId,
    syscalls::{Call, CallId, IO_URING},
    view::{RATE_STEP, RecordedFirstCall, Sums, View},
    workload::{Labels, REMAINDER, Workload},
};

/// Default and maximum number of workloads in an answer.
const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 10_000;

/// The query of `/api/v1/workloads`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct WorkloadsQuery {
    /// Only workloads with a `cgroup` that begins with this.
    prefix: String,
    /// Only workloads that this selector matches, by all of their metadata: `namespace="shop",owner=~"web|api"`.
    #[serde(rename = "match")]
    pub(in crate::serve) selector: Option<String>,
    /// The order; only [`Sort::Id`] has pages.
    sort: Sort,
    /// Maximum number; [`DEFAULT_LIMIT`] if absent.
    limit: Option<Limit>,
    /// Only workloads after the one with this id.
    cursor: Option<Cursor>,
    /// What of each workload.
    detail: Detail,
}

/// What an answer has of each workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Detail {
    /// Each call, error, denied call and duration.
    #[default]
    Calls,
    /// Totals, and the rates of the last minutes.
    Rates,
}

/// The order of workloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    /// By id, which never changes, so pages neither skip nor repeat a workload.
    #[default]
    Id,
    /// By calls, the busiest first.
    Calls,
}

/// The id of the last workload of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Cursor(StableId);

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|_| "cursor: not a cursor; use the value of next in the answer before")
    }
}

/// Fields of an answer besides the workloads.
#[derive(Serialize)]
struct WorkloadsHead {
    /// When the daemon began to count, in seconds since 1970.
    counting_since: f64,
    /// Likewise.
    snapshot_time: f64,
    probes: Vec<ProbeStatus>,
    lost: Losses,
    /// Number of matches, on all pages together.
    total: usize,
    /// Only on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_calls: Option<Vec<Arc<RecordedFirstCall>>>,
}

#[derive(Serialize)]
struct WorkloadEntry {
    id: StableId,
    /// Labels of its series.
    workload: Workload,
    /// All of its metadata.
    metadata: Labels,
    gone: bool,
    /// When its first cgroup was born, in seconds since 1970, if the daemon saw that.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<f64>,
    calls: u64,
    totals: Sums,
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<RatesEntry>,
    #[serde(flatten)]
    details: Option<DetailsEntry>,
}

/// Rates per second, the newest last.
#[derive(Debug, Serialize)]
struct RatesEntry {
    /// Seconds that each of them is a mean of.
    step: u64,
    calls: Vec<f32>,
    errors: Vec<f32>,
    denied: Vec<f32>,
}

#[derive(Serialize)]
struct DetailsEntry {
    syscalls: Vec<CallEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied: Vec<DeniedEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<ArgumentEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    durations: Vec<DurationEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_uring: Vec<OperationEntry>,
}

#[derive(Serialize)]
struct ErrorEntry {
    abi: &'static str,
    syscall: &'static str,
    errno: &'static str,
    errors: u64,
}

#[derive(Serialize)]
struct DeniedEntry {
    abi: &'static str,
    syscall: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<&'static str>,
    denied: u64,
}

/// Calls with arguments of one class.
#[derive(Serialize)]
struct ArgumentEntry {
    abi: &'static str,
    syscall: &'static str,
    argument: &'static str,
    /// Those that entered the kernel.
    calls: u64,
    /// Those that seccomp denied.
    #[serde(skip_serializing_if = "is_zero")]
    denied: u64,
}

#[derive(Serialize)]
struct DurationEntry {
    abi: &'static str,
    syscall: &'static str,
    calls: u64,
    seconds: f64,
    /// Number of calls that took at most this long, for each configured bucket.
    buckets: Vec<BucketEntry>,
}

#[derive(Serialize)]
struct BucketEntry {
    le: f64,
    calls: u64,
}

#[derive(Serialize)]
struct OperationEntry {
    op: &'static str,
    requests: u64,
    #[serde(flatten)]
    seen: Option<SeenEntry>,
}

#[derive(Serialize)]
struct CallEntry {
    abi: &'static str,
    syscall: &'static str,
    calls: u64,
    /// The part of `calls` that the container runtime made.
    #[serde(skip_serializing_if = "is_zero")]
    container_init: u64,
    /// Times of the snapshots that counted the first and the last call.
    #[serde(flatten)]
    seen: Option<SeenEntry>,
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, Serialize)]
struct SeenEntry {
    first_seen: f64,
    last_seen: f64,
}

/// Serves the workloads.
pub(in crate::serve) async fn workloads(
    Extract(site): Extract<Site>,
    query: Result<Query<WorkloadsQuery>, QueryRejection>,
) -> Response {
    answer_query(site, query, answer).await
}

/// Serves one workload.
pub(super) async fn workload(Extract(site): Extract<Site>, Path(id): Path<String>) -> Response {
    let answer = move |view: &View| {
        let found = find(&id, "/api/v1/workloads", view.model.workloads(), |(workload, _)| workload.id());
        found.map_or_else(
            |missing| *missing,
            |(workload, totals)| {
                success(WorkloadEntry {
                    rates: Some(rates(view, workload)),
                    ..entry(view, workload, totals, Detail::Calls)
                })
            },
        )
    };
    answer_view(site, answer).await
}

fn answer(view: &View, query: &WorkloadsQuery) -> Result<Response, QueryError> {
    let known = || view.model.workloads().map(|(_, totals)| totals.metadata.clone()).collect();
    let selection = Selection::of(query.selector.as_deref(), known)?;
    if query.sort == Sort::Calls && query.cursor.is_some() {
        return Err(QueryError::Cursor);
    }
    let (head, chosen) = chosen(view, query, &selection);
    let limit = Limit::within(query.limit, DEFAULT_LIMIT, MAX_LIMIT);
    let cursor = |(id, ..): &(StableId, _, _)| (query.sort == Sort::Id).then(|| id.to_string());
    let entry = |(_, workload, totals): &(_, &Workload, &Arc<Totals>)| entry(view, workload, totals, query.detail);
    Ok(ListAnswer::new(&head, "workloads").page(&chosen, limit, entry, cursor))
}

/// A workload with its id.
type Identified<'a> = (StableId, &'a Workload, &'a Arc<Totals>);

fn chosen<'a>(view: &'a View, query: &WorkloadsQuery, selection: &Selection) -> (WorkloadsHead, Vec<Identified<'a>>) {
    let is_chosen = |workload: &Workload, totals: &Totals| {
        selection.has(&totals.metadata) && workload.label("cgroup").starts_with(&query.prefix)
    };
    let workloads = view.model.workloads().filter(|(workload, totals)| is_chosen(workload, totals));
    let mut chosen: Vec<_> = workloads.map(|(workload, totals)| (workload.id(), workload, totals)).collect();
    let head = WorkloadsHead {
        counting_since: unix_time(view.facts.started.1),
        snapshot_time: unix_time(view.snapshot.time),
        probes: view.facts.probes.clone(),
        lost: view.snapshot.losses,
        total: chosen.len(),
        first_calls: query.cursor.is_none().then(|| view.first_calls.clone()),
    };
    chosen.retain(|(id, ..)| query.cursor.is_none_or(|Cursor(last)| *id > last));
    match query.sort {
        Sort::Id => chosen.sort_unstable_by_key(|(id, ..)| *id),
        Sort::Calls => chosen.sort_by_cached_key(|(_, _, totals)| Reverse(totals.counts.calls.sum())),
    }
    (head, chosen)
}

fn entry(view: &View, workload: &Workload, totals: &Totals, detail: Detail) -> WorkloadEntry {
    let sums = Sums::of(totals, &view.facts.calls);
    WorkloadEntry {
        id: workload.id(),
        workload: workload.clone(),
        metadata: totals.metadata.clone(),
        gone: totals.is_gone(),
        started: totals.created().map(|moment| unix_time(view.facts.time_of(Some(moment)))),
        calls: sums.calls,
        totals: sums,
        rates: (detail == Detail::Rates).then(|| rates(view, workload)),
        details: (detail == Detail::Calls).then(|| details(view, totals)),
    }
}

fn rates(view: &View, workload: &Workload) -> RatesEntry {
    let rates = view.rates.of(workload.id());
    RatesEntry {
        step: RATE_STEP.as_secs(),
        calls: rates.iter().map(|rate| rate.calls).collect(),
        errors: rates.iter().map(|rate| rate.errors).collect(),
        denied: rates.iter().map(|rate| rate.denied).collect(),
    }
}

fn details(view: &View, totals: &Totals) -> DetailsEntry {
    let (operations, calls): (Vec<_>, Vec<_>) = most_first(&totals.counts.calls, |call| call)
        .partition(|(call, _)| view.facts.calls.call(*call).abi == IO_URING);
    let time = |moment| unix_time(view.facts.time_of(Some(moment)));
    let seen = |call| {
        let (first, last) = view.model.seen(totals, call)?;
        Some(SeenEntry { first_seen: time(first), last_seen: time(last) })
    };
    let call = |(id, calls): (CallId, u64)| {
        let Call { abi, syscall } = view.facts.calls.call(id);
        let container_init = totals.counts.container_init.get(id).copied().unwrap_or_default();
        CallEntry { abi, syscall, calls, container_init, seen: seen(id) }
    };
    let operation = |(id, requests): (CallId, u64)| OperationEntry {
        op: view.facts.calls.call(id).syscall,
        requests,
        seen: seen(id),
    };
    let failure = |failure| match failure {
        ErrorKey::Of(call, errno) => (view.facts.calls.call(call), errno.name()),
        ErrorKey::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, REMAINDER),
    };
    let error = |((call, errno), errors): ((Call, _), u64)| {
        let Call { abi, syscall } = call;
        ErrorEntry { abi, syscall, errno, errors }
    };
    let denied = |((call, errno), denied): ((Call, _), u64)| {
        let Call { abi, syscall } = call;
        DeniedEntry { abi, syscall, errno, denied }
    };
    DetailsEntry {
        syscalls: calls.into_iter().map(call).collect(),
        errors: most_first(&totals.counts.errors, failure).map(error).collect(),
        denied: most_first(&totals.counts.denied, |denial| denied_call(&view.facts, denial)).map(denied).collect(),
        arguments: arguments(view, totals),
        durations: totals.counts.durations.iter().map(|(call, durations)| duration(view, call, durations)).collect(),
        io_uring: operations.into_iter().map(operation).collect(),
    }
}

/// Returns the classes of arguments, the most frequent first.
fn arguments(view: &View, totals: &Totals) -> Vec<ArgumentEntry> {
    let mut by_class = BTreeMap::<Call, (u64, u64)>::new();
    for (class, &count) in totals.counts.arguments.iter() {
        match class {
            ArgumentKey::Of(class) => by_class.entry(view.facts.calls.call(class)).or_default().0 += count,
            ArgumentKey::Denied(class) => by_class.entry(view.facts.calls.call(class)).or_default().1 += count,
            ArgumentKey::Other => {
                by_class.entry(Call { abi: REMAINDER, syscall: REMAINDER }).or_default().0 += count;
            }
        }
    }
    let mut entries: Vec<ArgumentEntry> = by_class
        .into_iter()
        .map(|(call, (calls, denied))| {
            let argument = if call.abi == REMAINDER { REMAINDER } else { call.argument() };
            ArgumentEntry { abi: call.abi, syscall: call.name(), argument, calls, denied }
        })
        .collect();
    entries.sort_by_key(|entry| Reverse(entry.calls + entry.denied));
    entries
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn duration(view: &View, call: CallId, durations: &Durations) -> DurationEntry {
    let Call { abi, syscall } = view.facts.calls.call(call);
    let bucket = |&bound: &Bound| BucketEntry { le: bound.seconds(), calls: durations.at_most(bound) };
    DurationEntry {
        abi,
        syscall,
        calls: durations.count(),
        seconds: durations.seconds(),
        buckets: view.facts.duration_bounds.iter().map(bucket).collect(),
    }
}

/// Returns counts by name, the highest first.
pub(in crate::serve) fn most_first<K: Ord + Copy, N>(
    counts: &SortedCounts<K>,
    name: impl Fn(K) -> N,
) -> std::vec::IntoIter<(N, u64)> {
    let mut sorted: Vec<(K, u64)> = counts.iter().map(|(key, &count)| (key, count)).collect();
    sorted.sort_by_key(|&(_, count)| Reverse(count));
    sorted.into_iter().map(|(key, count)| (name(key), count)).collect::<Vec<_>>().into_iter()
}
