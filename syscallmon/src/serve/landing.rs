//! `/`: a page for people. It shows the state of the daemon, the busiest workloads, and the newest first calls.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use askama::Template;
use axum::{
    extract::State as Extract,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use super::{
    Site,
    api::{incidents::newest, workloads::most_first},
    exposition::workload_series::denied_call,
};
use crate::{
    detect::{Incident, Severity, call_text},
    kernel::ProbeStatus,
    model::Totals,
    process::Process,
    snapshot::ErrorKey,
    syscalls::{Call, IO_URING},
    view::{RecordedFirstCall, View},
    workload::{ProviderStatus, Workload},
};

/// Maximum workloads and first calls on the page.
const ROWS: usize = 25;

/// Maximum calls that are named for each workload.
const CALLS: usize = 5;

#[derive(Template)]
#[template(path = "landing.html")]
struct Page {
    version: &'static str,
    telemetry_path: String,
    /// When counting began, in a replay.
    recorded: Option<String>,
    snapshot_age: String,
    probes: Vec<ProbeStatus>,
    sources: Vec<ProviderStatus>,
    unresolved: usize,
    lost: Vec<(&'static str, u64)>,
    series: String,
    cgroups: String,
    workloads: Vec<WorkloadRow>,
    more: usize,
    first_calls: Vec<FirstRow>,
    policies: usize,
    policies_reloaded: bool,
    incidents: Vec<IncidentRow>,
    more_incidents: usize,
}

struct IncidentRow {
    ago: String,
    severity: Severity,
    is_critical: bool,
    workload: String,
    calls: String,
    count: String,
    process: String,
    policy: Arc<str>,
}

struct WorkloadRow {
    workload: String,
    /// Query of its seccomp profile.
    profile: String,
    gone: bool,
    calls: String,
    errors: String,
    denied: String,
    operations: String,
    /// A line for each signal: its name, and its largest values.
    most: Vec<(&'static str, String)>,
}

struct FirstRow {
    ago: String,
    workload: String,
    call: String,
    process: String,
}

/// Serves the page.
pub(super) async fn page(Extract(site): Extract<Site>) -> Response {
    site.owner.refresh().await;
    let (view, telemetry_path) = (site.views.newest(), Arc::clone(&site.telemetry_path));
    let build = move || {
        let page = Page::new(&view, &telemetry_path);
        match page.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    };
    site.builders.build(build).await
}

impl Page {
    fn new(view: &View, telemetry_path: &str) -> Self {
        let mut busiest: Vec<(&Workload, &Arc<Totals>)> = view.model.workloads().collect();
        busiest.sort_by_key(|(_, totals)| std::cmp::Reverse(totals.counts.calls.sum()));
        let lost = view.losses().into_iter().map(|(reason, count)| (reason.help, count.unwrap_or_default()));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            telemetry_path: telemetry_path.to_owned(),
            recorded: view.facts.is_replay.then(|| humantime::format_rfc3339_seconds(view.facts.started.1).to_string()),
            snapshot_age: format!("{:.1} s", view.snapshot.taken.elapsed().as_secs_f64()),
            probes: view.facts.probes.clone(),
            sources: view.sources.clone(),
            unresolved: view.unresolved,
            lost: lost.filter(|(_, count)| *count != 0).collect(),
            series: format!("{} of {}", view.snapshot.series, view.facts.capacity.series),
            cgroups: format!("{} of {}", view.snapshot.cgroups, view.facts.capacity.cgroups),
            more: busiest.len().saturating_sub(ROWS),
            workloads: busiest
                .into_iter()
                .take(ROWS)
                .map(|(name, totals)| WorkloadRow::new(view, name, totals))
                .collect(),
            first_calls: view.first_calls.iter().take(ROWS).map(|call| FirstRow::new(call)).collect(),
            policies: view.policies.iter().len(),
            policies_reloaded: view.policy_reload.is_ok,
            more_incidents: view.incidents.len().saturating_sub(ROWS),
            incidents: newest(view).into_iter().take(ROWS).map(IncidentRow::new).collect(),
        }
    }
}

impl IncidentRow {
    fn new(incident: &Incident) -> Self {
        let Incident { severity, workload, calls, .. } = incident;
        let process = |process: &Process| {
            let program = process.exe.as_ref().unwrap_or(&process.comm);
            format!("{program} (pid {}, uid {})", process.pid, process.uid)
        };
        let mut names: Vec<String> = calls.iter().take(CALLS).map(|call| call_text(call)).collect();
        let more = incident.number_of_calls() - names.len() as u64;
        if more > 0 {
            names.push(format!("{more} more"));
        }
        Self {
            ago: ago(incident.last_seen),
            severity: *severity,
            is_critical: *severity == Severity::Critical,
            workload: workload.to_string(),
            calls: names.join(", "),
            count: thousands(incident.count),
            process: incident.process.as_ref().map(process).unwrap_or_default(),
            policy: calls.first().map(|call| Arc::clone(&call.policy)).unwrap_or_default(),
        }
    }
}

fn ago(time: SystemTime) -> String {
    format!("{} s ago", time.elapsed().unwrap_or_default().as_secs())
}

impl WorkloadRow {
    fn new(view: &View, workload: &Workload, totals: &Totals) -> Self {
        let counts = &totals.counts;
        let (operations, calls): (Vec<_>, Vec<_>) =
            most_first(&counts.calls, |call| view.facts.calls.call(call)).partition(|(call, _)| call.abi == IO_URING);
        let name = |call| Self::name(view, call);
        let failure = |failure| match failure {
            ErrorKey::Of(call, errno) => format!("{} {}", name(view.facts.calls.call(call)), errno.name()),
            ErrorKey::Other => "others".to_owned(),
        };
        let denial = |denial| match denied_call(&view.facts, denial) {
            (call, Some(errno)) => format!("{} {errno}", name(call)),
            (call, None) => name(call),
        };
        let sum = |counts: &[(Call, u64)]| thousands(counts.iter().map(|(_, count)| count).sum());
        let most = [
            ("calls", most_of(calls.iter().map(|&(call, count)| (name(call), count)))),
            ("errors", most_of(most_first(&counts.errors, failure))),
            ("denied", most_of(most_first(&counts.denied, denial))),
            ("mean duration", Self::slowest(view, totals)),
            ("io_uring", most_of(operations.iter().map(|&(call, count)| (call.syscall.to_owned(), count)))),
        ];
        Self {
            workload: workload.to_string(),
            profile: Self::selector(workload),
            gone: totals.is_gone(),
            calls: sum(&calls),
            errors: thousands(counts.errors.sum()),
            denied: thousands(counts.denied.sum()),
            operations: sum(&operations),
            most: most.into_iter().filter(|(_, text)| !text.is_empty()).collect(),
        }
    }

    /// Returns the selector of a workload.
    fn selector(workload: &Workload) -> String {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let parts = workload.labels().map(|(name, value)| format!("{name}=\"{}\"", quoted(value)));
        parts.collect::<Vec<_>>().join(",")
    }

    /// A call, with its ABI unless that is the native one.
    fn name(view: &View, call: Call) -> String {
        let is_usual = Some(call.abi) == view.facts.calls.abis().next();
        if is_usual { call.syscall.to_owned() } else { format!("{}/{}", call.syscall, call.abi) }
    }

    /// The calls that took most time, and the mean duration of each.
    fn slowest(view: &View, totals: &Totals) -> String {
        let mut durations: Vec<_> = totals.counts.durations.iter().collect();
        durations.sort_by_key(|(_, durations)| std::cmp::Reverse(durations.sum_ns));
        let texts = durations.iter().take(CALLS).map(|(call, durations)| {
            let mean = Duration::from_nanos(durations.sum_ns / durations.count().max(1));
            format!("{} {mean:.1?}", Self::name(view, view.facts.calls.call(*call)))
        });
        texts.collect::<Vec<_>>().join(", ")
    }
}

/// Returns the first few entries, largest first.
fn most_of(counts: impl Iterator<Item = (String, u64)>) -> String {
    let texts = counts.take(CALLS).map(|(name, count)| format!("{name} {}", thousands(count)));
    texts.collect::<Vec<_>>().join(", ")
}

impl FirstRow {
    fn new(call: &RecordedFirstCall) -> Self {
        Self {
            ago: ago(call.time),
            workload: call.workload.to_string(),
            call: format!(
                "{} ({} {}){}",
                call.call(),
                call.abi,
                call.number.cast_signed(),
                if call.denied { ", denied" } else { "" }
            ),
            process: format!("{} (pid {}, uid {})", call.process.comm, call.process.pid, call.process.uid),
        }
    }
}

/// Formats a number with thousands separators.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join("\u{202f}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let thin = |text: &str| text.replace(' ', "\u{202f}");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), thin("1 234 567"));
    }
}
