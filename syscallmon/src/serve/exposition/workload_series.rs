//! Writes the series of workloads as text, from their totals and the facts of the host.
//!
//! Has no state: [`super::exposition`] decides which series are rendered again.

use super::encode::{
    family::{Bounds, Histogram, SeriesWriter},
    labels::LabelText,
    number::Timestamp,
};
use crate::{
    detect::ViolationKey,
    model::Totals,
    snapshot::{DeniedKey, ErrorKey},
    syscalls::{Call, IO_URING},
    view::{FixedFacts, View},
    workload::{REMAINDER, Workload},
};

/// A workload, for writing its series.
pub(in crate::serve) struct Subject<'a> {
    pub(in crate::serve) facts: &'a FixedFacts,
    pub(in crate::serve) workload: &'a Workload,
    pub(in crate::serve) totals: &'a Totals,
    /// Labels of all its series.
    pub(in crate::serve) labels: LabelText,
    /// Upper bounds of histograms' buckets.
    pub(in crate::serve) bounds: &'a Bounds,
}

impl<'a> Subject<'a> {
    pub(in crate::serve) fn new(
        facts: &'a FixedFacts,
        bounds: &'a Bounds,
        workload: &'a Workload,
        totals: &'a Totals,
    ) -> Self {
        Self { facts, workload, totals, labels: labels_of(workload), bounds }
    }

    /// Returns when its counters began, if that is exported.
    fn created(&self) -> Option<Timestamp> {
        self.facts.created(self.totals.created()).map(Timestamp::from)
    }
}

/// Returns these labels without the first one if it has no name: the label of calls in families that do not distinguish
/// them.
fn named<'a>(labels: &'a [(&'a str, &'a str)]) -> &'a [(&'a str, &'a str)] {
    match labels {
        [("", _), rest @ ..] => rest,
        _ => labels,
    }
}

fn labels_of(workload: &Workload) -> LabelText {
    let mut labels = LabelText::default();
    workload.labels().for_each(|(name, value)| labels.push(name, value));
    labels
}

pub(in crate::serve) fn syscalls_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let (created, by) = (of.created(), of.facts.layout.granularities().syscalls);
    for (call, &calls) in of.facts.layout.calls(&of.totals.counts).iter() {
        let Call { abi, syscall } = of.facts.calls.call(call);
        if abi != IO_URING {
            series.value(&of.labels, named(&[by.label(syscall), ("abi", abi)]), calls, created);
        }
    }
}

pub(in crate::serve) fn io_uring_requests_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let created = of.created();
    for (call, &requests) in of.totals.counts.calls.iter() {
        let Call { abi, syscall } = of.facts.calls.call(call);
        if abi == IO_URING {
            series.value(&of.labels, &[("op", syscall)], requests, created);
        }
    }
}

pub(in crate::serve) fn syscall_errors_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let (created, by) = (of.created(), of.facts.layout.granularities().errors);
    for (failure, &errors) in of.facts.layout.errors(&of.totals.counts).iter() {
        let (Call { abi, syscall }, errno) = match failure {
            ErrorKey::Of(call, errno) => (of.facts.calls.call(call), errno.name()),
            ErrorKey::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, REMAINDER),
        };
        series.value(&of.labels, named(&[by.label(syscall), ("abi", abi), ("errno", errno)]), errors, created);
    }
}

pub(in crate::serve) fn syscalls_denied_total(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let (created, by) = (of.created(), of.facts.layout.granularities().denied);
    for (denial, &attempts) in of.facts.layout.denied(&of.totals.counts).iter() {
        let (Call { abi, syscall }, errno) = denied_call(of.facts, denial);
        let labels = [by.label(syscall), ("abi", abi), ("errno", errno.unwrap_or_default())];
        let labels = if errno.is_some() { &labels[..] } else { &labels[..2] };
        series.value(&of.labels, named(labels), attempts, created);
    }
}

/// Returns the labels of a denied call, with `errno` if the filter answered that the kernel lacks the call.
pub(in crate::serve) fn denied_call(facts: &FixedFacts, denial: DeniedKey) -> (Call, Option<&'static str>) {
    match denial {
        DeniedKey::Of(call) => (facts.calls.call(call), None),
        DeniedKey::Unsupported(call) => (facts.calls.call(call), Some("ENOSYS")),
        DeniedKey::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, None),
    }
}

pub(in crate::serve) fn syscall_duration_seconds(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    let created = of.created();
    for (label, durations) in of.facts.layout.durations(&of.totals.counts, &of.facts.calls).iter() {
        let cumulative: Vec<u64> = of.facts.duration_bounds.iter().map(|&bound| durations.at_most(bound)).collect();
        let (bounds, count, sum) = (of.bounds, durations.count(), durations.seconds());
        let histogram = Histogram { bounds, cumulative: &cumulative, count, sum };
        series.histogram(&of.labels, named(&[label]), histogram, created);
    }
}

pub(in crate::serve) fn workload_info(of: &Subject<'_>, series: &mut SeriesWriter<'_>) {
    if of.workload.is_one() {
        let is_own = |name: &str| of.workload.labels().any(|(label, _)| label == name);
        let metadata: Vec<(&str, &str)> = of.totals.metadata.iter().filter(|(name, _)| !is_own(name)).collect();
        series.value(&of.labels, &metadata, 1, None);
    }
}

pub(in crate::serve) fn unexpected_syscalls_total(view: &View, series: &mut SeriesWriter<'_>) {
    for (ViolationKey { workload, call, policy, severity }, &count) in view.violations.counts.iter() {
        let Call { abi, syscall } = view.facts.calls.call(*call);
        let created = view.model.get(workload).and_then(|totals| totals.created());
        let labels = [("syscall", syscall), ("abi", abi), ("policy", policy), ("severity", severity.name())];
        series.value(&labels_of(workload), &labels, count, view.facts.created(created).map(Timestamp::from));
    }
}
