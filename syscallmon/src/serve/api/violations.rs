//! `/api/v1/violations`: unexpected calls, the newest first.

use axum::{
    extract::{Query, State as Extract, rejection::QueryRejection},
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{
    answer_query,
    json::ListAnswer,
    query::{MatchError, Selection, Since},
};
use crate::{
    detect::{Severity, Violation},
    serve::Site,
    view::View,
};

/// Default and maximum number of violations in an answer.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 5000;

/// The query. Without parameters, it selects all violations.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct ViolationsQuery {
    /// Only of workloads that this selector matches, by all of their metadata.
    #[serde(rename = "match")]
    pub(in crate::serve) selector: Option<String>,
    /// Only of this policy.
    policy: Option<String>,
    /// Only of this severity.
    severity: Option<Severity>,
    /// Only of this call.
    syscall: Option<String>,
    /// Only violations that were seen at this time or later.
    since: Option<Since>,
    /// Maximum number; [`DEFAULT_LIMIT`] if absent.
    limit: Option<usize>,
}

impl ViolationsQuery {
    fn chooses(&self, violation: &Violation, selection: &Selection) -> bool {
        let Self { policy, severity, syscall, since, .. } = self;
        policy.as_ref().is_none_or(|policy| *policy == *violation.policy)
            && severity.is_none_or(|severity| severity == violation.severity)
            && syscall.as_ref().is_none_or(|syscall| syscall == violation.call.syscall)
            && since.is_none_or(|Since(since)| violation.last_seen >= since)
            && selection.has(&violation.metadata)
    }
}

/// Fields of an answer besides the violations.
#[derive(Serialize)]
struct ViolationsHead {
    /// Number of matches. As many of them follow as the limits permit.
    total: usize,
}

/// Serves the violations.
pub(in crate::serve) async fn violations(
    Extract(site): Extract<Site>,
    query: Result<Query<ViolationsQuery>, QueryRejection>,
) -> Response {
    answer_query(site, query, answer).await
}

fn answer(view: &View, query: &ViolationsQuery) -> Result<Response, MatchError> {
    let known = || view.violations.kept.iter().map(|violation| violation.metadata.clone()).collect();
    let selection = Selection::of(query.selector.as_deref(), known)?;
    let (head, violations) = chosen(view, query, &selection);
    let mut answer = ListAnswer::new(&head, "violations");
    // Entry by entry, until the answer is full.
    let _ = violations.iter().all(|violation| answer.push(violation));
    Ok(answer.finish())
}

fn chosen<'a>(view: &'a View, query: &ViolationsQuery, selection: &Selection) -> (ViolationsHead, Vec<&'a Violation>) {
    let mut violations = newest(view);
    violations.retain(|violation| query.chooses(violation, selection));
    let head = ViolationsHead { total: violations.len() };
    violations.truncate(query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT));
    (head, violations)
}

/// Returns all kept violations, the last seen first.
pub(in crate::serve) fn newest(view: &View) -> Vec<&Violation> {
    let mut violations: Vec<&Violation> = view.violations.kept.iter().map(AsRef::as_ref).collect();
    violations.sort_by_key(|violation| std::cmp::Reverse((violation.last_seen, violation.time)));
    violations
}
