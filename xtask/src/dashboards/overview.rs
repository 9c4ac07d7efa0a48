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
        description: "System calls of a cluster: how many, whose, how they fail, what is refused, and whether the count is whole.",
        variables: variable::until("namespace"),
        rows: vec![
            row("At a glance", glance()),
            row("Calls", calls()),
            row("By owner and class, from the recording rules of deploy/prometheus", recorded()),
            row("Errors and refused attempts", failures()),
            row("syscallmon itself", itself()),
        ],
    }
}

fn glance() -> Vec<Panel> {
    let unexpected = occurrences("syscallmon_unexpected_syscalls_total{NAMESPACE}", "$__range");
    let refused = occurrences("syscallmon_syscalls_denied_total{NAMESPACE,errno!=\"ENOSYS\"}", "$__range");
    vec![
        stat("Nodes", "Daemons that could be scraped.", unit::COUNT, r#"sum(up{job="syscallmon",NODE})"#),
        stat(
            "Nodes down",
            "Daemons that could not be scraped.",
            unit::COUNT,
            r#"count(up{job="syscallmon",NODE} == 0) or vector(0)"#,
        )
        .thresholds(NONE_IS_GOOD),
        stat(
            "Calls",
            "System calls of the chosen namespaces.",
            unit::CALLS_PER_SECOND,
            "sum(rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval]))",
        ),
        stat(
            "Failed",
            "The share of them that returned an error.",
            unit::SHARE,
            "sum(rate(syscallmon_syscall_errors_total{NAMESPACE}[$__rate_interval])) \
             / sum(rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval]))",
        ),
        stat(
            "Refused",
            "Calls that seccomp refused, within the time that is shown.",
            unit::COUNT,
            &format!("sum({refused}) or vector(0)"),
        )
        .thresholds(FEW_IS_GOOD),
        stat(
            "Unexpected",
            "Calls that no policy expects, within the time that is shown.",
            unit::COUNT,
            &format!("sum({unexpected}) or vector(0)"),
        )
        .thresholds(NONE_IS_GOOD)
        .leads_to(LeadsTo::Unexpected),
        stat(
            "Lost",
            "What was not counted, or only in a remainder, within the time that is shown. Of the nodes, whatever the namespace.",
            unit::COUNT,
            "sum(increase(syscallmon_lost_total{NODE}[$__range]))",
        )
        .thresholds(FEW_IS_GOOD),
        stat(
            "Without a name",
            "Containers whose names could not be found out.",
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
            "Services and users of the host, which are in no namespace, are (host).",
            unit::CALLS_PER_SECOND,
        )
        .query(
            r#"label_replace(sum by (namespace) (rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval])), "namespace", "(host)", "namespace", "^$")"#,
            "{{namespace}}",
        )
        .leads_to(LeadsTo::Namespace),
        lines("Calls by node", "All nodes that are chosen.", unit::CALLS_PER_SECOND)
            .query("sum by (instance) (rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval]))", "{{instance}}"),
        lines("The 10 busiest pods", "Without what belongs to no pod.", unit::CALLS_PER_SECOND)
            .query(
                r#"topk(10, sum by (namespace, pod) (rate(syscallmon_syscalls_total{NAMESPACE,pod!=""}[$__rate_interval])))"#,
                "{{namespace}}/{{pod}}",
            )
            .leads_to(LeadsTo::Pod),
        lines("The 10 busiest services of hosts", "By cgroup: what is in no container.", unit::CALLS_PER_SECOND)
            .query(
                r#"topk(10, sum by (cgroup) (rate(syscallmon_syscalls_total{NAMESPACE,pod="",cgroup!=""}[$__rate_interval])))"#,
                "{{cgroup}}",
            )
            .leads_to(LeadsTo::Cgroup),
        lines("The 10 most frequent calls", "By name and ABI.", unit::CALLS_PER_SECOND).query(
            "topk(10, sum by (syscall, set, abi) (rate(syscallmon_syscalls_total{NAMESPACE}[$__rate_interval])))",
            "{{syscall}}{{set}} ({{abi}})",
        ),
        lines(
            "Calls of another ABI, and of no number",
            "32-bit calls (ia32, aarch32), x32, and numbers that the kernel does not know. Rarely seen where nothing is wrong.",
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
            "The 15 busiest owners",
            "What made the pods: Deployments, DaemonSets and their like. Whatever the node.",
            unit::CALLS_PER_SECOND,
        )
        .query(
            &format!("topk(15, namespace_owner:syscallmon_syscalls:rate5m{of})"),
            "{{namespace}} {{owner_kind}} {{owner}}",
        )
        .leads_to(LeadsTo::Namespace),
        stacked(
            "Calls by class",
            "Classes are systemd's sets; a call is in one. Whatever the node.",
            unit::CALLS_PER_SECOND,
        )
        .query(&format!("sum by (class) (namespace_class:syscallmon_syscalls:rate5m{of})"), "{{class}}"),
    ]
}

fn failures() -> Vec<Panel> {
    let refused = occurrences("syscallmon_syscalls_denied_total{NAMESPACE,errno!=\"ENOSYS\"}", "$__range");
    vec![
        lines("Errors by errno", "All calls that returned one.", unit::CALLS_PER_SECOND)
            .query("sum by (errno) (rate(syscallmon_syscall_errors_total{NAMESPACE}[$__rate_interval]))", "{{errno}}"),
        lines("Refused attempts by namespace", "Calls that seccomp refused.", unit::CALLS_PER_SECOND)
            .query(
                r#"label_replace(sum by (namespace) (rate(syscallmon_syscalls_denied_total{NAMESPACE,errno!="ENOSYS"}[$__rate_interval])), "namespace", "(host)", "namespace", "^$")"#,
                "{{namespace}}",
            )
            .leads_to(LeadsTo::Namespace),
        workloads(
            "The 25 most frequent errors",
            "Mean over the time that is shown.",
            unit::CALLS_PER_SECOND,
            "topk(25, sum by (namespace, pod, container, cgroup, syscall, set, errno) (rate(syscallmon_syscall_errors_total{NAMESPACE}[$__range])))",
        ),
        workloads(
            "The 25 most frequent refused attempts",
            "Within the time that is shown.",
            unit::COUNT,
            &format!("topk(25, sum by (namespace, pod, container, cgroup, syscall, set, abi) ({refused}))"),
        ),
    ]
}

fn itself() -> Vec<Panel> {
    vec![
        states("Probes", "Whether each is attached.")
            .query("min by (instance, probe) (syscallmon_probe_up{NODE})", "{{instance}} {{probe}}"),
        states("Sources of names", "Whether each answered when it was last asked.")
            .query("min by (instance, source) (syscallmon_names_source_up{NODE})", "{{instance}} {{source}}"),
        lines("Capacity in use", "The fullest node. At 100 %, calls are counted in a remainder.", unit::SHARE)
            .query("max(syscallmon_series{NODE} / syscallmon_series_capacity{NODE})", "series")
            .query("max(syscallmon_cgroups{NODE} / syscallmon_cgroups_capacity{NODE})", "cgroups")
            .query("max(syscallmon_histograms{NODE} / syscallmon_histograms_capacity{NODE})", "histograms")
            .thresholds(FULL_IS_BAD)
            .size(8, 8),
        lines("Lost", "By reason, as METRICS.md explains them; of all nodes that are chosen.", unit::CALLS_PER_SECOND)
            .query("sum by (reason) (rate(syscallmon_lost_total{NODE}[$__rate_interval]))", "{{reason}}")
            .size(8, 8),
        lines("Workloads", "Alive, gone and not forgotten yet, or waiting for a name.", unit::COUNT)
            .query("sum by (state) (syscallmon_workloads{NODE})", "{{state}}")
            .size(8, 8),
        lines("CPU of the daemon", "The 10 nodes where it is most; 100 % is one CPU.", unit::SHARE)
            .query(
                r#"topk(10, rate(process_cpu_seconds_total{job="syscallmon",NODE}[$__rate_interval]))"#,
                "{{instance}}",
            )
            .size(8, 8),
        lines("Memory", "Of the daemon, and of its tables in the kernel; the 5 nodes where each is most.", unit::BYTES)
            .query(r#"topk(5, process_resident_memory_bytes{job="syscallmon",NODE})"#, "{{instance}} daemon")
            .query("topk(5, syscallmon_kernel_memory_bytes{NODE})", "{{instance}} kernel")
            .size(8, 8),
        lines(
            "Reading the kernel's tables",
            "How long the newest snapshot took; the 10 nodes where it is most.",
            unit::SECONDS,
        )
        .query("topk(10, syscallmon_snapshot_duration_seconds{NODE})", "{{instance}}")
        .size(8, 8),
        lines("Series", "What Prometheus has to store, by node.", unit::COUNT)
            .query("topk(10, syscallmon_workload_series{NODE})", "{{instance}}")
            .size(8, 8),
        states(
            "Configuration and policies",
            "Whether the newest could be loaded; otherwise those before are in force.",
        )
        .query("min by (instance) (syscallmon_config_last_reload_successful{NODE})", "{{instance}} configuration")
        .query("min by (instance) (syscallmon_policy_last_reload_successful{NODE})", "{{instance}} policies")
        .size(8, 8),
        lines("Versions", "Daemons by version.", unit::COUNT)
            .query("count by (version, arch) (syscallmon_build_info{NODE})", "{{version}} {{arch}}")
            .size(8, 8),
    ]
}
