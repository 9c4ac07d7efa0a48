//! `nodes`: the health and the cost of syscallmon on each node.

use super::{
    Dashboard,
    annotation::starts,
    panel::{FEW_IS_GOOD, FULL_IS_BAD, NONE_IS_GOOD, Panel, lines, stat, states, table, unit},
    row, variable,
};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "nodes",
        title: "syscallmon / nodes",
        description: "Is syscallmon well on every node? Probes, names, lost calls, capacity, and what it costs.",
        variables: variable::until("instance"),
        annotations: vec![starts()],
        rows: vec![
            row("Summary", summary()),
            row("Probes, names and configuration", states_of_parts()),
            row("Losses and capacity", losses()),
            row("Cost", cost()),
        ],
    }
}

fn summary() -> Vec<Panel> {
    vec![
        up(),
        down(),
        stat(
            "Probes not attached",
            "Of all nodes. The row below says which.",
            unit::COUNT,
            "count(syscallmon_probe_up{NODE} == 0) or vector(0)",
        )
        .thresholds(NONE_IS_GOOD),
        stat(
            "Calls not attributed",
            "Calls and events that were dropped or counted without attribution, in the time range.",
            unit::COUNT,
            "sum(increase(syscallmon_lost_total{NODE}[$__range]))",
        )
        .thresholds(FEW_IS_GOOD),
        stat(
            "Fullest table",
            "Use of the fullest table of the kernel. At 100 %, further calls are counted in a remainder.",
            unit::SHARE,
            "max(syscallmon_series{NODE} / syscallmon_series_capacity{NODE} \
             or syscallmon_cgroups{NODE} / syscallmon_cgroups_capacity{NODE})",
        )
        .thresholds(FULL_IS_BAD),
        stat(
            "Containers without a name",
            "Containers that no runtime or API server has named yet; exported by their cgroup.",
            unit::COUNT,
            "sum(syscallmon_names_unresolved{NODE})",
        )
        .thresholds(FEW_IS_GOOD),
        stat(
            "CPU of the busiest daemon",
            "100 % is one CPU. Does not include what the programs add to each call.",
            unit::SHARE,
            r#"max(rate(process_cpu_seconds_total{job="syscallmon",NODE}[$__rate_interval]))"#,
        ),
        stat(
            "Memory of the largest daemon",
            "Without its tables in the kernel.",
            unit::BYTES,
            r#"max(process_resident_memory_bytes{job="syscallmon",NODE})"#,
        ),
    ]
}

/// Daemons that Prometheus scrapes.
pub(super) fn up() -> Panel {
    stat("Nodes", "Nodes with a daemon that Prometheus can scrape.", unit::COUNT, r#"sum(up{job="syscallmon",NODE})"#)
}

/// Daemons that Prometheus cannot scrape.
pub(super) fn down() -> Panel {
    stat(
        "Nodes down",
        "Nodes with a daemon that Prometheus cannot scrape.",
        unit::COUNT,
        r#"count(up{job="syscallmon",NODE} == 0) or vector(0)"#,
    )
    .thresholds(NONE_IS_GOOD)
}

fn states_of_parts() -> Vec<Panel> {
    vec![
        states("Probes", "Whether each probe is attached.")
            .query("min by (instance, probe) (syscallmon_probe_up{NODE})", "{{instance}} {{probe}}"),
        states("Sources of names", "Whether the last request to a runtime or the API server succeeded.")
            .query("min by (instance, source) (syscallmon_names_source_up{NODE})", "{{instance}} {{source}}"),
        states(
            "Configuration and policies",
            "Whether the last reload succeeded; otherwise the previous ones stay in force.",
        )
        .query("min by (instance) (syscallmon_config_last_reload_successful{NODE})", "{{instance}} configuration")
        .query("min by (instance) (syscallmon_policy_last_reload_successful{NODE})", "{{instance}} policies")
        .size(12, 8),
        lines("Versions", "Daemons by version.", unit::COUNT)
            .query("count by (version, arch) (syscallmon_build_info{NODE})", "{{version}} {{arch}}")
            .size(12, 8),
    ]
}

fn losses() -> Vec<Panel> {
    vec![
        lines("Calls and events lost, by reason", "METRICS.md explains the reasons.", unit::CALLS_PER_SECOND)
            .query("sum by (reason) (rate(syscallmon_lost_total{NODE}[$__rate_interval]))", "{{reason}}"),
        table(
            "Nodes that lost calls or events",
            "In the time range.",
            unit::COUNT,
            "sort_desc(sum by (instance, reason) (increase(syscallmon_lost_total{NODE}[$__range])))",
        ),
        lines(
            "Capacity in use",
            "Use of the kernel's tables on the fullest node. At 100 %, further calls are counted in a remainder.",
            unit::SHARE,
        )
        .query("max(syscallmon_series{NODE} / syscallmon_series_capacity{NODE})", "series")
        .query("max(syscallmon_cgroups{NODE} / syscallmon_cgroups_capacity{NODE})", "cgroups")
        .query("max(syscallmon_histograms{NODE} / syscallmon_histograms_capacity{NODE})", "histograms")
        .thresholds(FULL_IS_BAD),
        lines("Workloads", "Alive, gone (still exported), or waiting for metadata (not exported yet).", unit::COUNT)
            .query("sum by (state) (syscallmon_workloads{NODE})", "{{state}}"),
    ]
}

fn cost() -> Vec<Panel> {
    vec![
        lines("CPU of the daemon", "The busiest 10 nodes; 100 % is one CPU.", unit::SHARE)
            .query(
                r#"topk(10, rate(process_cpu_seconds_total{job="syscallmon",NODE}[$__rate_interval]))"#,
                "{{instance}}",
            )
            .size(12, 8),
        lines("Memory", "Of the daemon and of its tables in the kernel; the largest 5 nodes each.", unit::BYTES)
            .query(r#"topk(5, process_resident_memory_bytes{job="syscallmon",NODE})"#, "{{instance}} daemon")
            .query("topk(5, syscallmon_kernel_memory_bytes{NODE})", "{{instance}} kernel")
            .size(12, 8),
        lines(
            "Snapshot duration",
            "Time to read and process the newest snapshot; the slowest 10 nodes.",
            unit::SECONDS,
        )
        .query("topk(10, syscallmon_snapshot_duration_seconds{NODE})", "{{instance}}")
        .size(12, 8),
        lines("Exported series", "Series of workloads that Prometheus stores; the 10 nodes with most.", unit::COUNT)
            .query("topk(10, syscallmon_workload_series{NODE})", "{{instance}}")
            .size(12, 8),
    ]
}
