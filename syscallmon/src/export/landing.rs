//! `/`: a page for people. What runs, whether it is well, who is busy, and what was called for the first time.

use askama::Template;
use axum::{
    extract::State as Extract,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use super::Site;
use crate::{
    kernel::ProbeStatus,
    model::Totals,
    state::{FirstCall, State},
    workload::Workload,
};

/// How many workloads and first calls the page shows.
const ROWS: usize = 25;

/// How many calls of each workload it names.
const CALLS: usize = 5;

#[derive(Template)]
#[template(path = "landing.html")]
struct Page {
    version: &'static str,
    telemetry_path: String,
    snapshot_age: String,
    probes: Vec<ProbeStatus>,
    lost: Vec<(&'static str, u64)>,
    series: String,
    cgroups: String,
    workloads: Vec<Row>,
    more: usize,
    first_calls: Vec<FirstRow>,
}

struct Row {
    cgroup: String,
    gone: bool,
    calls: String,
    busiest: String,
}

struct FirstRow {
    ago: String,
    cgroup: String,
    call: String,
    process: String,
}

/// Answers with the page.
pub(super) async fn page(Extract(site): Extract<Site>) -> Response {
    site.refresher.refresh().await;
    let page = Page::new(&site.shared.lock(), &site.telemetry_path);
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Page {
    fn new(state: &State, telemetry_path: &str) -> Self {
        let mut busiest: Vec<(&Workload, &Totals)> = state.model.workloads().collect();
        busiest.sort_by_key(|(_, totals)| std::cmp::Reverse(totals.sum()));
        let losses = &state.losses;
        let lost = [
            ("calls counted in the remainder, cgroup slots full", losses.cgroups_full),
            ("calls counted in the remainder, series full", losses.series_full),
            ("calls not counted (recursion)", losses.recursion.unwrap_or(0)),
            ("gone workloads folded together", state.model.folded()),
            ("cgroup events", losses.cgroup_events),
            ("first-seen events", losses.first_seen_events),
        ];
        Self {
            version: env!("CARGO_PKG_VERSION"),
            telemetry_path: telemetry_path.to_owned(),
            snapshot_age: format!("{:.1} s", state.snapshot.taken.elapsed().as_secs_f64()),
            probes: state.probes.clone(),
            lost: lost.into_iter().filter(|(_, count)| *count != 0).collect(),
            series: format!("{} of {}", state.series, state.capacity.series),
            cgroups: format!("{} of {}", state.cgroups, state.capacity.cgroups),
            more: busiest.len().saturating_sub(ROWS),
            workloads: busiest.into_iter().take(ROWS).map(|(name, totals)| Row::new(state, name, totals)).collect(),
            first_calls: state.first_calls.iter().take(ROWS).map(FirstRow::new).collect(),
        }
    }
}

impl Row {
    fn new(state: &State, workload: &Workload, totals: &Totals) -> Self {
        let mut calls = totals.calls.clone();
        calls.sort_by_key(|count| std::cmp::Reverse(count.calls));
        let busiest = calls.iter().take(CALLS).map(|count| {
            let call = state.calls.call(count.call);
            let abi = if Some(call.abi) == state.calls.abis().next() { "" } else { call.abi };
            format!("{}{}{} {}", call.syscall, if abi.is_empty() { "" } else { "/" }, abi, thousands(count.calls))
        });
        Self {
            cgroup: workload.cgroup().to_owned(),
            gone: totals.is_gone(),
            calls: thousands(totals.sum()),
            busiest: busiest.collect::<Vec<_>>().join(", "),
        }
    }
}

impl FirstRow {
    fn new(call: &FirstCall) -> Self {
        Self {
            ago: format!("{} s ago", call.time.elapsed().unwrap_or_default().as_secs()),
            cgroup: call.cgroup.cgroup().to_owned(),
            call: format!("{} ({} {})", call.syscall, call.abi, call.number.cast_signed()),
            process: format!("{} (pid {}, uid {})", call.comm, call.pid, call.uid),
        }
    }
}

/// A number with its thousands apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join("\u{2009}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let thin = |text: &str| text.replace(' ', "\u{2009}");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), thin("1 234 567"));
    }
}
