//! The table of metric families, one row each. `METRICS.md` is generated from it. `docs/design/extending.md` has the
//! other places of a new metric.

use prometheus::proto::MetricType;

use super::{
    encode::family::SeriesTextWriter,
    host_samples::HostSamples,
    workload_series::{self, WorkloadToWrite},
};
use crate::{
    alert::SinkStatus,
    blocking::{self, WorkStatus},
    clock::unix_time,
    detect::{MAX_BASELINES, PolicyUsage, Removed},
    logging,
    process::LookupResult,
    snapshot::SortedCounts,
    syscalls,
    view::View,
};

/// One metric family.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricType,
    /// The labels of its series.
    pub labels: &'static [&'static str],
    /// Its HELP text: what it counts, and in which unit.
    pub help: &'static str,
    /// Where its series come from.
    pub(in crate::serve) series: SeriesSource,
}

/// Where the series of a family come from.
#[derive(Clone, Copy)]
pub(in crate::serve) enum SeriesSource {
    /// Collects the few series of the daemon and the host. They are counters or gauges.
    Host(fn(&View, &mut HostSamples)),
    /// Writes the series of one workload, from its totals and facts that never change. The text is kept until the
    /// totals change.
    PerWorkload(fn(&WorkloadToWrite<'_>, &mut SeriesTextWriter<'_>)),
    /// Writes the series of all workloads, each time.
    AllWorkloads(fn(&View, &mut SeriesTextWriter<'_>)),
}

/// Labels of the workload (these four by default), then of the call: `syscall`, `set` or neither, as `metrics.syscalls`
/// says, and `abi`.
const CALLS: &[&str] = &["namespace", "pod", "container", "cgroup", "syscall", "set", "abi"];

/// The same with the class of arguments. It has no sets.
const ARGUMENTS: &[&str] = &["namespace", "pod", "container", "cgroup", "syscall", "abi", "argument"];

/// Every family that syscallmon exports of its own; `process_*` come from the prometheus crate.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "syscallmon_syscalls_total",
        kind: MetricType::COUNTER,
        labels: CALLS,
        help: "System calls that entered the kernel.",
        series: SeriesSource::PerWorkload(workload_series::syscalls_total),
    },
    Family {
        name: "syscallmon_container_init_syscalls_total",
        kind: MetricType::COUNTER,
        labels: CALLS,
        help: "The part of syscallmon_syscalls_total that the container runtime made while it set up the container.",
        series: SeriesSource::PerWorkload(workload_series::container_init_syscalls_total),
    },
    Family {
        name: "syscallmon_syscall_errors_total",
        kind: MetricType::COUNTER,
        labels: &["namespace", "pod", "container", "cgroup", "syscall", "set", "abi", "errno"],
        help: "System calls that entered the kernel and returned an error, by errno.",
        series: SeriesSource::PerWorkload(workload_series::syscall_errors_total),
    },
    Family {
        name: "syscallmon_syscalls_denied_total",
        kind: MetricType::COUNTER,
        labels: &["namespace", "pod", "container", "cgroup", "syscall", "set", "abi", "errno"],
        help: "System calls that seccomp denied, with an errno only for ENOSYS.",
        series: SeriesSource::PerWorkload(workload_series::syscalls_denied_total),
    },
    Family {
        name: "syscallmon_syscall_arguments_total",
        kind: MetricType::COUNTER,
        labels: ARGUMENTS,
        help: "System calls that entered the kernel, by the class of their arguments, for calls that have classes.",
        series: SeriesSource::PerWorkload(workload_series::syscall_arguments_total),
    },
    Family {
        name: "syscallmon_syscall_arguments_denied_total",
        kind: MetricType::COUNTER,
        labels: ARGUMENTS,
        help: "System calls that seccomp denied, other than with ENOSYS, by the class of their arguments.",
        series: SeriesSource::PerWorkload(workload_series::syscall_arguments_denied_total),
    },
    Family {
        name: "syscallmon_syscall_duration_seconds",
        kind: MetricType::HISTOGRAM,
        labels: &["namespace", "pod", "container", "cgroup", "syscall", "set"],
        help: "Time from entering to leaving the kernel, for the system calls in latency.syscalls.",
        series: SeriesSource::PerWorkload(workload_series::syscall_duration_seconds),
    },
    Family {
        name: "syscallmon_io_uring_requests_total",
        kind: MetricType::COUNTER,
        labels: &["namespace", "pod", "container", "cgroup", "op"],
        help: "io_uring operations, by opcode.",
        series: SeriesSource::PerWorkload(workload_series::io_uring_requests_total),
    },
    Family {
        name: "syscallmon_unexpected_syscalls_total",
        kind: MetricType::COUNTER,
        labels: &["namespace", "pod", "container", "cgroup", "syscall", "abi", "policy", "severity", "argument"],
        help: "System calls, denied calls and io_uring operations (abi io_uring) that the policy of the workload does not expect.",
        series: SeriesSource::AllWorkloads(workload_series::unexpected_syscalls_total),
    },
    Family {
        name: "syscallmon_workload_info",
        kind: MetricType::GAUGE,
        labels: &[
            "namespace",
            "pod",
            "container",
            "cgroup",
            "container_id",
            "image",
            "runtime",
            "pod_uid",
            "node",
            "owner",
            "owner_kind",
        ],
        help: "Metadata of a workload (of its newest container); always 1.",
        series: SeriesSource::PerWorkload(workload_series::workload_info),
    },
    Family {
        name: "syscallmon_lost_total",
        kind: MetricType::COUNTER,
        labels: &["reason"],
        help: "Calls and events that were dropped or counted without attribution, by reason.",
        series: SeriesSource::Host(|view, samples| {
            for (reason, count) in view.losses() {
                if let Some(count) = count {
                    samples.add(&[("reason", reason.name)], count as f64);
                }
            }
        }),
    },
    Family {
        name: "syscallmon_probe_up",
        kind: MetricType::GAUGE,
        labels: &["probe"],
        help: "Whether a probe is attached.",
        series: SeriesSource::Host(|view, samples| {
            for status in &view.facts.probes {
                samples.add(&[("probe", status.probe.name())], f64::from(u8::from(status.is_up())));
            }
        }),
    },
    Family {
        name: "syscallmon_probe_info",
        kind: MetricType::GAUGE,
        labels: &["probe", "implementation"],
        help: "Implementation of a probe on this kernel; always 1.",
        series: SeriesSource::Host(|view, samples| {
            for status in &view.facts.probes {
                let implementation = status.implementation.unwrap_or("none");
                samples.add(&[("probe", status.probe.name()), ("implementation", implementation)], 1.0);
            }
        }),
    },
    Family {
        name: "syscallmon_cgroup_hierarchy_info",
        kind: MetricType::GAUGE,
        labels: &["hierarchy"],
        help: "Cgroup hierarchy that identifies workloads; always 1.",
        series: SeriesSource::Host(|view, samples| samples.add(&[("hierarchy", &view.facts.hierarchy)], 1.0)),
    },
    Family {
        name: "syscallmon_series",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Series in use in the kernel's tables: one for each slot, syscall and outcome.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(view.snapshot.series))),
    },
    Family {
        name: "syscallmon_series_capacity",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Maximum number of series in the kernel's tables (capacity.series).",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(view.facts.capacity.series))),
    },
    Family {
        name: "syscallmon_histograms",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Histograms of durations in use in the kernel's tables.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(view.snapshot.histograms))),
    },
    Family {
        name: "syscallmon_histograms_capacity",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Maximum number of histograms in the kernel's tables (capacity.histograms).",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(view.facts.capacity.histograms))),
    },
    Family {
        name: "syscallmon_cgroups",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Cgroups with a slot in the kernel's tables.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.snapshot.cgroups as f64)),
    },
    Family {
        name: "syscallmon_cgroups_capacity",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Maximum number of cgroups in the kernel's tables (capacity.cgroups).",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(view.facts.capacity.cgroups))),
    },
    Family {
        name: "syscallmon_kernel_memory_bytes",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Memory of the kernel's tables, as accounted by the kernel.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.facts.kernel_memory_bytes as f64)),
    },
    Family {
        name: "syscallmon_arguments_counted",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "1 if arguments are counted by class, so that policies judge them; 0 if policies judge numbers only.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(u8::from(view.facts.knows_arguments)))),
    },
    Family {
        name: "syscallmon_workloads",
        kind: MetricType::GAUGE,
        labels: &["state"],
        help: "Workloads by state: alive, gone (still exported), or waiting for metadata (not exported yet).",
        series: SeriesSource::Host(|view, samples| {
            let gone = view.model.workloads().filter(|(_, totals)| totals.is_gone()).count();
            let all = view.model.workloads().count();
            samples.add(&[("state", "alive")], (all - gone) as f64);
            samples.add(&[("state", "gone")], gone as f64);
            samples.add(&[("state", "waiting")], view.model.held() as f64);
        }),
    },
    Family {
        name: "syscallmon_workload_series",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Exported series of workloads in all metric families; a histogram counts as 16.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.model.series() as f64)),
    },
    Family {
        name: "syscallmon_names_source_up",
        kind: MetricType::GAUGE,
        labels: &["source"],
        help: "Whether the last request to a metadata provider succeeded.",
        series: SeriesSource::Host(|view, samples| {
            for status in &view.sources {
                samples.add(&[("source", status.source.name())], f64::from(u8::from(status.is_up())));
            }
        }),
    },
    Family {
        name: "syscallmon_names_source_failures_total",
        kind: MetricType::COUNTER,
        labels: &["source"],
        help: "Failed requests to a metadata provider.",
        series: SeriesSource::Host(|view, samples| {
            for status in &view.sources {
                samples.add(&[("source", status.source.name())], status.failures as f64);
            }
        }),
    },
    Family {
        name: "syscallmon_names_unresolved",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Containers without metadata.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.unresolved as f64)),
    },
    Family {
        name: "syscallmon_policies",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Policies in force, including the built-in one.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.policies.iter().len() as f64)),
    },
    Family {
        name: "syscallmon_policy_allowed_calls",
        kind: MetricType::GAUGE,
        labels: &["abi", "policy"],
        help: "System calls that a policy allows by its lists and seccomp profiles.",
        series: SeriesSource::Host(|view, samples| {
            for PolicyUsage { policy, abi, allowed, .. } in view.policy_usage.iter() {
                samples.add(&[("abi", abi), ("policy", policy)], *allowed as f64);
            }
        }),
    },
    Family {
        name: "syscallmon_policy_unused_calls",
        kind: MetricType::GAUGE,
        labels: &["abi", "policy"],
        help: "Allowed system calls that no workload of the policy has made since the daemon started.",
        series: SeriesSource::Host(|view, samples| {
            for PolicyUsage { policy, abi, unused, .. } in view.policy_usage.iter() {
                samples.add(&[("abi", abi), ("policy", policy)], unused.len() as f64);
            }
        }),
    },
    Family {
        name: "syscallmon_policy_last_reload_successful",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Whether the last load of the policies found no invalid policy.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(u8::from(view.policy_reload.is_ok)))),
    },
    Family {
        name: "syscallmon_policy_problems",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Invalid policies and unreadable policy files in the last load.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.policy_reload.problems as f64)),
    },
    Family {
        name: "syscallmon_policy_last_reload_success_timestamp_seconds",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Unix time of the last load of the policies without an invalid policy.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], unix_time(view.policy_reload.last_success))),
    },
    Family {
        name: "syscallmon_violations",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Violations that the API lists.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.violations.kept.len() as f64)),
    },
    Family {
        name: "syscallmon_violations_dropped_total",
        kind: MetricType::COUNTER,
        labels: &[],
        help: "Violations that the API does not list because its list was full.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.violations.dropped as f64)),
    },
    Family {
        name: "syscallmon_policy_baselines",
        kind: MetricType::GAUGE,
        labels: &["policy", "state"],
        help: "Baselines by policy and state (learning or guarding).",
        series: SeriesSource::Host(|view, samples| {
            let all = view.baselines.iter().map(|baseline| ((baseline.policy.as_ref(), baseline.state.name()), 1));
            let counts: SortedCounts<(&str, &str)> = all.collect();
            for ((policy, state), &count) in counts.iter() {
                samples.add(&[("policy", policy), ("state", state)], count as f64);
            }
        }),
    },
    Family {
        name: "syscallmon_policy_baseline_calls",
        kind: MetricType::GAUGE,
        labels: &["kind", "policy", "state"],
        help: "Calls that a baseline has learned.",
        series: SeriesSource::Host(|view, samples| {
            for baseline in view.baselines.iter() {
                let state = ("state", baseline.state.name());
                samples.add(
                    &[("kind", baseline.kind.as_str()), ("policy", &baseline.policy), state],
                    baseline.size() as f64,
                );
            }
        }),
    },
    Family {
        name: "syscallmon_policy_baseline_began_timestamp_seconds",
        kind: MetricType::GAUGE,
        labels: &["kind", "policy"],
        help: "Unix time at which a baseline began to learn.",
        series: SeriesSource::Host(|view, samples| {
            for baseline in view.baselines.iter() {
                let labels = [("kind", baseline.kind.as_str()), ("policy", &baseline.policy)];
                samples.add(&labels, unix_time(baseline.began));
            }
        }),
    },
    Family {
        name: "syscallmon_policy_baseline_partial",
        kind: MetricType::GAUGE,
        labels: &["kind", "policy"],
        help: "Whether a baseline has not seen the start of any of its containers.",
        series: SeriesSource::Host(|view, samples| {
            for baseline in view.baselines.iter() {
                let labels = [("kind", baseline.kind.as_str()), ("policy", &baseline.policy)];
                samples.add(&labels, f64::from(u8::from(baseline.partial)));
            }
        }),
    },
    Family {
        name: "syscallmon_policy_baseline_remaining_seconds",
        kind: MetricType::GAUGE,
        labels: &["kind", "policy"],
        help: "Time with a running workload until a learning baseline guards at the earliest.",
        series: SeriesSource::Host(|view, samples| {
            for (baseline, progress) in view.baselines.with_progress() {
                let labels = [("kind", baseline.kind.as_str()), ("policy", &baseline.policy)];
                let remaining = progress.guards_in.into_iter();
                remaining.for_each(|remaining| samples.add(&labels, remaining.as_secs_f64()));
            }
        }),
    },
    Family {
        name: "syscallmon_policy_baselines_refused",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Baselines that recently could not be created because the limit was reached.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.baselines.refused as f64)),
    },
    Family {
        name: "syscallmon_policy_baselines_limit",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Maximum number of baselines.",
        series: SeriesSource::Host(|_, samples| samples.add(&[], MAX_BASELINES as f64)),
    },
    Family {
        name: "syscallmon_policy_baselines_removed_total",
        kind: MetricType::COUNTER,
        labels: &["reason"],
        help: "Baselines that were removed, by reason.",
        series: SeriesSource::Host(|view, samples| {
            let Removed { expired, displaced } = view.baselines.removed;
            samples.add(&[("reason", "expired")], expired as f64);
            samples.add(&[("reason", "displaced")], displaced as f64);
        }),
    },
    Family {
        name: "syscallmon_policy_store_up",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Whether all baselines are stored on disk; absent without baselines.",
        series: SeriesSource::Host(|view, samples| {
            if let Some(is_up) = view.baselines.store.is_up {
                samples.add(&[], f64::from(u8::from(is_up)));
            }
        }),
    },
    Family {
        name: "syscallmon_policy_store_errors_total",
        kind: MetricType::COUNTER,
        labels: &[],
        help: "Failed reads and writes of baselines on disk.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.baselines.store.errors as f64)),
    },
    Family {
        name: "syscallmon_policy_store_unreadable_files",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Baseline files that could not be used.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.baselines.store.unreadable as f64)),
    },
    Family {
        name: "syscallmon_alerts_store_up",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Whether alerts are stored on disk, so that they outlast the daemon; absent before the first one.",
        series: SeriesSource::Host(|view, samples| {
            if let Some(is_up) = view.alerts.store.is_up {
                samples.add(&[], f64::from(u8::from(is_up)));
            }
        }),
    },
    Family {
        name: "syscallmon_alerts_store_errors_total",
        kind: MetricType::COUNTER,
        labels: &[],
        help: "Failed reads and writes of alerts on disk.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.alerts.store.errors as f64)),
    },
    Family {
        name: "syscallmon_alerts_sent_total",
        kind: MetricType::COUNTER,
        labels: &["sink"],
        help: "Alerts that were delivered or resolved, by sink.",
        series: SeriesSource::Host(|view, samples| add_per_sink(view, samples, |sink| sink.sent as f64)),
    },
    Family {
        name: "syscallmon_alerts_failed_total",
        kind: MetricType::COUNTER,
        labels: &["sink"],
        help: "Failed attempts to deliver alerts, by sink.",
        series: SeriesSource::Host(|view, samples| add_per_sink(view, samples, |sink| sink.failed as f64)),
    },
    Family {
        name: "syscallmon_alerts_dropped_total",
        kind: MetricType::COUNTER,
        labels: &["sink", "reason"],
        help: "Alerts that were not delivered and will not be sent again, by sink and reason.",
        series: SeriesSource::Host(|view, samples| {
            for sink in &view.alerts.sinks {
                for (reason, alerts) in [("queue_full", sink.queue_full), ("refused", sink.refused)] {
                    samples.add(&[("sink", &sink.sink), ("reason", reason)], alerts as f64);
                }
            }
        }),
    },
    Family {
        name: "syscallmon_alerts_suppressed_total",
        kind: MetricType::COUNTER,
        labels: &[],
        help: "New alerts that were not sent because of --alert.rate-limit.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.alerts.suppressed as f64)),
    },
    Family {
        name: "syscallmon_alerts_queued",
        kind: MetricType::GAUGE,
        labels: &["sink"],
        help: "Alerts that wait for delivery, by sink.",
        series: SeriesSource::Host(|view, samples| add_per_sink(view, samples, |sink| sink.queued as f64)),
    },
    Family {
        name: "syscallmon_alerts_last_success_timestamp_seconds",
        kind: MetricType::GAUGE,
        labels: &["sink"],
        help: "Unix time of the last successful delivery, by sink; 0 if none.",
        series: SeriesSource::Host(|view, samples| {
            add_per_sink(view, samples, |sink| sink.last_success.map_or(0.0, unix_time));
        }),
    },
    Family {
        name: "syscallmon_blocking_timeouts_total",
        kind: MetricType::COUNTER,
        labels: &["work"],
        help: "File accesses and DNS lookups that exceeded their deadline, by kind of work.",
        series: SeriesSource::Host(|_, samples| add_per_blocking_work(samples, |status| status.timeouts as f64)),
    },
    Family {
        name: "syscallmon_blocking_stuck_threads",
        kind: MetricType::GAUGE,
        labels: &["work"],
        help: "Threads that are blocked in the kernel after their deadline, by kind of work.",
        series: SeriesSource::Host(|_, samples| add_per_blocking_work(samples, |status| status.stuck as f64)),
    },
    Family {
        name: "syscallmon_process_lookups_total",
        kind: MetricType::COUNTER,
        labels: &["result"],
        help: "Lookups in /proc of processes that made unexpected calls, by result.",
        series: SeriesSource::Host(|_, samples| {
            for result in LookupResult::ALL {
                samples.add(&[("result", result.name())], result.count() as f64);
            }
        }),
    },
    Family {
        name: "syscallmon_log_lines_dropped_total",
        kind: MetricType::COUNTER,
        labels: &[],
        help: "Log lines that were dropped because stderr was blocked or closed.",
        series: SeriesSource::Host(|_, samples| samples.add(&[], logging::dropped_lines() as f64)),
    },
    Family {
        name: "syscallmon_snapshots_total",
        kind: MetricType::COUNTER,
        labels: &[],
        help: "Snapshots taken of the kernel's tables.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.snapshot.number as f64)),
    },
    Family {
        name: "syscallmon_snapshot_duration_seconds",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Time to read and process the newest snapshot.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], view.snapshot.duration.as_secs_f64())),
    },
    Family {
        name: "syscallmon_snapshot_timestamp_seconds",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Unix time of the newest snapshot.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], unix_time(view.snapshot.time))),
    },
    Family {
        name: "syscallmon_config_last_reload_successful",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Whether the last load of the configuration succeeded.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], f64::from(u8::from(view.config_reload.is_ok)))),
    },
    Family {
        name: "syscallmon_config_last_reload_success_timestamp_seconds",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Unix time of the last successful load of the configuration.",
        series: SeriesSource::Host(|view, samples| samples.add(&[], unix_time(view.config_reload.last_success))),
    },
    Family {
        name: "syscallmon_build_info",
        kind: MetricType::GAUGE,
        labels: &["version", "arch", "syscall_table"],
        help: "Version, architecture and Linux release of the syscall table; always 1.",
        series: SeriesSource::Host(|_, samples| {
            let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
            samples.add(&[("version", version), ("arch", arch), ("syscall_table", syscalls::LINUX_VERSION)], 1.0);
        }),
    },
];

/// [`HostSamples`] has no histograms.
const _: () = {
    let mut index = 0;
    while index < FAMILIES.len() {
        let Family { kind, series, .. } = &FAMILIES[index];
        let is_host_histogram = matches!((kind, series), (MetricType::HISTOGRAM, SeriesSource::Host(_)));
        assert!(!is_host_histogram, "series of the daemon and the host cannot be histograms");
        index += 1;
    }
};

fn add_per_sink(view: &View, samples: &mut HostSamples, value: fn(&SinkStatus) -> f64) {
    for sink in &view.alerts.sinks {
        samples.add(&[("sink", &sink.sink)], value(sink));
    }
}

fn add_per_blocking_work(samples: &mut HostSamples, value: fn(&WorkStatus) -> f64) {
    for status in blocking::status() {
        samples.add(&[("work", status.work.name())], value(&status));
    }
}
