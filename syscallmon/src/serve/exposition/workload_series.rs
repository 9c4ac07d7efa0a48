//! Writes the series of workloads as text. Each function writes one family for one workload, from its totals and from
//! facts that never change. The family of unexpected calls is written for all workloads, from the counts of violations.
//!
//! Has no state: [`super::renderer`] decides which series are rendered again.

use super::encode::{
    family::{Bounds, Histogram, SeriesTextWriter},
    labels::LabelText,
    number::Timestamp,
};
use crate::{
    detect::ViolationKey,
    model::Totals,
    snapshot::{ArgumentKey, DeniedKey, ErrorKey, SortedCounts},
    syscalls::{Call, CallId, IO_URING},
    view::{FixedFacts, View},
    workload::{REMAINDER, Workload},
};

/// A workload, and what its series are written from.
pub(in crate::serve) struct WorkloadToWrite<'a> {
    pub(in crate::serve) facts: &'a FixedFacts,
    pub(in crate::serve) id: &'a Workload,
    pub(in crate::serve) totals: &'a Totals,
    /// Labels of all its series.
    pub(in crate::serve) labels: LabelText,
    /// Upper bounds of histograms' buckets.
    pub(in crate::serve) bounds: &'a Bounds,
}

impl<'a> WorkloadToWrite<'a> {
    pub(in crate::serve) fn new(
        facts: &'a FixedFacts,
        bounds: &'a Bounds,
        id: &'a Workload,
        totals: &'a Totals,
    ) -> Self {
        Self { facts, id, totals, labels: labels_of(id), bounds }
    }

    /// Returns when its counters began, if that is exported.
    fn created(&self) -> Option<Timestamp> {
        self.facts.created(self.totals.created()).map(Timestamp::from)
    }
}

/// Returns these labels without the first one if its name is empty, as in families that do not distinguish calls.
fn without_unnamed_first<'a>(labels: &'a [(&'a str, &'a str)]) -> &'a [(&'a str, &'a str)] {
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

pub(in crate::serve) fn syscalls_total(workload: &WorkloadToWrite<'_>, series: &mut SeriesTextWriter<'_>) {
    calls_by_name(workload, &workload.facts.layout.calls(&workload.totals.counts), series);
}

pub(in crate::serve) fn container_init_syscalls_total(
    workload: &WorkloadToWrite<'_>,
    series: &mut SeriesTextWriter<'_>,
) {
    calls_by_name(workload, &workload.facts.layout.container_init(&workload.totals.counts), series);
}

fn calls_by_name(workload: &WorkloadToWrite<'_>, calls: &SortedCounts<CallId>, series: &mut SeriesTextWriter<'_>) {
    let (created, by) = (workload.created(), workload.facts.layout.granularities().syscalls);
    for (call, &calls) in calls.iter() {
        let Call { abi, syscall } = workload.facts.calls.call(call);
        if abi != IO_URING {
            series.value(&workload.labels, without_unnamed_first(&[by.label(syscall), ("abi", abi)]), calls, created);
        }
    }
}

pub(in crate::serve) fn io_uring_requests_total(workload: &WorkloadToWrite<'_>, series: &mut SeriesTextWriter<'_>) {
    let created = workload.created();
    for (call, &requests) in workload.totals.counts.calls.iter() {
        let Call { abi, syscall } = workload.facts.calls.call(call);
        if abi == IO_URING {
            series.value(&workload.labels, &[("op", syscall)], requests, created);
        }
    }
}

pub(in crate::serve) fn syscall_errors_total(workload: &WorkloadToWrite<'_>, series: &mut SeriesTextWriter<'_>) {
    let (created, by) = (workload.created(), workload.facts.layout.granularities().errors);
    for (failure, &errors) in workload.facts.layout.errors(&workload.totals.counts).iter() {
        let (Call { abi, syscall }, errno) = match failure {
            ErrorKey::Of(call, errno) => (workload.facts.calls.call(call), errno.name()),
            ErrorKey::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, REMAINDER),
        };
        series.value(
            &workload.labels,
            without_unnamed_first(&[by.label(syscall), ("abi", abi), ("errno", errno)]),
            errors,
            created,
        );
    }
}

