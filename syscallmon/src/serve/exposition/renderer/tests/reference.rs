//! Renders all families of a view with the prometheus crate, in the simplest way.

use std::{collections::HashMap, sync::LazyLock};

use prometheus::{
    Encoder, TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily},
};

use super::*;
use crate::{
    detect::ViolationKey,
    serve::exposition::workload_series::denied_call,
    snapshot::{ArgumentKey, Bound, Counts, Durations, ErrorKey, SortedCounts},
    syscalls::{IO_URING, sets},
    workload::REMAINDER,
};

/// The text of all families but the daemon's own.
pub(super) fn text(view: &View) -> String {
    let families: Vec<MetricFamily> = FAMILIES.iter().map(|row| family(view, row)).collect();
    let families: Vec<_> = families.into_iter().filter(|family| !family.get_metric().is_empty()).collect();
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn family(view: &View, row: &Family) -> MetricFamily {
    if let SeriesSource::Host(collect) = row.series {
        return gather(row, |samples| collect(view, samples));
    }
    let collect: fn(&View, &mut Vec<Metric>) = match row.name {
        "syscallmon_syscalls_total" => |view, metrics| syscalls_total(view, metrics, |counts| &counts.calls),
        "syscallmon_container_init_syscalls_total" => {
            |view, metrics| syscalls_total(view, metrics, |counts| &counts.container_init)
        }
        "syscallmon_syscall_errors_total" => syscall_errors_total,
        "syscallmon_syscalls_denied_total" => syscalls_denied_total,
        "syscallmon_syscall_arguments_total" => |view, metrics| {
            syscall_arguments(view, metrics, |class| !matches!(class, ArgumentKey::Denied(_)));
        },
        "syscallmon_syscall_arguments_denied_total" => |view, metrics| {
            syscall_arguments(view, metrics, |class| matches!(class, ArgumentKey::Denied(_)));
        },
        "syscallmon_syscall_duration_seconds" => syscall_duration_seconds,
        "syscallmon_io_uring_requests_total" => io_uring_requests_total,
        "syscallmon_unexpected_syscalls_total" => unexpected_syscalls_total,
        "syscallmon_workload_info" => workload_info,
        other => panic!("{other} has no reference here"),
    };
    let mut metrics = Vec::new();
    collect(view, &mut metrics);
    let mut family = gather(row, |_| {});
    family.set_metric(metrics);
    family
}

/// A counter or a gauge: the encoder reads the type from the family.
fn add(metrics: &mut Vec<Metric>, workload: &Workload, labels: &[(&str, &str)], value: f64) {
    let mut metric = Metric::from_label(pairs(workload, labels));
    let (mut counter, mut gauge) = (Counter::default(), Gauge::default());
    counter.set_value(value);
    gauge.set_value(value);
    metric.set_counter(counter);
    metric.set_gauge(gauge);
    metrics.push(metric);
}

fn add_durations(
    metrics: &mut Vec<Metric>,
    (workload, labels): (&Workload, &[(&str, &str)]),
    durations: &Durations,
    bounds: &[Bound],
) {
    let bucket = |&bound: &Bound| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.seconds());
        bucket.set_cumulative_count(durations.at_most(bound));
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(bounds.iter().map(bucket).collect());
    histogram.set_sample_count(durations.count());
    histogram.set_sample_sum(durations.seconds());
    let mut metric = Metric::from_label(pairs(workload, labels));
    metric.set_histogram(histogram);
    metrics.push(metric);
}

/// Returns the labels of a call: those that distinguish it, and its ABI unless that is empty.
fn call_labels(by: Granularity, call: Call) -> Vec<(&'static str, &'static str)> {
    let label = match by {
        Granularity::Name => Some(("syscall", call.syscall)),
        Granularity::Set => Some(("set", set(call.syscall))),
        Granularity::None => None,
    };
    label.into_iter().chain((!call.abi.is_empty()).then_some(("abi", call.abi))).collect()
}

/// Returns the smallest of systemd's sets with the call.
fn set(syscall: &'static str) -> &'static str {
    static SETS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        let calls = CallTable::x86_64().iter().map(|(_, call)| call.syscall).collect::<HashSet<_>>();
        let of = |call: &&'static str| {
            let sets = sets::names().filter(|&set| set != sets::RUNTIME_DEFAULT);
            let sets =
                sets.filter_map(|set| Some((sets::members(set).filter(|calls| calls.contains(call))?.len(), set)));
            sets.min().map_or("ungrouped", |(_, set)| set)
        };
        calls.iter().map(|call| (*call, of(call))).collect()
    });
    if ["unknown", "(remainder)"].contains(&syscall) { syscall } else { SETS[syscall] }
}

