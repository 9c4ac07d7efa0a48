//! `/policies` and `/baseline/ID`: what is expected of which workloads.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{
    Extension,
    extract::{Path, State as Extract},
    http::{HeaderMap, Uri},
    response::Response,
};
use exporter_web::Caller;

use super::{
    Asked, Missing, answer, change, find,
    frame::{Frame, now},
    query::{ListQuery, Pages},
    text::{Moment, Name, span, thousands},
};
use crate::{
    detect::{Baseline, BaselineKey, Operation, Phase, Policy, Progress, WaitsFor},
    serve::Site,
    stable_id::StableId,
    view::View,
    workload::Workload,
};

/// Workloads of a kind that its page lists.
const WORKLOADS: usize = 20;

#[derive(Template)]
#[template(path = "explorer/policies.html")]
pub(super) struct PoliciesPage {
    frame: Frame,
    query: ListQuery,
    policies: Vec<PolicyRow>,
    pages: Pages,
    baselines: Vec<BaselineLine>,
}

struct PolicyRow {
    name: Name,
    origin: Name,
    extends: Vec<Name>,
    learns: bool,
    workloads: String,
}

/// A baseline without its calls.
pub(super) struct BaselineLine {
    pub(super) id: StableId,
    pub(super) kind: Name,
    pub(super) policy: Name,
    pub(super) state: &'static str,
    pub(super) is_learning: bool,
    pub(super) is_approved: bool,
    /// What it waits for, and what it lacks.
    pub(super) notes: Vec<String>,
    pub(super) calls: usize,
    pub(super) learned_for: String,
    pub(super) last_new: Option<Moment>,
    /// Whether the client may use the forms.
    pub(super) may_change: bool,
    pub(super) command: String,
}

#[derive(Template)]
#[template(path = "explorer/baseline.html")]
pub(super) struct BaselinePage {
    frame: Frame,
    query: ListQuery,
    path: String,
    baseline: BaselineLine,
    pages: Pages,
    calls: Vec<LearnedRow>,
    workloads: Vec<(StableId, Name)>,
    more_workloads: usize,
}

struct LearnedRow {
    call: Name,
    when: Option<Moment>,
    by: Option<Name>,
}

/// Serves the list.
pub(super) async fn page(Extract(site): Extract<Site>, uri: Uri, headers: HeaderMap) -> Response {
    answer(site, (uri, headers), |view, asked| Ok(PoliciesPage::new(view, asked))).await
}

/// Serves one baseline.
pub(super) async fn baseline(
    Extract(site): Extract<Site>,
    Path(id): Path<String>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let may_change = change::may_offer(caller.as_deref(), &headers);
    answer(site, (uri, headers), move |view, asked| {
        let all = view.baselines.with_progress();
        let (baseline, progress) = find(&id, all, |(baseline, _)| baseline.kind.id()).ok_or(Missing {
            what: "There is no such baseline.",
            hint: "It may be forgotten: all baselines are at",
            list: "/policies",
        })?;
        Ok(BaselinePage::new(view, (baseline, &progress), may_change, asked))
    })
    .await
}

impl PoliciesPage {
    fn new(view: &View, Asked { query, frame }: Asked) -> Self {
        let mut workloads = HashMap::<&str, u64>::new();
        for (workload, totals) in view.model.workloads().filter(|(_, totals)| !totals.is_gone()) {
            if let Some(policy) = view.policies.of(&totals.metadata).filter(|_| workload.is_one()) {
                *workloads.entry(policy.name()).or_default() += 1;
            }
        }
        let has = query.filter();
        let chosen = view.baselines.with_progress();
        let chosen =
            chosen.filter(|(baseline, _)| has(&[baseline.kind.as_str(), &baseline.policy, baseline.state.name()]));
        let mut chosen: Vec<(&Arc<Baseline>, Progress)> = chosen.collect();
        let pages = query.page("/policies", &mut chosen);
        Self {
            policies: view.policies.iter().map(|policy| PolicyRow::new(policy, &workloads)).collect(),
            pages,
            baselines: chosen
                .iter()
                .map(|(baseline, progress)| BaselineLine::new(view, baseline, progress, (false, &frame.daemon)))
                .collect(),
            frame,
            query,
        }
    }
}

