//! Writes the series of workloads as text, from their totals and the facts of the host.
//!
//! Keeps nothing: [`super::exposition`] decides what is written again.

use super::encode::{
    family::{Bounds, Histogram, SeriesWriter},
    labels::LabelText,
    number::Timestamp,
};
use crate::{
    durations::Durations,
    model::Totals,
    policy::Counted,
    snapshot::{Denial, Failure},
    syscalls::{Call, IO_URING},
    tally::Tally,
    view::{Host, View},
    workload::{REMAINDER, Workload},
};

/// A workload whose series are written.
pub(super) struct Subject<'a> {
    pub(super) host: &'a Host,
    pub(super) workload: &'a Workload,
    pub(super) totals: &'a Totals,
    /// The labels of all its series.
    pub(super) labels: LabelText,
    /// The upper bounds of histograms' buckets.
    pub(super) bounds: &'a Bounds,
}

impl<'a> Subject<'a> {
    pub(super) fn new(host: &'a Host, bounds: &'a Bounds, workload: &'a Workload, totals: &'a Totals) -> Self {
        Self { host, workload, totals, labels: labels_of(workload), bounds }
    }

    /// When its counters began to count.
    fn created(&self) -> Timestamp {
        self.host.time_of(self.totals.created()).into()
    }
}

fn labels_of(workload: &Workload) -> LabelText {
    let mut labels = LabelText::default();
    workload.labels().for_each(|(name, value)| labels.push(name, value));
    labels
}

pub(super) fn syscalls_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let created = Some(of.created());
    for (call, &calls) in of.totals.counts.calls.iter() {
        let Call { abi, syscall } = of.host.calls.call(call);
        if abi != IO_URING {
            series.value(&of.labels, &[("syscall", syscall), ("abi", abi)], calls, created);
        }
    }
}

pub(super) fn io_uring_requests_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let created = Some(of.created());
    for (call, &requests) in of.totals.counts.calls.iter() {
        let Call { abi, syscall } = of.host.calls.call(call);
        if abi == IO_URING {
            series.value(&of.labels, &[("op", syscall)], requests, created);
        }
    }
}

pub(super) fn syscall_errors_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let created = Some(of.created());
    for (failure, &errors) in of.totals.counts.errors.iter() {
        let (Call { abi, syscall }, errno) = match failure {
            Failure::Of(call, errno) => (of.host.calls.call(call), errno.name()),
            Failure::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, REMAINDER),
        };
        series.value(&of.labels, &[("syscall", syscall), ("abi", abi), ("errno", errno)], errors, created);
    }
}

pub(super) fn syscalls_denied_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let created = Some(of.created());
    for (denial, &attempts) in of.totals.counts.denied.iter() {
        let (Call { abi, syscall }, errno) = denied_call(of.host, denial);
        let labels = [("syscall", syscall), ("abi", abi), ("errno", errno.unwrap_or_default())];
        let labels = if errno.is_some() { &labels[..] } else { &labels[..2] };
        series.value(&of.labels, labels, attempts, created);
    }
}

/// Names what was refused, and the errno where that tells the program to do without.
pub(super) fn denied_call(host: &Host, denial: Denial) -> (Call, Option<&'static str>) {
    match denial {
        Denial::Of(call) => (host.calls.call(call), None),
        Denial::Unsupported(call) => (host.calls.call(call), Some("ENOSYS")),
        Denial::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, None),
    }
}

pub(super) fn syscall_duration_seconds(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let (created, durations) = (Some(of.created()), of.totals.counts.durations.iter());
    // Calls of one name in several ABIs are one series.
    let by_name: Tally<&str, Durations> =
        durations.map(|(call, durations)| (of.host.calls.call(call).syscall, *durations)).collect();
    for (syscall, durations) in by_name.iter() {
        let cumulative: Vec<u64> = of.host.duration_bounds.iter().map(|&bound| durations.at_most(bound)).collect();
        let (bounds, count, sum) = (of.bounds, durations.count(), durations.seconds());
        let histogram = Histogram { bounds, cumulative: &cumulative, count, sum };
        series.histogram(&of.labels, &[("syscall", syscall)], histogram, created);
    }
}

pub(super) fn workload_info(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    if of.workload.is_one() {
        let is_own = |name: &str| of.workload.labels().any(|(label, _)| label == name);
        let about: Vec<(&str, &str)> = of.totals.about.iter().filter(|(name, _)| !is_own(name)).collect();
        series.value(&of.labels, &about, 1, None);
    }
}

pub(super) fn unexpected_syscalls_total(view: &View, series: &mut SeriesWriter<'_>) {
    for (Counted { workload, call, policy, severity }, &count) in view.violations.counts.iter() {
        let Call { abi, syscall } = view.host.calls.call(*call);
        let created = view.model.get(workload).and_then(|totals| totals.created());
        let labels = [("syscall", syscall), ("abi", abi), ("policy", policy), ("severity", severity.name())];
        series.value(&labels_of(workload), &labels, count, Some(view.host.time_of(created).into()));
    }
}
