//! `unexpected`: calls that no policy expects, their alerts, and the baselines.

use super::{
    Dashboard,
    annotation::{starts, unexpected},
    panel::{FEW_IS_GOOD, LeadsTo, NONE_IS_GOOD, Panel, bars, lines, stat, states, table, unit, workloads},
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
        description: "System calls that no policy expects, by workload, policy and severity; delivery of alerts; policies and baselines.",
        variables,
        annotations: [starts()].into_iter().chain(unexpected("VIOLATION")).collect(),
        rows: vec![
            row("Summary", glance()),
            row("Unexpected calls", violations()),
            row("Denied calls and other ABIs", beside()),
            row("Alert delivery", delivery()),
            row("Policies and baselines", baselines()),
        ],
    }
}

fn glance() -> Vec<Panel> {
    let within = |selector: &str| occurrences(selector, "$__range");
    let all = within(VIOLATIONS);
    let critical = within(r#"syscallmon_unexpected_syscalls_total{VIOLATION,severity="critical"}"#);
    vec![
        stat(
            "Unexpected",
            "Calls that no policy expects, in the time range.",
            unit::COUNT,
            &format!("sum({all}) or vector(0)"),
        )
        .thresholds(FEW_IS_GOOD),
        stat(
            "Critical",
            "Unexpected calls of severity critical: calls that container escapes and kernel tampering use.",
            unit::COUNT,
            &format!("sum({critical}) or vector(0)"),
        )
        .thresholds(NONE_IS_GOOD),
        stat(
            "Workloads",
            "Workloads with unexpected calls.",
            unit::COUNT,
            &format!("count(count by (instance, namespace, pod, container, cgroup) ({all})) or vector(0)"),
        )
        .thresholds(FEW_IS_GOOD),
        stat("Policies", "Policies in force; maximum of all nodes.", unit::COUNT, "max(syscallmon_policies{NODE})")
            .size(6, 4),
        stat("Alerts queued", "Alerts that wait for delivery.", unit::COUNT, "sum(syscallmon_alerts_queued{NODE})")
            .thresholds(FEW_IS_GOOD),
        stat(
            "Alerts dropped",
            "In the time range.",
            unit::COUNT,
            "sum(increase(syscallmon_alerts_dropped_total{NODE}[$__range])) or vector(0)",
        )
        .thresholds(NONE_IS_GOOD),
        stat(
            "Baseline stores down",
            "Nodes that cannot store baselines on disk.",
            unit::COUNT,
            "count(syscallmon_policy_store_up{NODE} == 0) or vector(0)",
        )
        .thresholds(NONE_IS_GOOD),
    ]
}

fn violations() -> Vec<Panel> {
    let (within_bar, within_range) = (occurrences(VIOLATIONS, "$__rate_interval"), occurrences(VIOLATIONS, "$__range"));
    vec![
        bars("By severity", "For each interval.")
            .query(&format!("sum by (severity) ({within_bar})"), "{{severity}}")
            .size(8, 8),
        bars("By policy", "For each interval.")
            .query(&format!("sum by (policy) ({within_bar})"), "{{policy}}")
            .size(8, 8),
        bars("By workload", "Top 10 for each interval.")
            .query(
                &format!("topk(10, sum by (namespace, pod, container, cgroup) ({within_bar}))"),
                "{{namespace}} {{pod}} {{container}}{{cgroup}}",
            )
            .size(8, 8),
        workloads(
            "Unexpected calls by workload",
            "In the time range, critical ones first. Click a row: the explorer of its node says by which process and why, and what to do. It is at the address in the field Explorer.",
            unit::COUNT,
            &format!(
                "sort_desc(sum by (severity, policy, namespace, pod, container, cgroup, syscall, argument, abi, instance) ({within_range}))"
            ),
        )
        .leads_to(LeadsTo::IncidentsOfRow)
        .size(24, 10),
        table(
            "By policy and call",
            "Number of workloads that made the call. If many make it, the policy is probably too narrow.",
            unit::COUNT,
            &format!(
                "sort_desc(count by (policy, severity, syscall, argument, abi) (sum by (policy, severity, syscall, argument, abi, namespace, pod, container, cgroup) ({within_range})))"
            ),
        ),
        bars("Top 10 calls", "For each interval.")
            .query(&format!("topk(10, sum by (syscall, argument, abi) ({within_bar}))"), "{{syscall}} {{argument}} ({{abi}})"),
    ]
}

fn beside() -> Vec<Panel> {
    let refused = occurrences("syscallmon_syscalls_denied_total{WORKLOAD,errno!=\"ENOSYS\"}", "$__range");
    vec![
        workloads(
            "Denied by seccomp",
            "Calls that seccomp denied, except with ENOSYS, in the time range; top 25.",
            unit::COUNT,
            &format!("topk(25, sum by (namespace, pod, container, cgroup, syscall, set, abi) ({refused}))"),
        ),
        workloads(
            "Other ABIs and unknown numbers",
            "Since the start of the workloads; top 25.",
            unit::COUNT,
            r#"topk(25, sum by (namespace, pod, container, cgroup, syscall, set, abi) (syscallmon_syscalls_total{WORKLOAD,abi=~"ia32|x32|aarch32"} or syscallmon_syscalls_total{WORKLOAD,syscall="unknown"}))"#,
        ),
    ]
}

fn delivery() -> Vec<Panel> {
    vec![
        lines("Deliveries and failures", "Delivered alerts and failed attempts, by sink.", unit::OPERATIONS_PER_SECOND)
            .query("sum by (sink) (rate(syscallmon_alerts_sent_total{NODE}[$__rate_interval]))", "{{sink}}: sent")
            .query("sum by (sink) (rate(syscallmon_alerts_failed_total{NODE}[$__rate_interval]))", "{{sink}}: failed")
            .size(8, 8),
        lines("Queued", "Alerts that wait for delivery, by sink, on the selected nodes.", unit::COUNT)
            .query("sum by (sink) (syscallmon_alerts_queued{NODE})", "{{sink}}")
            .size(8, 8),
        lines(
            "Time since the last success",
            "By sink; maximum of all nodes. Long times matter only while alerts are queued.",
            unit::SECONDS,
        )
        .query("max by (sink) (time() - (syscallmon_alerts_last_success_timestamp_seconds{NODE} > 0))", "{{sink}}")
        .size(8, 8),
        lines(
            "Dropped and suppressed",
            "Alerts that were not sent; their calls are counted.",
            unit::OPERATIONS_PER_SECOND,
        )
        .query(
            "sum by (sink, reason) (rate(syscallmon_alerts_dropped_total{NODE}[$__rate_interval]))",
            "{{sink}}: {{reason}}",
        )
        .query(
            "sum(rate(syscallmon_alerts_suppressed_total{NODE}[$__rate_interval]))",
            "suppressed by --alert.rate-limit",
        ),
        lines("Violations", "Listed by the API, and dropped because the list was full.", unit::COUNT)
            .query("sum(syscallmon_violations{NODE})", "listed")
            .query("sum(increase(syscallmon_violations_dropped_total{NODE}[$__rate_interval]))", "dropped"),
    ]
}

fn baselines() -> Vec<Panel> {
    vec![
        lines("Baselines by state", "Baselines that learn and that guard.", unit::COUNT).query(
            r#"sum by (policy, state) (syscallmon_policy_baselines{NODE,policy=~"$policy"})"#,
            "{{policy}}: {{state}}",
        ),
        table(
            "Calls in each baseline",
            "By kind of workload; maximum of all nodes.",
            unit::COUNT,
            r#"sort_desc(max by (kind, policy, state) (syscallmon_policy_baseline_calls{NODE,policy=~"$policy"}))"#,
        ),
        table(
            "Allowed and unused calls",
            "Calls that a policy or the seccomp profile in it allows, and that no workload has made since the daemon started; minimum of all nodes. `syscallmon profile check` names those of a profile.",
            unit::COUNT,
            r#"sort_desc(min by (policy, abi) (syscallmon_policy_unused_calls{NODE,policy=~"$policy"}))"#,
        ),
        lines(
            "Baselines with problems",
            "Partial: no start of a container seen. Refused: the limit is reached. Unreadable: files that could not be used.",
            unit::COUNT,
        )
        .query(r#"sum(syscallmon_policy_baseline_partial{NODE,policy=~"$policy"})"#, "partial")
        .query("sum(syscallmon_policy_baselines_refused{NODE})", "refused")
        .query("sum(syscallmon_policy_store_unreadable_files{NODE})", "unreadable files"),
        states("Policy reloads and baseline store", "Whether each works.")
            .query("min by (instance) (syscallmon_policy_last_reload_successful{NODE})", "{{instance}} policies")
            .query("min by (instance) (syscallmon_policy_store_up{NODE})", "{{instance}} store"),
    ]
}
