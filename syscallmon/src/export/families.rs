//! The table of metric families: a new metric is one row here. `METRICS.md` is generated from it.

use prometheus::proto::MetricType;

use super::sample::Samples;
use crate::{
    state::{State, unix_time},
    syscalls,
};

/// One metric family.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricType,
    /// The labels of its series.
    pub labels: &'static [&'static str],
    /// Its HELP text: what it counts, and in which unit.
    pub help: &'static str,
    /// Makes its series.
    pub collect: fn(&State, &mut Samples),
}

/// Labels that name a workload.
const WORKLOAD: &[&str] = &["cgroup", "syscall", "abi"];

/// Every family that syscallmon exports of its own; `process_*` come from the prometheus crate.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "syscallmon_syscalls_total",
        kind: MetricType::COUNTER,
        labels: WORKLOAD,
        help: "System calls that entered the kernel, by workload, syscall and ABI.",
        collect: syscalls_total,
    },
    Family {
        name: "syscallmon_lost_total",
        kind: MetricType::COUNTER,
        labels: &["reason"],
        help: "What could not be done as it should: cgroups_full and series_full are calls counted in the remainder, \
               recursion are calls not counted at all (absent where the kernel does not tell), cgroup_events and \
               first_seen_events are events, workloads_folded are gone workloads whose calls were moved to (gone).",
        collect: |state, samples| {
            let losses = &state.losses;
            for (reason, count) in [
                ("cgroups_full", Some(losses.cgroups_full)),
                ("series_full", Some(losses.series_full)),
                ("cgroup_events", Some(losses.cgroup_events)),
                ("first_seen_events", Some(losses.first_seen_events)),
                ("recursion", losses.recursion),
                ("workloads_folded", Some(state.model.folded())),
            ] {
                if let Some(count) = count {
                    samples.add(&[("reason", reason)], count as f64);
                }
            }
        },
    },
    Family {
        name: "syscallmon_probe_up",
        kind: MetricType::GAUGE,
        labels: &["probe"],
        help: "Whether a probe is attached.",
        collect: |state, samples| {
            for status in &state.probes {
                samples.add(&[("probe", status.probe.name())], f64::from(u8::from(status.is_up())));
            }
        },
    },
    Family {
        name: "syscallmon_probe_info",
        kind: MetricType::GAUGE,
        labels: &["probe", "implementation"],
        help: "Which implementation of a probe runs on this kernel; always 1.",
        collect: |state, samples| {
            for status in &state.probes {
                let implementation = status.implementation.unwrap_or("none");
                samples.add(&[("probe", status.probe.name()), ("implementation", implementation)], 1.0);
            }
        },
    },
    Family {
        name: "syscallmon_cgroup_hierarchy_info",
        kind: MetricType::GAUGE,
        labels: &["hierarchy"],
        help: "By the cgroups of which hierarchy workloads are told apart: cgroup2, a v1 controller, or cgroup2 and, for tasks in \
               its root, a v1 controller (cgroup2+memory); always 1.",
        collect: |state, samples| samples.add(&[("hierarchy", &state.hierarchy)], 1.0),
    },
    Family {
        name: "syscallmon_series",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Series (cgroup, ABI, syscall) in use in the kernel's tables.",
        collect: |state, samples| samples.add(&[], f64::from(state.series)),
    },
    Family {
        name: "syscallmon_series_capacity",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Series that the kernel's tables have room for.",
        collect: |state, samples| samples.add(&[], f64::from(state.capacity.series)),
    },
    Family {
        name: "syscallmon_cgroups",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Cgroups that have a slot in the kernel's tables: those that made a call and are not freed yet.",
        collect: |state, samples| samples.add(&[], state.cgroups as f64),
    },
    Family {
        name: "syscallmon_cgroups_capacity",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Cgroups that the kernel's tables have room for.",
        collect: |state, samples| samples.add(&[], f64::from(state.capacity.cgroups)),
    },
    Family {
        name: "syscallmon_kernel_memory_bytes",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Memory of the kernel's tables, as the kernel accounts it.",
        collect: |state, samples| samples.add(&[], state.kernel_memory_bytes as f64),
    },
    Family {
        name: "syscallmon_workloads",
        kind: MetricType::GAUGE,
        labels: &["state"],
        help: "Workloads that are exported: alive, or gone and not forgotten yet.",
        collect: |state, samples| {
            let gone = state.model.workloads().filter(|(_, totals)| totals.is_gone()).count();
            let all = state.model.workloads().count();
            samples.add(&[("state", "alive")], (all - gone) as f64);
            samples.add(&[("state", "gone")], gone as f64);
        },
    },
    Family {
        name: "syscallmon_snapshots_total",
        kind: MetricType::COUNTER,
        labels: &[],
        help: "Snapshots taken of the kernel's tables.",
        collect: |state, samples| samples.add(&[], state.snapshot.number as f64),
    },
    Family {
        name: "syscallmon_snapshot_duration_seconds",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "How long the newest snapshot took to read and to take up.",
        collect: |state, samples| samples.add(&[], state.snapshot.duration.as_secs_f64()),
    },
    Family {
        name: "syscallmon_snapshot_timestamp_seconds",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "When the newest snapshot was taken, in seconds since 1970.",
        collect: |state, samples| samples.add(&[], unix_time(state.snapshot.time)),
    },
    Family {
        name: "syscallmon_config_last_reload_successful",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "Whether the last load of the configuration worked; if not, the one before is in force.",
        collect: |state, samples| samples.add(&[], f64::from(u8::from(state.config_reload.0))),
    },
    Family {
        name: "syscallmon_config_last_reload_success_timestamp_seconds",
        kind: MetricType::GAUGE,
        labels: &[],
        help: "When the configuration in force was loaded, in seconds since 1970.",
        collect: |state, samples| samples.add(&[], unix_time(state.config_reload.1)),
    },
    Family {
        name: "syscallmon_build_info",
        kind: MetricType::GAUGE,
        labels: &["version", "arch", "syscall_table"],
        help: "What is running: syscallmon's version, its architecture, and the Linux release that names of syscalls are from; always 1.",
        collect: |_, samples| {
            let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
            samples.add(&[("version", version), ("arch", arch), ("syscall_table", syscalls::LINUX_VERSION)], 1.0);
        },
    },
];

fn syscalls_total(state: &State, samples: &mut Samples) {
    for (workload, totals) in state.model.workloads() {
        for count in &totals.calls {
            let call = state.calls.call(count.call);
            let labels = [("cgroup", workload.cgroup()), ("syscall", call.syscall), ("abi", call.abi)];
            samples.add(&labels, count.calls as f64);
        }
    }
}
