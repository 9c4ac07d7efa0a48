//! All families of a view by the prometheus crate, in the simplest way.

use prometheus::{
    Encoder, TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily},
};

use super::*;
use crate::{
    durations::{Bound, Durations},
    export::workload_series::denied_call,
    policy::Counted,
    snapshot::Failure,
    syscalls::IO_URING,
    tally::Tally,
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
    if let Series::Host(collect) = row.series {
        return gather(row, |samples| collect(view, samples));
    }
    let collect = match row.name {
        "syscallmon_syscalls_total" => syscalls_total,
        "syscallmon_syscall_errors_total" => syscall_errors_total,
        "syscallmon_syscalls_denied_total" => syscalls_denied_total,
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

/// A counter or a gauge: the encoder asks for what the family is.
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
    (workload, syscall): (&Workload, &str),
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
    let mut metric = Metric::from_label(pairs(workload, &[("syscall", syscall)]));
    metric.set_histogram(histogram);
    metrics.push(metric);
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

fn syscalls_total(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        for (call, &calls) in totals.counts.calls.iter() {
            let call = view.host.calls.call(call);
            if call.abi != IO_URING {
                add(samples, workload, &[("syscall", call.syscall), ("abi", call.abi)], calls as f64);
            }
        }
    }
}

fn unexpected_syscalls_total(view: &View, samples: &mut Vec<Metric>) {
    for (Counted { workload, call, policy, severity }, count) in view.violations.counts.iter() {
        let call = view.host.calls.call(*call);
        let labels = [("syscall", call.syscall), ("abi", call.abi), ("policy", policy), ("severity", severity.name())];
        add(samples, workload, &labels, *count as f64);
    }
}

fn workload_info(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        let own: Vec<(&str, &str)> = workload.labels().collect();
        let about = totals.about.iter().filter(|(name, _)| own.iter().all(|(label, _)| label != name));
        if workload.is_one() {
            add(samples, workload, &about.collect::<Vec<_>>(), 1.0);
        }
    }
}

fn syscall_errors_total(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        for (failure, &errors) in totals.counts.errors.iter() {
            let (syscall, abi, errno) = match failure {
                Failure::Of(call, errno) => {
                    let call = view.host.calls.call(call);
                    (call.syscall, call.abi, errno.name())
                }
                Failure::Other => (REMAINDER, REMAINDER, REMAINDER),
            };
            add(samples, workload, &[("syscall", syscall), ("abi", abi), ("errno", errno)], errors as f64);
        }
    }
}

fn syscalls_denied_total(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        for (denial, &attempts) in totals.counts.denied.iter() {
            let (call, errno) = denied_call(&view.host, denial);
            let labels = [("syscall", call.syscall), ("abi", call.abi)].into_iter();
            let labels: Vec<_> = labels.chain(errno.map(|errno| ("errno", errno))).collect();
            add(samples, workload, &labels, attempts as f64);
        }
    }
}

fn syscall_duration_seconds(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        let durations = totals.counts.durations.iter();
        // Calls of one name in several ABIs are one series.
        let by_name: Tally<&str, Durations> =
            durations.map(|(call, durations)| (view.host.calls.call(call).syscall, *durations)).collect();
        for (syscall, durations) in by_name.iter() {
            add_durations(samples, (workload, syscall), durations, &view.host.duration_bounds);
        }
    }
}

fn io_uring_requests_total(view: &View, samples: &mut Vec<Metric>) {
    for (workload, totals) in view.model.workloads() {
        for (call, &requests) in totals.counts.calls.iter() {
            let call = view.host.calls.call(call);
            if call.abi == IO_URING {
                add(samples, workload, &[("op", call.syscall)], requests as f64);
            }
        }
    }
}
