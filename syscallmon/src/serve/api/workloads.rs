//! `/api/v1/workloads`: the content of `/metrics` and more metadata, as JSON.
//!
//! Answers have the envelope of Prometheus' own API: `{"status": "success", "data": ...}`.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Query, State as Extract, rejection::QueryRejection},
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{
    answer_query,
    json::ListAnswer,
    query::{MatchError, Selection},
};
use crate::{
    clock::unix_time,
    kernel::ProbeStatus,
    model::Totals,
    serve::{Site, exposition::workload_series::denied_call},
    snapshot::{Bound, Durations, ErrorKey, Losses, SortedCounts},
    syscalls::{Call, CallId, IO_URING},
    view::{RecordedFirstCall, View},
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
    /// Maximum number, the busiest first; [`DEFAULT_LIMIT`] if absent.
    limit: Option<usize>,
}

/// Fields of an answer besides the workloads.
#[derive(Serialize)]
struct WorkloadsHead {
    /// Seconds since 1970.
    snapshot_time: f64,
    probes: Vec<ProbeStatus>,
    lost: Losses,
    /// Number of matches. As many of them follow as the limits permit.
    total: usize,
    first_calls: Vec<Arc<RecordedFirstCall>>,
}

#[derive(Serialize)]
struct WorkloadEntry {
    /// Labels of its series.
    workload: Workload,
    /// All of its metadata.
    metadata: Labels,
    gone: bool,
    /// When its first cgroup was born, in seconds since 1970, if the daemon saw that. Then all of its calls are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<f64>,
    calls: u64,
    syscalls: Vec<CallEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied: Vec<DeniedEntry>,
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
    attempts: u64,
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
}

#[derive(Serialize)]
struct CallEntry {
    abi: &'static str,
    syscall: &'static str,
    calls: u64,
    /// The part of `calls` that the container runtime made.
    #[serde(skip_serializing_if = "is_zero")]
    container_init: u64,
}

/// Serves the workloads, the busiest first.
pub(in crate::serve) async fn workloads(
    Extract(site): Extract<Site>,
    query: Result<Query<WorkloadsQuery>, QueryRejection>,
) -> Response {
    answer_query(site, query, answer).await
}

fn answer(view: &View, query: &WorkloadsQuery) -> Result<Response, MatchError> {
    let known = || view.model.workloads().map(|(_, totals)| totals.metadata.clone()).collect();
    let selection = Selection::of(query.selector.as_deref(), known)?;
    let (head, chosen) = chosen(view, query, &selection);
    let mut answer = ListAnswer::new(&head, "workloads");
    // Entry by entry, until the answer is full.
    let _ = chosen.iter().all(|(workload, totals)| answer.push(&entry(view, workload, totals)));
    Ok(answer.finish())
}

fn chosen<'a>(
    view: &'a View,
    query: &WorkloadsQuery,
    selection: &Selection,
) -> (WorkloadsHead, Vec<(&'a Workload, &'a Arc<Totals>)>) {
    let is_chosen = |workload: &Workload, totals: &Totals| {
        selection.has(&totals.metadata) && workload.label("cgroup").starts_with(&query.prefix)
    };
    let workloads = view.model.workloads().filter(|(workload, totals)| is_chosen(workload, totals));
    let mut chosen: Vec<_> = workloads.collect();
    chosen.sort_by_cached_key(|(_, totals)| std::cmp::Reverse(totals.counts.calls.sum()));
    let head = WorkloadsHead {
        snapshot_time: unix_time(view.snapshot.time),
        probes: view.facts.probes.clone(),
        lost: view.snapshot.losses,
        total: chosen.len(),
        first_calls: view.first_calls.clone(),
    };
    chosen.truncate(query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT));
    (head, chosen)
}

fn entry(view: &View, workload: &Workload, totals: &Totals) -> WorkloadEntry {
    let (operations, calls): (Vec<_>, Vec<_>) = most_first(&totals.counts.calls, |call| view.facts.calls.call(call))
        .partition(|(call, _)| call.abi == IO_URING);
    let container_init = &totals.counts.container_init;
    let made_by_runtime: HashMap<Call, u64> =
        container_init.iter().map(|(call, &calls)| (view.facts.calls.call(call), calls)).collect();
    let call = |(call, calls): (Call, u64)| {
        let container_init = made_by_runtime.get(&call).copied().unwrap_or_default();
        CallEntry { abi: call.abi, syscall: call.syscall, calls, container_init }
    };
    let operation = |(call, requests): (Call, u64)| OperationEntry { op: call.syscall, requests };
    let failure = |failure| match failure {
        ErrorKey::Of(call, errno) => (view.facts.calls.call(call), errno.name()),
        ErrorKey::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, REMAINDER),
    };
    let error = |((call, errno), errors): ((Call, _), u64)| {
        let Call { abi, syscall } = call;
        ErrorEntry { abi, syscall, errno, errors }
    };
    let denied = |((call, errno), attempts): ((Call, _), u64)| {
        let Call { abi, syscall } = call;
        DeniedEntry { abi, syscall, errno, attempts }
    };
    WorkloadEntry {
        workload: workload.clone(),
        metadata: totals.metadata.clone(),
        gone: totals.is_gone(),
        started: totals.created().map(|moment| unix_time(view.facts.time_of(Some(moment)))),
        calls: calls.iter().map(|(_, calls)| calls).sum(),
        syscalls: calls.into_iter().map(call).collect(),
        errors: most_first(&totals.counts.errors, failure).map(error).collect(),
        denied: most_first(&totals.counts.denied, |denial| denied_call(&view.facts, denial)).map(denied).collect(),
        durations: totals.counts.durations.iter().map(|(call, durations)| duration(view, call, durations)).collect(),
        io_uring: operations.into_iter().map(operation).collect(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_zero(count: &u64) -> bool {
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
    sorted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    sorted.into_iter().map(|(key, count)| (name(key), count)).collect::<Vec<_>>().into_iter()
}