/// Adds amounts. Those with the same labels are summed.
fn add_sums<'a>(
    metrics: &mut Vec<Metric>,
    workload: &Workload,
    amounts: impl Iterator<Item = (Vec<(&'static str, &'static str)>, &'a u64)>,
) {
    let mut sums: Vec<(Vec<(&str, &str)>, u64)> = Vec::new();
    for (labels, amount) in amounts {
        match sums.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, sum)) => *sum += amount,
            None => sums.push((labels, *amount)),
        }
    }
    for (labels, sum) in sums {
        add(metrics, workload, &labels, sum as f64);
    }
}

fn pairs(workload: &Workload, more: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    workload.labels().map(pair).chain(more.iter().copied().map(pair)).collect()
}

fn syscalls_total(view: &View, samples: &mut Vec<Metric>, of: fn(&Counts) -> &SortedCounts<CallId>) {
    for (workload, totals) in view.model.workloads() {
        let by = view.facts.layout.granularities().syscalls;
        let calls = of(&totals.counts).iter().map(|(call, calls)| (view.facts.calls.call(call), calls));
        let calls = calls.filter(|(call, _)| call.abi != IO_URING);
        add_sums(samples, workload, calls.map(|(call, calls)| (call_labels(by, call), calls)));
    }
}

fn unexpected_syscalls_total(view: &View, samples: &mut Vec<Metric>) {
    for (ViolationKey { workload, call, policy, severity }, count) in view.violations.counts.iter() {
        let call = view.facts.calls.call(*call);
        let mut labels =
            vec![("syscall", call.name()), ("abi", call.abi), ("policy", policy), ("severity", severity.name())];
        labels.extend((call.argument() != "").then_some(("argument", call.argument())));
        add(samples, workload, &labels, *count as f64);
    }
}

fn workload_info(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        let own: Vec<(&str, &str)> = workload.labels().collect();
        let metadata = totals.metadata.iter().filter(|(name, _)| own.iter().all(|(label, _)| label != name));
        if workload.is_one() {
            add(samples, workload, &metadata.collect::<Vec<_>>(), 1.0);
        }
    }
}

fn syscall_errors_total(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        let labels = |failure| {
            let (call, errno) = match failure {
                ErrorKey::Of(call, errno) => (view.facts.calls.call(call), errno.name()),
                ErrorKey::Other => (Call { syscall: REMAINDER, abi: REMAINDER }, REMAINDER),
            };
            let mut labels = call_labels(view.facts.layout.granularities().errors, call);
            labels.push(("errno", errno));
            labels
        };
        let errors = totals.counts.errors.iter();
        add_sums(samples, workload, errors.map(|(failure, errors)| (labels(failure), errors)));
    }
}

fn syscalls_denied_total(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        let labels = |denial| {
            let (call, errno) = denied_call(&view.facts, denial);
            let mut labels = call_labels(view.facts.layout.granularities().denied, call);
            labels.extend(errno.map(|errno| ("errno", errno)));
            labels
        };
        let denied = totals.counts.denied.iter();
        add_sums(samples, workload, denied.map(|(denial, attempts)| (labels(denial), attempts)));
    }
}

fn syscall_arguments(view: &View, samples: &mut Vec<Metric>, is_exported: fn(ArgumentKey) -> bool) {
    for (workload, totals) in view.model.workloads() {
        for (class, &count) in totals.counts.arguments.iter().filter(|&(class, _)| is_exported(class)) {
            let (syscall, abi, argument) = match class {
                ArgumentKey::Of(class) | ArgumentKey::Denied(class) => {
                    let Call { abi, syscall } = view.facts.calls.call(class);
                    let (name, argument) = syscall.trim_end_matches(')').split_once('(').unwrap();
                    (name, abi, argument)
                }
                ArgumentKey::Other => (REMAINDER, REMAINDER, REMAINDER),
            };
            add(samples, workload, &[("syscall", syscall), ("abi", abi), ("argument", argument)], count as f64);
        }
    }
}

fn syscall_duration_seconds(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        // Calls of one label in several ABIs are one series.
        let by_label = totals.counts.durations.iter().map(|(call, durations)| {
            let call = Call { abi: "", ..view.facts.calls.call(call) };
            let label = call_labels(view.facts.layout.granularities().latency, call).first().copied();
            (label, *durations)
        });
        for (label, durations) in by_label.collect::<SortedCounts<Option<(&str, &str)>, Durations>>().iter() {
            let labels: Vec<_> = label.into_iter().collect();
            add_durations(samples, (workload, labels.as_slice()), durations, &view.facts.duration_bounds);
        }
    }
}

fn io_uring_requests_total(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        for (call, &requests) in totals.counts.calls.iter() {
            let call = view.facts.calls.call(call);
            if call.abi == IO_URING {
                add(samples, workload, &[("op", call.syscall)], requests as f64);
            }
        }
    }
}
