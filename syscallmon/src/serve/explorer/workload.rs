//! `/workload/ID`: one workload. Its calls, what is unexpected, its policy and baseline, and its profile.

mod calls;
mod profile;

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, State as Extract},
    http::{HeaderMap, Uri},
    response::Response,
};
use exporter_web::Caller;

pub(super) use self::calls::program;
use self::{
    calls::{COLUMNS, CallRow, Numbers},
    profile::ProfilePart,
};
use super::{
    Asked, Missing, answer, find,
    frame::{Frame, now},
    policies::BaselineLine,
    query::{Heading, ListQuery, Pages},
    spark::{Spark, highest},
    text::{Moment, Name, rate, thousands},
    workloads::IncidentLine,
};
use crate::{
    detect::{BaselineKey, Policy, PolicySummary, Severity},
    model::Totals,
    serve::{Site, api::incidents::newest},
    view::{Rate, Sums, View},
    workload::{Label, Labels, Workload},
};

/// Maximum incidents on the page.
const INCIDENTS: usize = 10;

#[derive(Template)]
#[template(path = "explorer/workload.html")]
pub(super) struct WorkloadPage {
    frame: Frame,
    query: ListQuery,
    path: String,
    name: Name,
    is_gone: bool,
    started: Option<Moment>,
    counted_from: Moment,
    metadata: Vec<(&'static str, Name)>,
    charts: Vec<Chart>,
    io_uring: String,
    incidents: Vec<IncidentLine>,
    /// The worst severity of all its incidents.
    worst: Option<Severity>,
    policy: Option<PolicyLine>,
    baseline: Option<BaselineLine>,
    headings: Vec<Heading>,
    pages: Pages,
    rows: Vec<CallRow>,
    /// Numbers of all calls, and of those that the search finds.
    numbers: [Numbers; 2],
    has_latency: bool,
    profile: Option<ProfilePart>,
}

/// Rates of one kind.
struct Chart {
    what: &'static str,
    total: String,
    now: Option<String>,
    most: String,
    spark: Spark,
}

/// The policy of a workload, and what it says.
struct PolicyLine {
    name: Name,
    origin: Name,
    extends: Vec<Name>,
    summary: PolicySummary,
    /// Why the workload has no baseline, if the policy learns.
    learns_nothing: Option<&'static str>,
}

/// Serves the page.
pub(super) async fn page(
    Extract(site): Extract<Site>,
    Path(id): Path<String>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let may_change = super::change::may_offer(caller.as_deref(), &headers);
    answer(site, (uri, headers), move |view, asked| {
        let found = find(&id, view.model.workloads(), |(workload, _)| workload.id());
        let (workload, totals) = found.ok_or(Missing {
            what: "There is no such workload.",
            hint: "It may have ended, or got its name since: all workloads are at",
            list: "/",
        })?;
        Ok(WorkloadPage::new(view, (workload, totals), may_change, asked))
    })
    .await
}

impl WorkloadPage {
    fn new(view: &View, (workload, totals): (&Workload, &Arc<Totals>), may_change: bool, asked: Asked) -> Self {
        let Asked { query, frame } = asked;
        let id = workload.id();
        let path = format!("/workload/{id}");
        let (mut rows, all, found) = calls::rows(view, workload, totals, &query);
        let pages = query.page(&path, &mut rows);
        let sums = Sums::of(totals, &view.facts.calls);
        let incidents: Vec<_> = newest(view).into_iter().filter(|incident| incident.workload == *workload).collect();
        let policy = view.policies.of(&totals.metadata).filter(|_| workload.is_one());
        let baseline = BaselineKey::of(&totals.metadata)
            .and_then(|kind| BaselineLine::of(view, &kind, (may_change, &frame.daemon)));
        let learns_nothing = baseline.is_none().then(|| why_no_baseline(workload, &totals.metadata));
        let has_latency = totals.counts.durations.iter().next().is_some();
        let mut headings = query.headings(&path, &COLUMNS);
        headings.retain(|heading| has_latency || heading.key != "latency");
        Self {
            name: Name::heading(&workload.to_string()),
            is_gone: totals.is_gone(),
            started: totals.created().map(|moment| Moment::new(view.facts.time_of(Some(moment)), now(view))),
            counted_from: Moment::new(view.facts.started.1, now(view)),
            metadata: metadata(&totals.metadata),
            charts: charts(view.rates.of(id), sums),
            io_uring: thousands(sums.io_uring),
            worst: incidents.iter().map(|incident| incident.severity).max(),
            incidents: incidents.iter().take(INCIDENTS).map(|incident| IncidentLine::new(view, incident)).collect(),
            policy: policy.map(|policy| PolicyLine::new(view, policy, learns_nothing)),
            baseline,
            headings,
            pages,
            rows,
            numbers: [all, found],
            has_latency,
            profile: workload.is_one().then(|| ProfilePart::new(view, workload, totals, &frame.daemon)),
            path,
            frame,
            query,
        }
    }
}

/// Returns all metadata, with ids in full: this is the page for them.
fn metadata(labels: &Labels) -> Vec<(&'static str, Name)> {
    labels.iter().map(|(label, value)| (label, Name::whole(value))).collect()
}

fn charts(rates: &[Rate], sums: Sums) -> Vec<Chart> {
    let chart = |what, of: fn(&Rate) -> f32, total| Chart {
        what,
        total: thousands(total),
        now: rates.last().map(|newest| rate(of(newest))),
        most: rate(highest(rates.iter().map(of))),
        spark: Spark::large(what, rates.iter().map(of)),
    };
    vec![
        chart("Calls", |rate| rate.calls, sums.calls),
        chart("Errors", |rate| rate.errors, sums.errors),
        chart("Denied calls", |rate| rate.denied, sums.denied),
    ]
}

/// Returns why a workload has no baseline.
fn why_no_baseline(workload: &Workload, metadata: &Labels) -> &'static str {
    let is_container = metadata.get(Label::ContainerId).is_some();
    let is_named = metadata.get(Label::Container).is_some() && matches!(workload, Workload::Resolved(_));
    if is_container && !is_named {
        "It learns nothing, because the container has no name."
    } else {
        "It learns nothing so far, because the workload has no baseline."
    }
}

impl PolicyLine {
    /// The section of the documents about workloads without a baseline.
    const NO_BASELINE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/learning.md#what-has-no-baseline");

    fn new(view: &View, policy: &Policy, learns_nothing: Option<&'static str>) -> Self {
        let summary = policy.summary(&view.facts.calls);
        Self {
            learns_nothing: learns_nothing.filter(|_| summary.learn.is_some()),
            name: Name::short(&summary.name),
            origin: Name::whole(&summary.origin),
            extends: summary.extends.iter().map(|name| Name::short(name)).collect(),
            summary,
        }
    }
}
