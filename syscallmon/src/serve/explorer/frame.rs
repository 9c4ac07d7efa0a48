//! What all pages have: the navigation, and one line about the host and the daemon, which opens.

use std::time::SystemTime;

use axum::http::{HeaderMap, Uri, header::HOST, uri::Authority};

use super::{
    assets::VERSION,
    text::{Moment, Name, rfc3339, span, thousands},
};
use crate::{
    detect::Severity,
    kernel::ProbeStatus,
    view::View,
    workload::{Label, ProviderStatus},
};

/// Addresses of the daemon that commands ask by default.
const DEFAULT_ADDRESSES: [&str; 3] = ["127.0.0.1:9778", "localhost:9778", "[::1]:9778"];

/// The frame of a page.
#[derive(Debug)]
pub(super) struct Frame {
    /// The current entry of the navigation.
    pub(super) section: &'static str,
    pub(super) assets: &'static str,
    /// Number of incidents.
    pub(super) incidents: usize,
    /// The worst severity of them.
    pub(super) worst: Option<Severity>,
    /// When counting began, in a replay.
    pub(super) recorded: Option<String>,
    pub(super) host: Host,
    pub(super) telemetry_path: String,
    /// The flag with which commands of the page ask this daemon: empty if they do so by default.
    pub(super) daemon: String,
}

/// The host and the daemon.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) node: Option<Name>,
    pub(super) version: &'static str,
    pub(super) uptime: String,
    /// What is wrong; empty if nothing is.
    pub(super) problems: Vec<Name>,
    pub(super) probes: Vec<ProbeRow>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) started: Moment,
}

/// A probe or a metadata provider.
#[derive(Debug)]
pub(super) struct ProbeRow {
    pub(super) name: String,
    pub(super) state: Name,
    pub(super) is_up: bool,
}

impl Frame {
    pub(super) fn new(view: &View, telemetry_path: &str, uri: &Uri, headers: &HeaderMap) -> Self {
        let section = match uri.path().split('/').nth(1).unwrap_or_default() {
            "" | "workload" => "workloads",
            "new" => "new",
            "incidents" | "incident" | "violation" => "incidents",
            "policies" | "baseline" => "policies",
            _ => "",
        };
        Self {
            section,
            assets: &VERSION,
            incidents: view.incidents.len(),
            worst: view.incidents.iter().map(|incident| incident.severity).max(),
            recorded: view.facts.is_replay.then(|| rfc3339(view.facts.started.1)),
            host: Host::new(view),
            telemetry_path: telemetry_path.to_owned(),
            daemon: daemon_flag(uri, headers),
        }
    }

    /// Value of `aria-current` for an entry of the navigation, as an attribute.
    pub(super) fn is(&self, section: &str) -> bool {
        self.section == section
    }
}

/// Returns the flag for the address in the browser: ` --daemon http://node1:9778`. Commands ask the default address
/// without it. An address with characters that a shell reads is left out.
fn daemon_flag(uri: &Uri, headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let address = uri.authority().map(Authority::as_str).or(host).unwrap_or_default();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || ".:-[]".contains(character);
    if address.is_empty() || DEFAULT_ADDRESSES.contains(&address) || !address.chars().all(is_plain) {
        return String::new();
    }
    format!(" --daemon http://{address}")
}

/// Returns the time of a page: of its snapshot, so that a replay has that of its recording.
pub(super) fn now(view: &View) -> SystemTime {
    view.snapshot.time
}

impl Host {
    fn new(view: &View) -> Self {
        let node = view.model.workloads().find_map(|(_, totals)| totals.metadata.get(Label::Node).cloned());
        let uptime = now(view).duration_since(view.facts.started.1).unwrap_or_default();
        let probes = view.facts.probes.iter().map(ProbeRow::of_probe);
        Self {
            node: node.map(|node| Name::short(&node)),
            version: env!("CARGO_PKG_VERSION"),
            uptime: span(uptime),
            problems: problems(view),
            probes: probes.chain(view.sources.iter().map(ProbeRow::of_provider)).collect(),
            facts: facts(view),
            started: Moment::new(view.facts.started.1, now(view)),
        }
    }
}

impl ProbeRow {
    fn of_probe(status: &ProbeStatus) -> Self {
        let state = match (status.implementation, &status.problem) {
            (Some(implementation), None) => format!("attached ({implementation})"),
            (Some(implementation), Some(problem)) => format!("attached ({implementation}): {problem}"),
            (None, problem) => format!("not attached: {}", problem.as_deref().unwrap_or("not needed")),
        };
        Self {
            name: format!("probe {}", status.probe.name()),
            state: Name::whole(&state),
            is_up: status.is_up() || status.problem.is_none(),
        }
    }

    fn of_provider(status: &ProviderStatus) -> Self {
        let state = status.problem.as_ref().map_or_else(|| "answers".to_owned(), |problem| format!("down: {problem}"));
        Self {
            name: format!("metadata from {}", status.source),
            state: Name::whole(&state),
            is_up: status.problem.is_none(),
        }
    }
}

/// Returns what a person should know first, with what is missing because of it.
fn problems(view: &View) -> Vec<Name> {
    let mut problems = Vec::new();
    for status in view.facts.probes.iter().filter(|status| !status.is_up()) {
        if let Some(problem) = &status.problem {
            let row = status.probe.row();
            problems.push(format!("Probe {} is not attached, so {}: {problem}", row.name, row.without));
        }
    }
    for status in &view.sources {
        if let Some(problem) = &status.problem {
            problems.push(format!("No metadata from {}: {problem}", status.source));
        }
    }
    for (reason, count) in view.losses() {
        if let Some(count) = count.filter(|&count| count > 0) {
            problems.push(format!("Lost {}: {}", thousands(count), reason.help));
        }
    }
    if !view.policy_reload.is_ok {
        problems.push("The last change of the policies has mistakes, so the earlier policies are in force".to_owned());
    }
    if !view.config_reload.is_ok {
        problems.push("The last change of the configuration has mistakes, so the earlier one is in force".to_owned());
    }
    problems.iter().map(|problem| Name::whole(problem)).collect()
}

fn facts(view: &View) -> Vec<(&'static str, String)> {
    let of = |used: u64, all: u64| format!("{} of {}", thousands(used), thousands(all));
    let (snapshot, capacity) = (&view.snapshot, &view.facts.capacity);
    vec![
        ("Cgroups", of(snapshot.cgroups as u64, u64::from(capacity.cgroups))),
        ("Series", of(u64::from(snapshot.series), u64::from(capacity.series))),
        ("Hierarchy", view.facts.hierarchy.clone()),
        ("Policies", thousands(view.policies.iter().len() as u64)),
        ("Containers without metadata", thousands(view.unresolved as u64)),
        ("Counts of", rfc3339(snapshot.time)),
    ]
}