impl PolicyRow {
    fn new(policy: &Policy, workloads: &HashMap<&str, u64>) -> Self {
        Self {
            name: Name::short(policy.name()),
            origin: Name::short(policy.origin()),
            extends: policy.ancestors().map(|policy| Name::short(policy.name())).collect(),
            learns: policy.learn().is_some(),
            workloads: thousands(workloads.get(policy.name().as_ref()).copied().unwrap_or_default()),
        }
    }
}

impl BaselineLine {
    /// Returns the baseline of a kind, if there is one.
    /// `client`: whether it may change baselines, and the flag with which commands ask this daemon.
    pub(super) fn of(view: &View, kind: &BaselineKey, client: (bool, &str)) -> Option<Self> {
        let (baseline, progress) = view.baselines.with_progress().find(|(baseline, _)| baseline.kind == *kind)?;
        Some(Self::new(view, baseline, &progress, client))
    }

    fn new(view: &View, baseline: &Baseline, progress: &Progress, (may_change, daemon): (bool, &str)) -> Self {
        let quoted = crate::process::printable(&baseline.kind.as_str().replace('\'', r"'\''"));
        Self {
            id: baseline.kind.id(),
            kind: Name::heading(baseline.kind.as_str()),
            policy: Name::short(&baseline.policy),
            state: match baseline.state {
                Phase::Learning => "learns",
                Phase::Guarding => "guards",
            },
            is_learning: baseline.state == Phase::Learning,
            is_approved: baseline.approved,
            notes: notes(progress),
            calls: baseline.size(),
            learned_for: span(baseline.learned_for),
            last_new: baseline.last_new.map(|time| Moment::new(time, now(view))),
            may_change,
            command: format!("syscallmon policy approve{daemon} '{quoted}'"),
        }
    }
}

fn notes(progress: &Progress) -> Vec<String> {
    let waits = progress.waits_for.map(|waits| match waits {
        WaitsFor::Policy => "No policy in force learns this kind.",
        WaitsFor::Workload => "It waits for a workload of the kind: time passes only while one runs.",
        WaitsFor::FirstCall => "It waits for the first call.",
        WaitsFor::MinimumTime => "It learns for a minimum time.",
        WaitsFor::Quiet => "It waits for a time without a new call.",
    });
    let guards = progress.guards_in.map(|time| format!("It guards in {} at the earliest.", span(time)));
    let missing = progress.missing.iter().map(|operation| match operation {
        Operation::Start => "It has seen no start of a workload: restart one while it learns.",
        Operation::Stop => "It has seen no end of a workload: stop or restart one while it learns.",
    });
    waits.into_iter().map(str::to_owned).chain(guards).chain(missing.map(str::to_owned)).collect()
}

impl BaselinePage {
    fn new(
        view: &View,
        (baseline, progress): (&Baseline, &Progress),
        may_change: bool,
        Asked { query, frame }: Asked,
    ) -> Self {
        let path = format!("/baseline/{}", baseline.kind.id());
        let has = query.filter();
        let by = |learned: &crate::detect::LearnedFrom| learned.comm.as_deref().unwrap_or_default().to_owned();
        let mut calls: Vec<_> = baseline.learned().filter(|(call, learned)| has(&[call, &by(learned)])).collect();
        calls.sort_by_key(|&(call, learned)| (std::cmp::Reverse(learned.time), call));
        let pages = query.page(&path, &mut calls);
        let row = |(call, learned): &(&str, &crate::detect::LearnedFrom)| LearnedRow {
            call: Name::short(call),
            when: learned.time.map(|time| Moment::new(time, now(view))),
            by: learned.comm.as_deref().map(Name::short),
        };
        let of_kind = |(_, labels): &(&Workload, &crate::workload::Labels)| {
            BaselineKey::of(labels).is_some_and(|kind| kind == baseline.kind)
        };
        let all = view.model.workloads().map(|(workload, totals)| (workload, &totals.metadata)).filter(of_kind);
        let workloads: Vec<&Workload> = all.map(|(workload, _)| workload).collect();
        let line = |workload: &&Workload| (workload.id(), Name::short(&workload.to_string()));
        Self {
            baseline: BaselineLine::new(view, baseline, progress, (may_change, &frame.daemon)),
            calls: calls.iter().map(row).collect(),
            pages,
            more_workloads: workloads.len().saturating_sub(WORKLOADS),
            workloads: workloads.iter().take(WORKLOADS).map(line).collect(),
            path,
            frame,
            query,
        }
    }
}