pub(in crate::serve) fn syscalls_denied_total(workload: &WorkloadToWrite<'_>, series: &mut SeriesTextWriter<'_>) {
    let (created, by) = (workload.created(), workload.facts.layout.granularities().denied);
    for (denial, &attempts) in workload.facts.layout.denied(&workload.totals.counts).iter() {
        let (Call { abi, syscall }, errno) = denied_call(workload.facts, denial);
        let labels = [by.label(syscall), ("abi", abi), ("errno", errno.unwrap_or_default())];
        let labels = if errno.is_some() { &labels[..] } else { &labels[..2] };
        series.value(&workload.labels, without_unnamed_first(labels), attempts, created);
    }
}

/// Returns the labels of a denied call, with `errno` if the filter answered that the kernel lacks the call.
pub(in crate::serve) fn denied_call(facts: &FixedFacts, denial: DeniedKey) -> (Call, Option<&'static str>) {
    match denial {
        DeniedKey::Of(call) | DeniedKey::OfRuntime(call) => (facts.calls.call(call), None),
        DeniedKey::Unsupported(call) => (facts.calls.call(call), Some("ENOSYS")),
        DeniedKey::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, None),
    }
}

pub(in crate::serve) fn syscall_arguments_total(workload: &WorkloadToWrite<'_>, series: &mut SeriesTextWriter<'_>) {
    let class = |class| match class {
        ArgumentKey::Of(class) => Some(workload.facts.calls.call(class)),
        ArgumentKey::Other => Some(Call { abi: REMAINDER, syscall: REMAINDER }),
        ArgumentKey::Denied(_) => None,
    };
    by_argument(workload, class, series);
}

pub(in crate::serve) fn syscall_arguments_denied_total(
    workload: &WorkloadToWrite<'_>,
    series: &mut SeriesTextWriter<'_>,
) {
    let class = |class| match class {
        ArgumentKey::Denied(class) => Some(workload.facts.calls.call(class)),
        ArgumentKey::Of(_) | ArgumentKey::Other => None,
    };
    by_argument(workload, class, series);
}

/// Writes the classes of arguments that `call` returns.
fn by_argument(
    workload: &WorkloadToWrite<'_>,
    call: impl Fn(ArgumentKey) -> Option<Call>,
    series: &mut SeriesTextWriter<'_>,
) {
    let created = workload.created();
    for (class, &calls) in workload.totals.counts.arguments.iter() {
        let Some(call) = call(class) else { continue };
        let argument = if call.abi == REMAINDER { REMAINDER } else { call.argument() };
        let labels = [("syscall", call.name()), ("abi", call.abi), ("argument", argument)];
        series.value(&workload.labels, &labels, calls, created);
    }
}

pub(in crate::serve) fn syscall_duration_seconds(workload: &WorkloadToWrite<'_>, series: &mut SeriesTextWriter<'_>) {
    let created = workload.created();
    for (label, durations) in workload.facts.layout.durations(&workload.totals.counts, &workload.facts.calls).iter() {
        let cumulative: Vec<u64> =
            workload.facts.duration_bounds.iter().map(|&bound| durations.at_most(bound)).collect();
        let (bounds, count, sum) = (workload.bounds, durations.count(), durations.seconds());
        let histogram = Histogram { bounds, cumulative: &cumulative, count, sum };
        series.histogram(&workload.labels, without_unnamed_first(&[label]), histogram, created);
    }
}

pub(in crate::serve) fn workload_info(workload: &WorkloadToWrite<'_>, series: &mut SeriesTextWriter<'_>) {
    if workload.id.is_one() {
        let is_own = |name: &str| workload.id.labels().any(|(label, _)| label == name);
        let metadata: Vec<(&str, &str)> = workload.totals.metadata.iter().filter(|(name, _)| !is_own(name)).collect();
        series.value(&workload.labels, &metadata, 1, None);
    }
}

pub(in crate::serve) fn unexpected_syscalls_total(view: &View, series: &mut SeriesTextWriter<'_>) {
    for (ViolationKey { workload, call, policy, severity }, &count) in view.violations.counts.iter() {
        let call = view.facts.calls.call(*call);
        let created = view.model.get(workload).and_then(|totals| totals.created());
        let labels = [
            ("syscall", call.name()),
            ("abi", call.abi),
            ("policy", policy),
            ("severity", severity.name()),
            ("argument", call.argument()),
        ];
        // Without a class, the series has no label `argument`.
        let labels = if call.argument().is_empty() { &labels[..4] } else { &labels[..] };
        series.value(&labels_of(workload), labels, count, view.facts.created(created).map(Timestamp::from));
    }
}
