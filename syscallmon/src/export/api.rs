//! `/api/v1/workloads`: what `/metrics` says, for programs that want JSON, and more than numbers.
//!
//! Answers have the envelope of Prometheus' own API: `{"status": "success", "data": ...}`.

use axum::{
    Json,
    extract::{Query, State as Extract, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::Site;
use crate::{
    kernel::ProbeStatus,
    model::Totals,
    snapshot::Losses,
    state::{FirstCall, State, unix_time},
    syscalls::{Call, IO_URING},
    workload::Workload,
};

/// Workloads in an answer, unless the query says otherwise.
const DEFAULT_LIMIT: usize = 500;

/// The query of `/api/v1/workloads`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WorkloadsQuery {
    /// Only workloads whose `cgroup` begins with this.
    prefix: String,
    /// At most so many, the busiest first; [`DEFAULT_LIMIT`] unless given.
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Workloads {
    /// Seconds since 1970.
    snapshot_time: f64,
    probes: Vec<ProbeStatus>,
    lost: Losses,
    /// How many workloads match; as many of them as the limit permits follow.
    total: usize,
    #[serde(rename = "workloads")]
    entries: Vec<WorkloadEntry>,
    first_calls: Vec<FirstCall>,
}

#[derive(Serialize)]
struct WorkloadEntry {
    cgroup: Workload,
    gone: bool,
    calls: u64,
    syscalls: Vec<CallEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_uring: Vec<OperationEntry>,
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
}

/// Answers with the workloads, the busiest first.
pub(super) async fn workloads(
    Extract(site): Extract<Site>,
    query: Result<Query<WorkloadsQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            let error = Some(rejection.body_text());
            return (StatusCode::BAD_REQUEST, Json(Envelope::<()> { status: "error", data: None, error }))
                .into_response();
        }
    };
    site.refresher.refresh().await;
    let data = Some(tokio::task::block_in_place(|| answer(&site.shared.lock(), &query)));
    Json(Envelope { status: "success", data, error: None }).into_response()
}

fn answer(state: &State, query: &WorkloadsQuery) -> Workloads {
    let mut chosen: Vec<(&Workload, &Totals)> =
        state.model.workloads().filter(|(workload, _)| workload.cgroup().starts_with(&query.prefix)).collect();
    chosen.sort_by_key(|(_, totals)| std::cmp::Reverse(totals.sum()));
    let total = chosen.len();
    chosen.truncate(query.limit.unwrap_or(DEFAULT_LIMIT));
    Workloads {
        snapshot_time: unix_time(state.snapshot.time),
        probes: state.probes.clone(),
        lost: state.losses,
        total,
        entries: chosen.into_iter().map(|(workload, totals)| entry(state, workload, totals)).collect(),
        first_calls: state.first_calls.iter().cloned().collect(),
    }
}

fn entry(state: &State, workload: &Workload, totals: &Totals) -> WorkloadEntry {
    let mut counts: Vec<(Call, u64)> =
        totals.calls.iter().map(|count| (state.calls.call(count.call), count.calls)).collect();
    counts.sort_by_key(|&(_, calls)| std::cmp::Reverse(calls));
    let (operations, calls): (Vec<_>, Vec<_>) = counts.into_iter().partition(|(call, _)| call.abi == IO_URING);
    let call = |(call, calls): (Call, u64)| CallEntry { abi: call.abi, syscall: call.syscall, calls };
    let operation = |(call, requests): (Call, u64)| OperationEntry { op: call.syscall, requests };
    WorkloadEntry {
        cgroup: workload.clone(),
        gone: totals.is_gone(),
        calls: calls.iter().map(|(_, calls)| calls).sum(),
        syscalls: calls.into_iter().map(call).collect(),
        io_uring: operations.into_iter().map(operation).collect(),
    }
}
