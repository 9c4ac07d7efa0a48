//! `overview`: a cluster and its nodes, and syscallmon itself.

use super::{
    Dashboard,
    panel::{FEW_IS_GOOD, FULL_IS_BAD, LeadsTo, NONE_IS_GOOD, Panel, lines, stacked, stat, states, unit, workloads},
    promql::occurrences,
    row, variable,
};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "overview",
        title: "syscallmon / overview",
        description: "System calls of a cluster: rates by workload, errors, denied and unexpected calls, and the health of syscallmon.",
        variables: variable::until("namespace"),
        rows: vec![
            row("Summary", glance()),
            row("Calls", calls()),
            row("By owner and class (requires the recording rules of deploy/prometheus)", recorded()),
            row("Errors and denied calls", failures()),
            row("Health of syscallmon", itself()),
        ],
    }
}

fn glance() -> Vec<Panel> {
    let unexpected = occurrences("syscallmon_unexpected_syscalls_total{NAMESPACE}", "$__range");
    let refused = occurrences("syscallmon_syscalls_denied_total{NAMESPACE,errno!=\"ENOSYS\"}", "$__range");
    vec![
        stat("Nodes", "Nodes with a daemon that Prometheus can scrape.", unit::COUNT, r#"sum(up{job="syscallmon",NODE})"#),
        stat(
            "Nodes down",
            "Nodes with a daemon that Prometheus cannot scrape.",
            unit::COUNT,
            r#"count(up{job="syscallmon",NODE} == 0) or vector(0)"#,
        )
        .thresholds(NONE_IS_GOOD),
        stat(
            "Calls",
            "System calls of the selected namespaces.",
            unit::CALLS_PER_SECOND,
            "sum(rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval]))",
        ),
        stat(
            "Error ratio",
            "Share of calls that returned an error.",
            unit::SHARE,
            "sum(rate(syscallmon_syscall_errors_total{NAMESPACE}[$__rate_interval])) \
             / sum(rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval]))",
        ),
        stat(
            "Denied",
            "Calls that seccomp denied, except with ENOSYS, in the time range.",
            unit::COUNT,
            &format!("sum({refused}) or vector(0)"),
        )
        .thresholds(FEW_IS_GOOD),
        stat(
            "Unexpected",
            "Calls that no policy expects, in the time range.",
            unit::COUNT,
            &format!("sum({unexpected}) or vector(0)"),
        )
        .thresholds(NONE_IS_GOOD)
        .leads_to(LeadsTo::Unexpected),
        stat(
            "Lost",
            "Calls and events that were dropped or counted without attribution, in the time range and in all namespaces.",
            unit::COUNT,
            "sum(increase(syscallmon_lost_total{NODE}[$__range]))",
        )
        .thresholds(FEW_IS_GOOD),
        stat(
            "Without metadata",
            "Containers without metadata.",
            unit::COUNT,
            "sum(syscallmon_names_unresolved{NODE})",
        )
        .thresholds(FEW_IS_GOOD),
    ]
}

fn calls() -> Vec<Panel> {
    vec![
        stacked(
            "Calls by namespace",
            "(host) is everything outside of Kubernetes, such as services and users of the host.",
            unit::CALLS_PER_SECOND,
        )
        .query(
            r#"label_replace(sum by (namespace) (rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval])), "namespace", "(host)", "namespace", "^$")"#,
            "{{namespace}}",
        )
        .leads_to(LeadsTo::Namespace),
        lines("Calls by node", "The selected nodes.", unit::CALLS_PER_SECOND)
            .query("sum by (instance) (rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval]))", "{{instance}}"),
        lines("Top 10 pods", "Pods with the most calls.", unit::CALLS_PER_SECOND)
            .query(
                r#"topk(10, sum by (namespace, pod) (rate(syscallmon_syscalls_total{NAMESPACE,pod!=""}[$__rate_interval])))"#,
                "{{namespace}}/{{pod}}",
            )
            .leads_to(LeadsTo::Pod),
        lines("Top 10 host services", "Cgroups outside of containers with the most calls.", unit::CALLS_PER_SECOND)
            .query(
                r#"topk(10, sum by (cgroup) (rate(syscallmon_syscalls_total{NAMESPACE,pod="",cgroup!=""}[$__rate_interval])))"#,
                "{{cgroup}}",
            )
            .leads_to(LeadsTo::Cgroup),
        lines("Top 10 system calls", "By name and ABI.", unit::CALLS_PER_SECOND).query(
            "topk(10, sum by (syscall, set, abi) (rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval])))",
            "{{syscall}}{{set}} ({{abi}})",
        ),
        lines(
            "Calls of other ABIs and unknown numbers",
            "32-bit calls (ia32, aarch32), x32, and numbers without a system call. Rare on healthy systems.",
            unit::CALLS_PER_SECOND,
        )
        .query(
            r#"sum by (abi) (rate(syscallmon_syscalls_total{NAMESPACE,abi=~"ia32|x32|aarch32"}[$__rate_interval]))"#,
            "{{abi}}",
        )
        .query(
            r#"sum by (syscall) (rate(syscallmon_syscalls_total{NAMESPACE,syscall="unknown"}[$__rate_interval]))"#,
            "{{syscall}}",
        ),
    ]
}

fn recorded() -> Vec<Panel> {
    let of = r#"{cluster=~"$cluster",namespace=~"$namespace"}"#;
    vec![
        lines(
            "Top 15 owners",
            "Controllers of pods, such as Deployments and DaemonSets, on all nodes.",
            unit::CALLS_PER_SECOND,
        )
        .query(
            &format!("topk(15, namespace_owner:syscallmon_syscalls:rate5m{of})"),
            "{{namespace}} {{owner_kind}} {{owner}}",
        )
        .leads_to(LeadsTo::Namespace),
        stacked(
            "Calls by class",
            "Classes are made of systemd's sets; each call has one class. All nodes.",
            unit::CALLS_PER_SECOND,
        )
        .query(&format!("sum by (class) (namespace_class:syscallmon_syscalls:rate5m{of})"), "{{class}}"),
    ]
}

fn failures() -> Vec<Panel> {
    let refused = occurrences("syscallmon_syscalls_denied_total{NAMESPACE,errno!=\"ENOSYS\"}", "$__range");
    vec![
        lines("Errors by errno", "Calls that returned an error.", unit::CALLS_PER_SECOND)
            .query("sum by (errno) (rate(syscallmon_syscall_errors_total{NAMESPACE}[$__rate_interval]))", "{{errno}}"),
        lines("Denied calls by namespace", "Calls that seccomp denied, except with ENOSYS.", unit::CALLS_PER_SECOND)
            .query(
                r#"label_replace(sum by (namespace) (rate(syscallmon_syscalls_denied_total{NAMESPACE,errno!="ENOSYS"}[$__rate_interval])), "namespace", "(host)", "namespace", "^$")"#,
                "{{namespace}}",
            )
            .leads_to(LeadsTo::Namespace),
        workloads(
            "Top 25 errors",
            "Mean rate in the time range.",
            unit::CALLS_PER_SECOND,
            "topk(25, sum by (namespace, pod, container, cgroup, syscall, set, errno) (rate(syscallmon_syscall_errors_total{NAMESPACE}[$__range])))",
        ),
        workloads(
            "Top 25 denied calls",
            "In the time range.",
            unit::COUNT,
            &format!("topk(25, sum by (namespace, pod, container, cgroup, syscall, set, abi) ({refused}))"),
        ),
    ]
}

fn itself() -> Vec<Panel> {
    vec![
        states("Probes", "Whether each probe is attached.")
            .query("min by (instance, probe) (syscallmon_probe_up{NODE})", "{{instance}} {{probe}}"),
        states("Metadata providers", "Whether the last request succeeded.")
            .query("min by (instance, source) (syscallmon_names_source_up{NODE})", "{{instance}} {{source}}"),
        lines(
            "Capacity in use",
            "Use of the kernel's tables on the fullest node. At 100 %, further calls are counted in a remainder.",
            unit::SHARE,
        )
        .query("max(syscallmon_series{NODE} / syscallmon_series_capacity{NODE})", "series")
        .query("max(syscallmon_cgroups{NODE} / syscallmon_cgroups_capacity{NODE})", "cgroups")
        .query("max(syscallmon_histograms{NODE} / syscallmon_histograms_capacity{NODE})", "histograms")
        .thresholds(FULL_IS_BAD)
        .size(8, 8),
        lines("Lost", "By reason (see METRICS.md), on the selected nodes.", unit::CALLS_PER_SECOND)
            .query("sum by (reason) (rate(syscallmon_lost_total{NODE}[$__rate_interval]))", "{{reason}}")
            .size(8, 8),
        lines("Workloads", "Alive, gone (still exported), or waiting for metadata (not exported yet).", unit::COUNT)
            .query("sum by (state) (syscallmon_workloads{NODE})", "{{state}}")
            .size(8, 8),
        lines("CPU of the daemon", "Top 10 nodes; 100 % is one CPU.", unit::SHARE)
            .query(
                r#"topk(10, rate(process_cpu_seconds_total{job="syscallmon",NODE}[$__rate_interval]))"#,
                "{{instance}}",
            )
            .size(8, 8),
        lines("Memory", "Memory of the daemon and of its tables in the kernel; top 5 nodes each.", unit::BYTES)
            .query(r#"topk(5, process_resident_memory_bytes{job="syscallmon",NODE})"#, "{{instance}} daemon")
            .query("topk(5, syscallmon_kernel_memory_bytes{NODE})", "{{instance}} kernel")
            .size(8, 8),
        lines("Snapshot duration", "Time to read and process the newest snapshot; top 10 nodes.", unit::SECONDS)
            .query("topk(10, syscallmon_snapshot_duration_seconds{NODE})", "{{instance}}")
            .size(8, 8),
        lines("Exported series", "Series of workloads that Prometheus stores; top 10 nodes.", unit::COUNT)
            .query("topk(10, syscallmon_workload_series{NODE})", "{{instance}}")
            .size(8, 8),
        states(
            "Reloads of configuration and policies",
            "Whether the last reload succeeded; otherwise the previous ones stay in force.",
        )
        .query("min by (instance) (syscallmon_config_last_reload_successful{NODE})", "{{instance}} configuration")
        .query("min by (instance) (syscallmon_policy_last_reload_successful{NODE})", "{{instance}} policies")
        .size(8, 8),
        lines("Versions", "Daemons by version.", unit::COUNT)
            .query("count by (version, arch) (syscallmon_build_info{NODE})", "{{version}} {{arch}}")
            .size(8, 8),
    ]
}
