//! `/api/v1/violations`: calls that nobody expected, the newest first.

use axum::{
    extract::{Query, State as Extract, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{
    Site,
    api::{failure, success},
};
use crate::{
    policy::{Severity, Violation},
    state::{State, unix_time},
    workload::Selector,
};

/// Violations in an answer, unless the query says otherwise.
const DEFAULT_LIMIT: usize = 100;

/// The query; what is absent chooses all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ViolationsQuery {
    /// Only of workloads that this selects, by all that is known of them.
    #[serde(rename = "match")]
    selector: Option<Selector>,
    /// Only of this policy.
    policy: Option<String>,
    /// Only as bad as this.
    severity: Option<Severity>,
    /// Only of this call.
    syscall: Option<String>,
    /// Only those that were seen at this time, in seconds since 1970, or later.
    since: Option<f64>,
    /// At most so many; [`DEFAULT_LIMIT`] unless given.
    limit: Option<usize>,
}

impl ViolationsQuery {
    fn chooses(&self, violation: &Violation) -> bool {
        let Self { selector, policy, severity, syscall, since, .. } = self;
        selector.as_ref().is_none_or(|selector| selector.matches(&violation.about))
            && policy.as_ref().is_none_or(|policy| *policy == *violation.policy)
            && severity.is_none_or(|severity| severity == violation.severity)
            && syscall.as_ref().is_none_or(|syscall| syscall == violation.call.syscall)
            && since.is_none_or(|since| unix_time(violation.last_seen) >= since)
    }
}

#[derive(Serialize)]
struct Violations<'a> {
    /// How many match; as many of them as the limit permits follow.
    total: usize,
    violations: Vec<&'a Violation>,
}

/// Answers with the violations.
pub(super) async fn violations(
    Extract(site): Extract<Site>,
    query: Result<Query<ViolationsQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return failure(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    site.refresher.refresh().await;
    tokio::task::block_in_place(|| success(answer(&site.shared.lock(), &query)))
}

fn answer<'a>(state: &'a State, query: &ViolationsQuery) -> Violations<'a> {
    let mut violations = newest(state);
    violations.retain(|violation| query.chooses(violation));
    let total = violations.len();
    violations.truncate(query.limit.unwrap_or(DEFAULT_LIMIT));
    Violations { total, violations }
}

/// All that are kept, the one that was seen last first.
pub(super) fn newest(state: &State) -> Vec<&Violation> {
    let mut violations: Vec<&Violation> = state.violations.iter().collect();
    violations.sort_by_key(|violation| std::cmp::Reverse((violation.last_seen, violation.time)));
    violations
}
