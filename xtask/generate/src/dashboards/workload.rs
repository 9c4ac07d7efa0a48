//! `workload`: one workload or a few, in detail.

use super::{
    Dashboard,
    annotation::{starts, unexpected},
    panel::{FEW_IS_GOOD, LeadsTo, Panel, bars, heatmap, lines, stacked, stat, table, unit, workloads},
    promql::occurrences,
    row, variable,
};

/// Labels that identify workloads in tables.
const WHO: &str = "namespace, pod, container, cgroup";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "workload",
        title: "syscallmon / workload",
        description: "System calls of a container, pod or service: rates, errors, denied and unexpected calls, and durations.",
        variables: variable::until("cgroup"),
        annotations: [starts()].into_iter().chain(unexpected("WORKLOAD")).collect(),
        rows: vec![
            row("Summary", glance()),
            row("Calls", calls()),
            row("New and unexpected calls", new()),
            row("Errors and denied calls", failures()),
            row("Seccomp profile", profile()),
            row("Durations (probe.latency, latency.syscalls)", durations()),
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
            "System calls of the selected workloads.",
            unit::CALLS_PER_SECOND,
            "sum(rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval]))",
        ),
        stat(
            "Distinct calls",
            "Number of different system calls in use.",
            unit::COUNT,
            "count(count by (syscall, set, abi) (syscallmon_syscalls_total{WORKLOAD}))",
        ),
        stat(
            "Error ratio",
            "Share of calls that returned an error.",
            unit::SHARE,
            "sum(rate(syscallmon_syscall_errors_total{WORKLOAD}[$__rate_interval])) \
             / sum(rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval]))",
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
        table(
            "Metadata",
            "Metadata of each workload (of its newest container).",
            unit::COUNT,
            "count by (namespace, pod, container, cgroup, image, runtime, owner_kind, owner, instance) (syscallmon_workload_info{WORKLOAD})",
        )
        .size(9, 4),
    ]
}

fn calls() -> Vec<Panel> {
    vec![
        stacked("Top 15 system calls", "By name and ABI.", unit::CALLS_PER_SECOND)
            .query(
                "topk(15, sum by (syscall, set, abi) (rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval])))",
                "{{syscall}}{{set}} ({{abi}})",
            )
            .size(12, 9),
        lines("By container or service", "Top 15 by rate.", unit::CALLS_PER_SECOND)
            .query(
                &format!("topk(15, sum by ({WHO}) (rate(syscallmon_syscalls_total{{WORKLOAD}}[$__rate_interval])))"),
                "{{namespace}} {{pod}} {{container}}{{cgroup}}",
            )
            .size(12, 9),
        table(
            "All calls",
            "Number of calls in the time range.",
            unit::COUNT,
            "sort_desc(sum by (syscall, set, abi) (increase(syscallmon_syscalls_total{WORKLOAD}[$__range])))",
        ),
        table(
            "Classes of arguments",
            "Number of calls in the time range by the class of their arguments, for calls that have classes.",
            unit::COUNT,
            "sort_desc(sum by (syscall, argument, abi) (increase(syscallmon_syscall_arguments_total{WORKLOAD}[$__range])))",
        ),
        lines("By ABI", "Most workloads use one ABI.", unit::CALLS_PER_SECOND)
            .query("sum by (abi) (rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval]))", "{{abi}}"),
    ]
}

fn new() -> Vec<Panel> {
    let unexpected = |time| occurrences("syscallmon_unexpected_syscalls_total{WORKLOAD}", time);
    vec![
        workloads(
            "First calls in the time range",
            "For a new workload, all calls are first calls. Click a row: the explorer of its node says when, and by which process. It is at the address in the field Explorer.",
            unit::COUNT,
            &format!(
                "sum by ({WHO}, syscall, set, abi) (syscallmon_syscalls_total{{WORKLOAD}} unless max_over_time(syscallmon_syscalls_total{{WORKLOAD}}[5m] offset $__range))"
            ),
        )
        .leads_to(LeadsTo::NewCallsOfRow),
        lines(
            "Distinct calls",
            "Number of different system calls; constant for a workload in a steady state.",
            unit::COUNT,
        )
        .query(
            &format!("count by ({WHO}) (syscallmon_syscalls_total{{WORKLOAD}})"),
            "{{namespace}} {{pod}} {{container}}{{cgroup}}",
        ),
        workloads(
            "Unexpected",
            "In the time range.",
            unit::COUNT,
            &format!("sum by ({WHO}, syscall, argument, abi, policy, severity) ({})", unexpected("$__range")),
        ),
        bars("Unexpected over time", "Calls that no policy expects, for each interval.").query(
            &format!("sum by (syscall, argument, abi, severity) ({})", unexpected("$__rate_interval")),
            "{{severity}}: {{syscall}} {{argument}} ({{abi}})",
        ),
    ]
}

