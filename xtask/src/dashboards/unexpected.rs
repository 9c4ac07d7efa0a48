//! `unexpected`: calls that no policy expects, what was said about them, and what was learned.

use super::{
    Dashboard,
    panel::{FEW_IS_GOOD, NONE_IS_GOOD, Panel, bars, lines, stat, states, table, unit, workloads},
    promql::occurrences,
    row, variable,
};

const VIOLATIONS: &str = "syscallmon_unexpected_syscalls_total{VIOLATION}";

pub(super) fn dashboard() -> Dashboard {
    let mut variables = variable::until("policy");
    variables.push(variable::severity());
    Dashboard {
        name: "unexpected",
        title: "syscallmon / unexpected calls",
        description: "System calls that no policy expects: by whom, by which policy, how bad; whether alerts arrive; what is learned.",
        variables,
        rows: vec![
            row("At a glance", glance()),
            row("Unexpected calls", violations()),
            row("Beside the policies", beside()),
            row("Delivery of alerts", delivery()),
            row("Policies and what they learned", baselines()),
        ],
    }
}

fn glance() -> Vec<Panel> {
    let within = |selector: &str| occurrences(selector, "$__range");
    let all = within(VIOLATIONS);
    let critical = within(r#"syscallmon_unexpected_syscalls_total{VIOLATION,severity="critical"}"#);
    vec![
        stat("Unexpected", "Calls within the time that is shown.", unit::COUNT, &format!("sum({all}) or vector(0)"))
            .thresholds(FEW_IS_GOOD),
        stat(
            "Critical",
            "Of those, the ones that escapes and tampering need.",
            unit::COUNT,
            &format!("sum({critical}) or vector(0)"),
        )
        .thresholds(NONE_IS_GOOD),
        stat(
            "Workloads",
            "Workloads that made them.",
            unit::COUNT,
            &format!("count(count by (instance, namespace, pod, container, cgroup) ({all})) or vector(0)"),
        )
        .thresholds(FEW_IS_GOOD),
        stat("Policies", "In force on the node that has the most.", unit::COUNT, "max(syscallmon_policies{NODE})"),
        stat(
            "Kept",
            "Violations that the daemons keep, with their processes: /api/v1/violations of each node.",
            unit::COUNT,
            "sum(syscallmon_violations{NODE})",
        ),
        stat("Alerts that wait", "For their delivery.", unit::COUNT, "sum(syscallmon_alerts_queued{NODE})")
            .thresholds(FEW_IS_GOOD),
        stat(
            "Alerts dropped",
            "Within the time that is shown.",
            unit::COUNT,
            "sum(increase(syscallmon_alerts_dropped_total{NODE}[$__range])) or vector(0)",
        )
        .thresholds(NONE_IS_GOOD),
        stat(
            "Stores down",
            "Nodes that cannot keep what they learn.",
            unit::COUNT,
            "count(syscallmon_policy_store_up{NODE} == 0) or vector(0)",
        )
        .thresholds(NONE_IS_GOOD),
    ]
}

fn violations() -> Vec<Panel> {
    let (within_bar, within_range) = (occurrences(VIOLATIONS, "$__rate_interval"), occurrences(VIOLATIONS, "$__range"));
    vec![
        bars("By severity", "Within the time of one bar.")
            .query(&format!("sum by (severity) ({within_bar})"), "{{severity}}")
            .size(8, 8),
        bars("By policy", "Within the time of one bar.")
            .query(&format!("sum by (policy) ({within_bar})"), "{{policy}}")
            .size(8, 8),
        bars("By workload", "The 10 that made most, within the time of one bar.")
            .query(
                &format!("topk(10, sum by (namespace, pod, container, cgroup) ({within_bar}))"),
                "{{namespace}} {{pod}} {{container}}{{cgroup}}",
            )
            .size(8, 8),
        workloads(
            "What was called",
            "Within the time that is shown. Which process it was is in the log, in the alert, and in /api/v1/violations of the node.",
            unit::COUNT,
            &format!(
                "sort_desc(sum by (severity, policy, namespace, pod, container, cgroup, syscall, abi, instance) ({within_range}))"
            ),
        )
        .size(24, 10),
        table(
            "By policy and call",
            "In how many workloads: what many do that nobody attacks is missing in the policy.",
            unit::COUNT,
            &format!(
                "sort_desc(count by (policy, severity, syscall, abi) (sum by (policy, severity, syscall, abi, namespace, pod, container, cgroup) ({within_range})))"
            ),
        ),
        bars("The 10 most frequent calls", "Within the time of one bar.")
            .query(&format!("topk(10, sum by (syscall, abi) ({within_bar}))"), "{{syscall}} ({{abi}})"),
    ]
}

fn beside() -> Vec<Panel> {
    let refused = occurrences("syscallmon_syscalls_denied_total{WORKLOAD,errno!=\"ENOSYS\"}", "$__range");
    vec![
        workloads(
            "Refused by seccomp",
            "Within the time that is shown: attempts that did nothing, of those who may try again elsewhere.",
            unit::COUNT,
            &format!("topk(25, sum by (namespace, pod, container, cgroup, syscall, set, abi) ({refused}))"),
        ),
        workloads(
            "Other ABIs, and unknown numbers",
            "Since the workloads began.",
            unit::COUNT,
            r#"topk(25, sum by (namespace, pod, container, cgroup, syscall, set, abi) (syscallmon_syscalls_total{WORKLOAD,abi=~"ia32|x32|aarch32"} or syscallmon_syscalls_total{WORKLOAD,syscall="unknown"}))"#,
        ),
    ]
}

fn delivery() -> Vec<Panel> {
    vec![
        lines("Sent and failed", "Attempts to deliver, by sink.", unit::OPERATIONS_PER_SECOND)
            .query("sum by (sink) (rate(syscallmon_alerts_sent_total{NODE}[$__rate_interval]))", "{{sink}}: sent")
            .query("sum by (sink) (rate(syscallmon_alerts_failed_total{NODE}[$__rate_interval]))", "{{sink}}: failed")
            .size(8, 8),
        lines("Waiting", "By sink, of all nodes that are chosen.", unit::COUNT)
            .query("sum by (sink) (syscallmon_alerts_queued{NODE})", "{{sink}}")
            .size(8, 8),
        lines(
            "Since the last success",
            "By sink; the node where it is longest. Long is bad only while something waits.",
            unit::SECONDS,
        )
        .query("max by (sink) (time() - (syscallmon_alerts_last_success_timestamp_seconds{NODE} > 0))", "{{sink}}")
        .size(8, 8),
        lines(
            "Dropped and suppressed",
            "Alerts that were not sent; the calls are counted all the same.",
            unit::OPERATIONS_PER_SECOND,
        )
        .query(
            "sum by (sink, reason) (rate(syscallmon_alerts_dropped_total{NODE}[$__rate_interval]))",
            "{{sink}}: {{reason}}",
        )
        .query(
            "sum(rate(syscallmon_alerts_suppressed_total{NODE}[$__rate_interval]))",
            "suppressed: too many of one kind",
        ),
        lines("Violations", "That the daemons keep, and that they had no room for.", unit::COUNT)
            .query("sum(syscallmon_violations{NODE})", "kept")
            .query("sum(increase(syscallmon_violations_dropped_total{NODE}[$__rate_interval]))", "dropped"),
    ]
}

fn baselines() -> Vec<Panel> {
    vec![
        lines("Baselines by state", "What is learned, and what guards.", unit::COUNT).query(
            r#"sum by (policy, state) (syscallmon_policy_baselines{NODE,policy=~"$policy"})"#,
            "{{policy}}: {{state}}",
        ),
        table(
            "Calls in each baseline",
            "By kind of workload; the node where it has the most.",
            unit::COUNT,
            r#"sort_desc(max by (kind, policy, state) (syscallmon_policy_baseline_calls{NODE,policy=~"$policy"}))"#,
        ),
        lines(
            "Baselines that need a look",
            "Partial: begun after their containers started. Refused: there are too many. Unreadable: files that are left as they are.",
            unit::COUNT,
        )
        .query(r#"sum(syscallmon_policy_baseline_partial{NODE,policy=~"$policy"})"#, "partial")
        .query("sum(syscallmon_policy_baselines_refused{NODE})", "refused")
        .query("sum(syscallmon_policy_store_unreadable_files{NODE})", "unreadable files"),
        states("Policies loaded, and the store of baselines", "Whether each works.")
            .query("min by (instance) (syscallmon_policy_last_reload_successful{NODE})", "{{instance}} policies")
            .query("min by (instance) (syscallmon_policy_store_up{NODE})", "{{instance}} store"),
    ]
}
