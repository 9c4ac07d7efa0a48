//! `/workload/ID`: one workload. Its calls, what is unexpected, its policy and baseline, and its profile.

mod calls;

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, State as Extract},
    http::{HeaderMap, Uri},
    response::Response,
};
use clap::ValueEnum as _;
use exporter_web::Caller;

pub(super) use self::calls::program;
use self::calls::{COLUMNS, CallRow};
use super::{
    Asked, Missing, answer, find,
    frame::{Frame, now},
    policies::BaselineLine,
    query::{Heading, ListQuery, Pages},
    spark::{Spark, highest},
    text::{Moment, Name, percent_encoded, rate, thousands},
    workloads::IncidentLine,
};
use crate::{
    detect::{BaselineKey, Policy, PolicySummary, Severity},
    model::Totals,
    profile::Format,
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
    different_calls: usize,
    has_latency: bool,
    profiles: Vec<ProfileChoice>,
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
}

/// A selector for the profile, with the links to its formats.
struct ProfileChoice {
    what: String,
    command: String,
    links: Vec<(String, String, String)>,
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
        let mut rows = calls::rows(view, workload, totals, &query);
        let pages = query.page(&path, &mut rows);
        let sums = Sums::of(totals, &view.facts.calls);
        let incidents: Vec<_> = newest(view).into_iter().filter(|incident| incident.workload == *workload).collect();
        let policy = view.policies.of(&totals.metadata).filter(|_| workload.is_one());
        let baseline = BaselineKey::of(&totals.metadata)
            .and_then(|kind| BaselineLine::of(view, &kind, (may_change, &frame.daemon)));
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
            policy: policy.map(|policy| PolicyLine::new(view, policy)),
            baseline,
            headings,
            pages,
            rows,
            different_calls: totals.counts.calls.iter().count(),
            has_latency,
            profiles: if workload.is_one() { profiles(workload, &totals.metadata, &frame.daemon) } else { Vec::new() },
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

impl PolicyLine {
    fn new(view: &View, policy: &Policy) -> Self {
        let summary = policy.summary(&view.facts.calls);
        Self {
            name: Name::short(&summary.name),
            origin: Name::whole(&summary.origin),
            extends: summary.extends.iter().map(|name| Name::short(name)).collect(),
            summary,
        }
    }
}

/// Returns the workloads that a profile can be for: all with this owner, and this one.
fn profiles(workload: &Workload, metadata: &Labels, daemon: &str) -> Vec<ProfileChoice> {
    let owned = [Label::Namespace, Label::Owner, Label::OwnerKind, Label::Container];
    let values: Vec<_> =
        owned.iter().filter_map(|&label| Some((label.name(), metadata.get(label)?.as_ref()))).collect();
    let is_container = metadata.get(Label::ContainerId).is_some();
    let choice = |what, selector: &str| ProfileChoice::new(what, selector, is_container, daemon);
    let of_owner = (values.len() == owned.len()).then(|| {
        let what = format!("All pods of the {} on this node", metadata.get(Label::OwnerKind).map_or("", |kind| kind));
        choice(what, &selector(values.iter().copied()))
    });
    let of_it = choice("This workload".to_owned(), &selector(workload.labels()));
    of_owner.into_iter().chain([of_it]).collect()
}

/// Returns a selector, as in PromQL.
fn selector<'a>(labels: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let parts = labels.map(|(name, value)| format!("{name}=\"{}\"", quoted(value)));
    parts.collect::<Vec<_>>().join(",")
}

impl ProfileChoice {
    fn new(what: String, selector: &str, is_container: bool, daemon: &str) -> Self {
        let is_useful = |format: &&Format| match format {
            Format::Policy => true,
            format => format.is_for_containers() == is_container && !format.is_directory(),
        };
        let formats = Format::value_variants().iter().filter(is_useful);
        let link = |format: &Format| {
            let value = format.to_possible_value()?;
            let (name, help) = (value.get_name().to_owned(), value.get_help()?.to_string().replace('`', ""));
            let link = format!("/api/v1/profile?match={}&format={name}", percent_encoded(selector));
            Some((link, name, help))
        };
        let format = if is_container { "" } else { " --format systemd" };
        let quoted = crate::process::printable(&selector.replace('\'', r"'\''"));
        Self {
            what,
            command: format!("syscallmon profile generate{daemon}{format} --workload '{quoted}'"),
            links: formats.filter_map(link).collect(),
        }
    }
}
