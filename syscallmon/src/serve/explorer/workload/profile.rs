//! The profile of a workload: what it would allow, how long the workload was observed, and the links to its formats.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use clap::ValueEnum as _;

use crate::{
    detect::{Severity, Violation, call_text},
    model::Totals,
    profile::Format,
    serve::explorer::{
        frame::now,
        text::{percent_encoded, span},
    },
    stable_id::StableId,
    syscalls::IO_URING,
    view::View,
    workload::{Label, Labels, Workload},
};

/// A profile from less time lacks calls, mostly. `syscallmon profile generate` warns below the same time.
const MIN_TIME: Duration = Duration::from_mins(5);

/// The part of the page about the profile.
pub(super) struct ProfilePart {
    pub(super) is_container: bool,
    pub(super) observed: String,
    pub(super) is_too_short: bool,
    pub(super) saw_start: bool,
    /// Unexpected calls that the profile would allow: the id of each violation, its severity, and the call.
    pub(super) unexpected: Vec<(StableId, Severity, String)>,
    pub(super) choices: Vec<ProfileChoice>,
}

/// A selector for the profile, with the links to its formats.
pub(super) struct ProfileChoice {
    pub(super) what: String,
    pub(super) command: String,
    /// Address, format, and its description.
    pub(super) links: Vec<(String, String, String)>,
}

impl ProfilePart {
    pub(super) fn new(view: &View, workload: &Workload, totals: &Totals, daemon: &str) -> Self {
        let observed = observed(view, totals);
        Self {
            is_container: is_container(&totals.metadata),
            observed: span(observed),
            is_too_short: observed < MIN_TIME,
            saw_start: totals.created().is_some(),
            unexpected: unexpected(view, workload),
            choices: choices(workload, &totals.metadata, daemon),
        }
    }

    pub(super) fn title(&self) -> &'static str {
        if self.is_container { "Its seccomp profile" } else { "Its system call filter" }
    }
}

fn is_container(metadata: &Labels) -> bool {
    metadata.get(Label::ContainerId).is_some()
}

/// Returns how long a workload was counted. An ended one was counted until its last call.
fn observed(view: &View, totals: &Totals) -> Duration {
    let last = |call| Some(view.facts.time_of(Some(view.model.seen(totals, call)?.1)));
    let last_call = || totals.counts.calls.iter().filter_map(|(call, _)| last(call)).max();
    let end: Option<SystemTime> = if totals.is_gone() { last_call() } else { Some(now(view)) };
    let start = view.facts.time_of(totals.created());
    end.and_then(|end| end.duration_since(start).ok()).unwrap_or_default()
}

/// Returns the unexpected calls of a workload that ran, the worst first. A profile has no operations of io_uring.
fn unexpected(view: &View, workload: &Workload) -> Vec<(StableId, Severity, String)> {
    let is_its = |violation: &&Arc<Violation>| {
        violation.workload == *workload && !violation.denied && violation.call.abi != IO_URING
    };
    let mut all: Vec<_> = view.violations.kept.iter().filter(is_its).collect();
    all.sort_by_key(|violation| (std::cmp::Reverse(violation.severity), violation.call));
    all.iter().map(|violation| (violation.id(), violation.severity, call_text(violation))).collect()
}

/// Returns the workloads that a profile can be for: all with this owner, and this one.
fn choices(workload: &Workload, metadata: &Labels, daemon: &str) -> Vec<ProfileChoice> {
    let owned = [Label::Namespace, Label::Owner, Label::OwnerKind, Label::Container];
    let values: Vec<_> =
        owned.iter().filter_map(|&label| Some((label.name(), metadata.get(label)?.as_ref()))).collect();
    let is_container = is_container(metadata);
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
