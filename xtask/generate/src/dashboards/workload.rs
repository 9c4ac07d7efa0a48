//! `workload`: one in depth, or a few.

use super::{
    Dashboard,
    panel::{FEW_IS_GOOD, LeadsTo, NONE_IS_GOOD, Panel, bars, heatmap, lines, stacked, stat, table, unit, workloads},
    promql::occurrences,
    row, variable,
};

/// What tells workloads apart, in tables.
const WHO: &str = "namespace, pod, container, cgroup";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "workload",
        title: "syscallmon / workload",
        description: "What a container, a pod or a service calls, how that fails, what is refused, how long it takes, and what is new.",
        variables: variable::until("cgroup"),
        rows: vec![
            row("At a glance", glance()),
            row("Calls", calls()),
            row("New and unexpected calls", new()),
            row("Errors and refused attempts", failures()),
            row("Durations, with probe.latency, of calls in latency.syscalls", durations()),
            row("io_uring", io_uring()),
        ],
    }
}

fn glance() -> Vec<Panel> {
    let unexpected = occurrences("syscallmon_unexpected_syscalls_total{WORKLOAD}", "$__range");
    let refused = occurrences("syscallmon_syscalls_denied_total{WORKLOAD,errno!=\"ENOSYS\"}", "$__range");
    vec![
        stat(
            "Calls",
            "System calls of the chosen workloads.",
            unit::CALLS_PER_SECOND,
            "sum(rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval]))",
        ),
        stat(
            "Different calls",
            "How many of the kernel's calls it has used.",
            unit::COUNT,
            "count(count by (syscall, set, abi) (syscallmon_syscalls_total{WORKLOAD}))",
        ),
        stat(
            "Failed",
            "The share of calls that returned an error.",
            unit::SHARE,
            "sum(rate(syscallmon_syscall_errors_total{WORKLOAD}[$__rate_interval])) \
             / sum(rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval]))",
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
        table(
            "Who it is",
            "The newest container of each workload that is alive.",
            unit::COUNT,
            "count by (namespace, pod, container, cgroup, image, runtime, owner_kind, owner, instance) (syscallmon_workload_info{WORKLOAD})",
        )
        .size(9, 4),
    ]
}

fn calls() -> Vec<Panel> {
    vec![
        stacked("The 15 most frequent calls", "By name and ABI.", unit::CALLS_PER_SECOND)
            .query(
                "topk(15, sum by (syscall, set, abi) (rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval])))",
                "{{syscall}}{{set}} ({{abi}})",
            )
            .size(12, 9),
        lines("By container or service", "The 15 busiest.", unit::CALLS_PER_SECOND)
            .query(
                &format!("topk(15, sum by ({WHO}) (rate(syscallmon_syscalls_total{{WORKLOAD}}[$__rate_interval])))"),
                "{{namespace}} {{pod}} {{container}}{{cgroup}}",
            )
            .size(12, 9),
        table(
            "All calls",
            "How often each was made within the time that is shown.",
            unit::COUNT,
            "sort_desc(sum by (syscall, set, abi) (increase(syscallmon_syscalls_total{WORKLOAD}[$__range])))",
        ),
        lines("By ABI", "More than one is rare.", unit::CALLS_PER_SECOND)
            .query("sum by (abi) (rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval]))", "{{abi}}"),
    ]
}

fn new() -> Vec<Panel> {
    let unexpected = |time| occurrences("syscallmon_unexpected_syscalls_total{WORKLOAD}", time);
    vec![
        workloads(
            "Made for the first time within the time that is shown",
            "Of a workload that is new itself, everything is.",
            unit::COUNT,
            &format!(
                "sum by ({WHO}, syscall, set, abi) (syscallmon_syscalls_total{{WORKLOAD}} unless syscallmon_syscalls_total{{WORKLOAD}} offset $__range)"
            ),
        ),
        lines("Different calls", "A workload that has settled makes no new ones: it stays flat.", unit::COUNT).query(
            &format!("count by ({WHO}) (syscallmon_syscalls_total{{WORKLOAD}})"),
            "{{namespace}} {{pod}} {{container}}{{cgroup}}",
        ),
        workloads(
            "Unexpected",
            "Within the time that is shown.",
            unit::COUNT,
            &format!("sum by ({WHO}, syscall, abi, policy, severity) ({})", unexpected("$__range")),
        ),
        bars("Unexpected over time", "Calls that no policy expects, within the time of one bar.").query(
            &format!("sum by (syscall, abi, severity) ({})", unexpected("$__rate_interval")),
            "{{severity}}: {{syscall}} ({{abi}})",
        ),
    ]
}

fn failures() -> Vec<Panel> {
    let refused = |time| occurrences("syscallmon_syscalls_denied_total{WORKLOAD,errno!=\"ENOSYS\"}", time);
    vec![
        stacked("Errors", "The 15 most frequent, by call and errno.", unit::CALLS_PER_SECOND).query(
            "topk(15, sum by (syscall, set, errno) (rate(syscallmon_syscall_errors_total{WORKLOAD}[$__rate_interval])))",
            "{{syscall}}{{set}} {{errno}}",
        ),
        lines("Share of calls that fail", "The 10 calls that fail most, of those that were made.", unit::SHARE).query(
            "topk(10, sum by (syscall, set) (rate(syscallmon_syscall_errors_total{WORKLOAD}[$__rate_interval])) \
             / (sum by (syscall, set) (rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval])) > 0))",
            "{{syscall}}{{set}}",
        ),
        bars("Refused attempts", "Calls that seccomp refused, within the time of one bar.")
            .query(&format!("sum by (syscall, set, abi) ({})", refused("$__rate_interval")), "{{syscall}}{{set}} ({{abi}})"),
        workloads(
            "Refused attempts within the time that is shown",
            "By workload and call.",
            unit::COUNT,
            &format!("sum by ({WHO}, syscall, set, abi) ({})", refused("$__range")),
        ),
    ]
}

fn durations() -> Vec<Panel> {
    let buckets = "rate(syscallmon_syscall_duration_seconds_bucket{WORKLOAD}[$__rate_interval])";
    vec![
        lines("99th percentile", "By call, waiting included.", unit::SECONDS)
            .query(&format!("histogram_quantile(0.99, sum by (syscall, set, le) ({buckets}))"), "{{syscall}}{{set}}")
            .size(8, 8),
        lines("Mean", "By call, waiting included.", unit::SECONDS)
            .query(
                "sum by (syscall, set) (rate(syscallmon_syscall_duration_seconds_sum{WORKLOAD}[$__rate_interval])) \
                 / (sum by (syscall, set) (rate(syscallmon_syscall_duration_seconds_count{WORKLOAD}[$__rate_interval])) > 0)",
                "{{syscall}}{{set}}",
            )
            .size(8, 8),
        heatmap(
            "All durations",
            "How many calls took how long.",
            "sum by (le) (increase(syscallmon_syscall_duration_seconds_bucket{WORKLOAD}[$__rate_interval]))",
        )
        .size(8, 8),
    ]
}

fn io_uring() -> Vec<Panel> {
    vec![
        lines("Operations", "Given to io_uring; they make no system calls of their own.", unit::OPERATIONS_PER_SECOND)
            .query("sum by (op) (rate(syscallmon_io_uring_requests_total{WORKLOAD}[$__rate_interval]))", "{{op}}"),
        workloads(
            "Operations within the time that is shown",
            "By workload.",
            unit::COUNT,
            &format!(
                "sum by ({WHO}, op) ({})",
                occurrences("syscallmon_io_uring_requests_total{WORKLOAD}", "$__range")
            ),
        ),
    ]
}
