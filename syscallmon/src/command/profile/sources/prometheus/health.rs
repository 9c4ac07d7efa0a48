//! What limits the counts: lost calls, probes that are not attached, scrapes that are missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;

use super::{
    api::Api,
    collect::Span,
    labels::LabelSet,
    promql::{self, Function},
    window::Window,
};
use crate::{
    command::profile::sources::{LOST_ARGUMENTS, LOST_CALLS},
    process::printable_name,
};

/// Maximum targets in the selector of one query.
const CHUNK: usize = 500;

/// Time after the start of a daemon in which it finds and names the containers that are older, in seconds.
const FINDS_OLDER: f64 = 60.0;

/// Share of a window in which scrapes may be missing.
const MISSING_SHARE: f64 = 0.02;

/// The health of each daemon by the labels of its target.
#[derive(Debug, Default)]
pub(super) struct Health {
    targets: HashMap<LabelSet, Vec<InWindow>>,
    /// Probes that were not attached at some time, with the number of targets.
    pub(super) probes_down: BTreeMap<String, usize>,
    windows: Vec<Window>,
}

/// The health of one daemon in one window.
#[derive(Clone, Copy, Debug, Default)]
struct InWindow {
    /// Number of calls that were lost.
    lost: f64,
    /// The first and the last start of the daemon's process that is known in this window.
    starts: Option<(f64, f64)>,
    /// Number of steps at which a scrape had succeeded.
    steps_up: Option<f64>,
    /// Number of steps at which the daemon counted classes of arguments.
    steps_with_arguments: f64,
    /// Number of classes that were counted without a name.
    lost_arguments: f64,
}

impl Health {
    /// Reads the health of these targets.
    pub(super) async fn read(api: &mut Api, targets: &BTreeSet<LabelSet>, windows: &[Window]) -> Result<Self> {
        let rows = || vec![InWindow::default(); windows.len()];
        let targets_of = targets.iter().map(|target| (target.clone(), rows())).collect();
        let mut health = Self { targets: targets_of, windows: windows.to_vec(), ..Self::default() };
        let reasons = format!("reason=~\"{}\",", LOST_CALLS.join("|"));
        let targets: Vec<&LabelSet> = targets.iter().collect();
        for targets in targets.chunks(CHUNK) {
            let selector = |metric, more| [promql::of_targets(metric, more, targets.iter().copied())];
            let (losses, scrapes) = (selector("syscallmon_lost_total", &reasons), selector("up", ""));
            let losses_of_arguments = format!("reason=\"{LOST_ARGUMENTS}\",");
            let lost_arguments = selector("syscallmon_lost_total", &losses_of_arguments);
            let counts_arguments = selector("syscallmon_arguments_counted", "");
            let (start, probes) = (selector("process_start_time_seconds", ""), selector("syscallmon_probe_up", ""));
            for (index, &window) in windows.iter().enumerate() {
                for (labels, value) in api.over(Function::Increase, &losses, window).await? {
                    health.at(&labels, index, |row| row.lost += value);
                }
                let first = api.over(Function::Min, &start, window).await?;
                let last = api.over(Function::Max, &start, window).await?;
                for (labels, first) in first {
                    let last = last.get(&labels).copied().unwrap_or(first);
                    health.at(&labels, index, |row| row.starts = Some((first, last)));
                }
                for (labels, steps) in api.over(Function::Steps, &scrapes, window).await? {
                    health.at(&labels, index, |row| row.steps_up = Some(steps));
                }
                for (labels, steps) in api.over(Function::Steps, &counts_arguments, window).await? {
                    health.at(&labels, index, |row| row.steps_with_arguments = steps);
                }
                for (labels, value) in api.over(Function::Increase, &lost_arguments, window).await? {
                    health.at(&labels, index, |row| row.lost_arguments += value);
                }
                for (labels, least) in api.over(Function::Min, &probes, window).await? {
                    if least == 0.0 && health.targets.contains_key(&labels.of_target()) {
                        *health.probes_down.entry(printable_name(labels.get("probe"))).or_default() += 1;
                    }
                }
            }
        }
        Ok(health)
    }

    fn at(&mut self, labels: &LabelSet, window: usize, change: impl FnOnce(&mut InWindow)) {
        if let Some(rows) = self.targets.get_mut(&labels.of_target()) {
            change(&mut rows[window]);
        }
    }

    fn rows<'a>(&'a self, targets: &'a BTreeSet<LabelSet>) -> impl Iterator<Item = &'a [InWindow]> {
        targets.iter().filter_map(|target| self.targets.get(target)).map(Vec::as_slice)
    }

