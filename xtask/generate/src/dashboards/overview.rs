//! `overview`: who makes which calls in a cluster.

use super::{
    Dashboard,
    annotation::{starts, unexpected},
    nodes::{down, up},
    panel::{FEW_IS_GOOD, LeadsTo, NONE_IS_GOOD, Panel, lines, stacked, stat, unit, workloads},
    promql::{occurrences, with_shown_namespace},
    row, variable,
};

/// Cgroups of containers without a name: their paths have an id.
const UNNAMED: &str = ".*[0-9a-f]{64}.*";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "overview",
        title: "syscallmon / overview",
        description: "System calls of a cluster: rates by workload, errors, denied and unexpected calls. \
                      Requires the recording rules of deploy/prometheus/rules.yaml.",
        variables: variable::until("namespace"),
        annotations: [starts()].into_iter().chain(unexpected("NAMESPACE")).collect(),
        rows: vec![
            row("Summary", glance()),
            row("Calls", calls()),
            row("By owner and class", recorded()),
            row("Errors and denied calls", failures()),
        ],
    }
}

fn glance() -> Vec<Panel> {
    let unexpected = occurrences("syscallmon_unexpected_syscalls_total{NAMESPACE}", "$__range");
    let critical = occurrences("syscallmon_unexpected_syscalls_total{NAMESPACE,severity=\"critical\"}", "$__range");
    let refused = occurrences("syscallmon_syscalls_denied_total{NAMESPACE,errno!=\"ENOSYS\"}", "$__range");
    vec![
        up(),
        down(),
        stat(
            "Calls",
            "System calls of the selected namespaces.",
            unit::CALLS_PER_SECOND,
            "sum(workload:syscallmon_syscalls:rate5m{NAMESPACE})",
        ),
        stat(
            "Error ratio",
            "Share of calls that returned an error.",
            unit::SHARE,
            "sum(instance_namespace_errno:syscallmon_syscall_errors:rate5m{NAMESPACE}) \
             / sum(workload:syscallmon_syscalls:rate5m{NAMESPACE})",
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
        .thresholds(FEW_IS_GOOD)
        .leads_to(LeadsTo::Unexpected),
        stat(
            "Critical",
            "Unexpected calls of severity critical: calls that container escapes and kernel tampering use.",
            unit::COUNT,
            &format!("sum({critical}) or vector(0)"),
        )
        .thresholds(NONE_IS_GOOD)
        .leads_to(LeadsTo::Unexpected),
        stat(
            "Calls not attributed",
            "Calls and events that were dropped or counted without attribution, in the time range and in all namespaces.",
            unit::COUNT,
            "sum(increase(syscallmon_lost_total{NODE}[$__range]))",
        )
        .thresholds(FEW_IS_GOOD)
        .leads_to(LeadsTo::Nodes),
    ]
}

fn calls() -> Vec<Panel> {
    vec![
        stacked(
            "Calls by namespace",
            "(host) is everything outside of Kubernetes: services and users of the host, and containers of Docker and Podman.",
            unit::CALLS_PER_SECOND,
        )
        .query(
            &with_shown_namespace("sum by (namespace) (workload:syscallmon_syscalls:rate5m{NAMESPACE})"),
            "{{shown}}",
        )
        .leads_to(LeadsTo::Namespace),
        lines("Calls by node", "The selected nodes.", unit::CALLS_PER_SECOND)
            .query("sum by (instance) (workload:syscallmon_syscalls:rate5m{NAMESPACE})", "{{instance}}"),
        lines("Top 10 containers", "Containers with the most calls, with or without Kubernetes; those without a name by their cgroup.", unit::CALLS_PER_SECOND)
            .query(
                &format!(
                    r#"topk(10, sum by (namespace, pod, container, cgroup) (workload:syscallmon_syscalls:rate5m{{NAMESPACE,container!=""}} or workload:syscallmon_syscalls:rate5m{{NAMESPACE,container="",cgroup=~"{UNNAMED}"}}))"#
                ),
                "{{namespace}} {{pod}} {{container}}{{cgroup}}",
            )
            .leads_to(LeadsTo::Container),
        lines("Top 10 host services", "Cgroups outside of containers with the most calls.", unit::CALLS_PER_SECOND)
            .query(
                &format!(
                    r#"topk(10, sum by (cgroup) (workload:syscallmon_syscalls:rate5m{{NAMESPACE,container="",cgroup!="",cgroup!~"{UNNAMED}"}}))"#
                ),
                "{{cgroup}}",
            )
            .leads_to(LeadsTo::Cgroup),
        lines("Top 10 system calls", "By name and ABI. On a large cluster, choose a node or a namespace first.", unit::CALLS_PER_SECOND).query(
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
        lines("Errors by errno", "Calls that returned an error.", unit::CALLS_PER_SECOND).query(
            "sum by (errno) (instance_namespace_errno:syscallmon_syscall_errors:rate5m{NAMESPACE})",
            "{{errno}}",
        ),
        lines("Denied calls by namespace", "Calls that seccomp denied, except with ENOSYS.", unit::CALLS_PER_SECOND)
            .query(
                &with_shown_namespace("sum by (namespace) (workload:syscallmon_syscalls_denied:rate5m{NAMESPACE})"),
                "{{shown}}",
            )
            .leads_to(LeadsTo::Namespace),
        workloads(
            "Top 25 errors",
            "Mean rate in the time range. On a large cluster, choose a node or a namespace first.",
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