fn failures() -> Vec<Panel> {
    let refused = |time| occurrences("syscallmon_syscalls_denied_total{WORKLOAD,errno!=\"ENOSYS\"}", time);
    vec![
        stacked("Errors", "Top 15 by system call and errno.", unit::CALLS_PER_SECOND).query(
            "topk(15, sum by (syscall, set, errno) (rate(syscallmon_syscall_errors_total{WORKLOAD}[$__rate_interval])))",
            "{{syscall}}{{set}} {{errno}}",
        ),
        lines("Error ratio by call", "Share of calls that returned an error; top 10 calls.", unit::SHARE).query(
            "topk(10, sum by (syscall, set) (rate(syscallmon_syscall_errors_total{WORKLOAD}[$__rate_interval])) \
             / (sum by (syscall, set) (rate(syscallmon_syscalls_total{WORKLOAD}[$__rate_interval])) > 0))",
            "{{syscall}}{{set}}",
        ),
        bars("Denied calls", "Calls that seccomp denied, except with ENOSYS, for each interval.")
            .query(&format!("sum by (syscall, set, abi) ({})", refused("$__rate_interval")), "{{syscall}}{{set}} ({{abi}})"),
        workloads(
            "Denied calls in the time range",
            "By workload and call.",
            unit::COUNT,
            &format!("sum by ({WHO}, syscall, set, abi) ({})", refused("$__range")),
        ),
    ]
}

/// What a seccomp profile for the workload needs: docs/profiles.md.
fn profile() -> Vec<Panel> {
    let own = format!(
        "sum by ({WHO}, syscall, abi) (syscallmon_syscalls_total{{WORKLOAD}}) \
         unless sum by ({WHO}, syscall, abi) (syscallmon_syscalls_total{{WORKLOAD}}) \
         == sum by ({WHO}, syscall, abi) (syscallmon_container_init_syscalls_total{{WORKLOAD}})"
    );
    let denied = |errno| {
        format!(
            "sort_desc(count by (syscall, set, abi) (sum by ({WHO}, syscall, set, abi) (syscallmon_syscalls_denied_total{{WORKLOAD,{errno}}})))"
        )
    };
    vec![
        stat(
            "Replicas",
            "Number of selected containers and services.",
            unit::COUNT,
            &format!("count(count by ({WHO}) (syscallmon_syscalls_total{{WORKLOAD}}))"),
        ),
        stat(
            "Calls to allow",
            "Number of different system calls that their programs make. `syscallmon profile generate` makes the profile.",
            unit::COUNT,
            &format!("count(count by (syscall, abi) ({own}))"),
        ),
        stat(
            "Distinct denied calls",
            "Number of different system calls that seccomp denied, except with ENOSYS.",
            unit::COUNT,
            "count(count by (syscall, abi) (syscallmon_syscalls_denied_total{WORKLOAD,errno!=\"ENOSYS\"})) or vector(0)",
        )
        .thresholds(FEW_IS_GOOD),
        table(
            "Calls that it makes, by number of replicas",
            "Calls that few replicas make come first: a profile of one replica would lack them. `syscallmon profile generate` makes the profile.",
            unit::COUNT,
            &format!("sort(count by (syscall, abi) ({own}))"),
        ),
        table(
            "Denied by the profile",
            "Number of replicas in which seccomp denied each call, except with ENOSYS. The profile or the program is wrong, or somebody tries.",
            unit::COUNT,
            &denied("errno!=\"ENOSYS\""),
        ),
        table(
            "Answered with ENOSYS by the profile",
            "Number of replicas. Programs expect this answer and use other calls, such as clone for clone3: no attempt.",
            unit::COUNT,
            &denied("errno=\"ENOSYS\""),
        ),
        table(
            "Calls of the container runtime only",
            "Made while the container was set up, and not by its program.",
            unit::COUNT,
            &format!(
                "sort_desc(sum by (syscall, abi) (sum by ({WHO}, syscall, abi) (syscallmon_syscalls_total{{WORKLOAD}}) \
                 == sum by ({WHO}, syscall, abi) (syscallmon_container_init_syscalls_total{{WORKLOAD}})))"
            ),
        ),
    ]
}

fn durations() -> Vec<Panel> {
    let buckets = "rate(syscallmon_syscall_duration_seconds_bucket{WORKLOAD}[$__rate_interval])";
    vec![
        lines("99th percentile", "By system call, including waiting.", unit::SECONDS)
            .query(&format!("histogram_quantile(0.99, sum by (syscall, set, le) ({buckets}))"), "{{syscall}}{{set}}")
            .size(8, 8),
        lines("Mean", "By system call, including waiting.", unit::SECONDS)
            .query(
                "sum by (syscall, set) (rate(syscallmon_syscall_duration_seconds_sum{WORKLOAD}[$__rate_interval])) \
                 / (sum by (syscall, set) (rate(syscallmon_syscall_duration_seconds_count{WORKLOAD}[$__rate_interval])) > 0)",
                "{{syscall}}{{set}}",
            )
            .size(8, 8),
        heatmap(
            "Distribution of durations",
            "Number of calls by duration.",
            "sum by (le) (increase(syscallmon_syscall_duration_seconds_bucket{WORKLOAD}[$__rate_interval]))",
        )
        .size(8, 8),
    ]
}

fn io_uring() -> Vec<Panel> {
    vec![
        lines("Operations", "io_uring operations by opcode.", unit::OPERATIONS_PER_SECOND)
            .query("sum by (op) (rate(syscallmon_io_uring_requests_total{WORKLOAD}[$__rate_interval]))", "{{op}}"),
        workloads(
            "Operations in the time range",
            "By workload.",
            unit::COUNT,
            &format!(
                "sum by ({WHO}, op) ({})",
                occurrences("syscallmon_io_uring_requests_total{WORKLOAD}", "$__range")
            ),
        ),
    ]
}