    /// Returns the number of calls that the daemons of these targets lost in a time.
    pub(super) fn lost(&self, targets: &BTreeSet<LabelSet>, span: Span) -> f64 {
        let of_target = |rows: &[InWindow]| -> f64 {
            let rows = self.windows.iter().zip(rows);
            rows.filter(|(window, _)| window.overlaps(span.first, span.last)).map(|(_, row)| row.lost).sum()
        };
        self.rows(targets).map(of_target).sum()
    }

    /// Whether the daemons of these targets counted all classes of arguments, in all windows of a time.
    pub(super) fn counted_arguments(&self, targets: &BTreeSet<LabelSet>, span: Span) -> bool {
        let has_all = |row: &InWindow| {
            row.lost_arguments == 0.0 && row.steps_up.is_none_or(|steps| row.steps_with_arguments >= steps)
        };
        let of_target = |rows: &[InWindow]| {
            let mut rows = self.windows.iter().zip(rows);
            rows.all(|(window, row)| !window.overlaps(span.first, span.last) || has_all(row))
        };
        self.rows(targets).all(of_target)
    }

    /// Returns the number of calls that all daemons lost.
    pub(super) fn all_lost(&self) -> f64 {
        self.targets.values().flatten().map(|row| row.lost).sum()
    }

    /// Whether the daemon of a target ran before a workload began. If it did not, calls of the start are missing.
    pub(super) fn ran_before(&self, target: &LabelSet, span: Span) -> bool {
        let Some(rows) = self.targets.get(target).filter(|_| span.is_exact) else { return false };
        let mut rows = self.windows.iter().zip(rows);
        let at_start = rows.find(|(window, _)| window.overlaps(span.first, span.first));
        let Some((window, (first, last))) = at_start.and_then(|(window, row)| Some((window, row.starts?))) else {
            return false;
        };
        // A daemon that started after the workload's first sample is not the one that found it.
        let start = if last <= span.first { last } else { first };
        // The first sample is known to the step.
        span.first - window.step() as f64 > start + FINDS_OLDER
    }

    /// Returns for how long no scrape of these targets succeeded in a time, in seconds. Windows that the time covers in
    /// part do not count.
    pub(super) fn missing(&self, targets: &BTreeSet<LabelSet>, span: Span) -> f64 {
        let of_window = |(index, window): (usize, &Window)| {
            let is_whole = span.first <= window.begin as f64 && window.end as f64 <= span.last;
            let rows = self.rows(targets).filter_map(|rows| rows[index].steps_up);
            let (up, step) = (rows.reduce(|sum, steps| sum + steps), window.step() as f64);
            let expected = window.seconds() as f64;
            let missing = expected - up.unwrap_or_default() * step;
            if is_whole && missing > expected * MISSING_SHARE { missing } else { 0.0 }
        };
        self.windows.iter().enumerate().map(of_window).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> LabelSet {
        [("job", "syscallmon"), ("instance", "n1:9778")].into_iter().collect()
    }

    fn span(first: f64, last: f64) -> Span {
        Span { first, last, is_exact: true }
    }

    fn health(rows: [InWindow; 3]) -> Health {
        let windows = [0, 1, 2].map(|index| Window { begin: 10_000 + index * 3600, end: 13_600 + index * 3600 });
        Health { targets: [(target(), rows.to_vec())].into(), windows: windows.to_vec(), ..Health::default() }
    }

    #[test]
    fn a_start_is_observed_if_the_daemon_is_older() {
        let of = |starts| health([InWindow { starts: Some(starts), ..InWindow::default() }; 3]);
        assert!(of((9_000.0, 9_000.0)).ran_before(&target(), span(12_000.0, 20_000.0)));
        assert!(!of((11_920.0, 11_920.0)).ran_before(&target(), span(12_000.0, 20_000.0)));
        assert!(!of((9_000.0, 11_950.0)).ran_before(&target(), span(12_000.0, 20_000.0)), "restarted just before");
        assert!(of((9_000.0, 12_500.0)).ran_before(&target(), span(12_000.0, 20_000.0)), "restarted later");
        assert!(!health([InWindow::default(); 3]).ran_before(&target(), span(12_000.0, 20_000.0)), "not known");
        let inexact = Span { is_exact: false, ..span(12_000.0, 20_000.0) };
        assert!(!of((9_000.0, 9_000.0)).ran_before(&target(), inexact));
    }

    #[test]
    fn losses_and_gaps_count_while_a_replica_is_there() {
        let row = InWindow { lost: 5.0, steps_up: Some(120.0), ..InWindow::default() };
        let health = health([row, InWindow { steps_up: Some(60.0), ..row }, row]);
        let targets = [target()].into();
        assert_eq!((health.lost(&targets, span(10_100.0, 13_000.0)), health.all_lost()), (5.0, 15.0));
        let missing = |first| health.missing(&targets, span(first, 30_000.0));
        assert_eq!((missing(9_000.0), missing(14_000.0)), (1800.0, 0.0));
    }
}
