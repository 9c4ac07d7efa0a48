//! What can be chosen at the top of a dashboard.
//!
//! Every choice depends on those before it. "All" is `.*`, which also matches what lacks the label: services of a plain
//! host have no namespace, pod or container, and many Prometheus servers know no cluster.

use super::promql;

/// A variable with the values of a label.
pub struct Variable {
    /// Of the variable.
    pub name: &'static str,
    /// What people read.
    pub(super) title: &'static str,
    /// Of which series.
    pub selector: String,
}

const DEPENDENT: [(&str, &str, &str); 6] = [
    ("instance", "Node", r#"syscallmon_build_info{cluster=~"$cluster"}"#),
    ("namespace", "Namespace", "syscallmon_workload_info{NODE}"),
    ("pod", "Pod", "syscallmon_workload_info{NAMESPACE}"),
    ("container", "Container", r#"syscallmon_workload_info{NAMESPACE,pod=~"$pod"}"#),
    // Counters of containers have no cgroup, although what is known of them has.
    ("cgroup", "Service or cgroup", r#"syscallmon_workload_info{NODE,container=""}"#),
    ("policy", "Policy", "syscallmon_unexpected_syscalls_total{WORKLOAD}"),
];

fn variable(name: &'static str, title: &'static str, selector: &str) -> Variable {
    Variable { name, title, selector: promql::expand(selector) }
}

/// From the cluster to the last one of these names.
pub(super) fn until(last: &str) -> Vec<Variable> {
    let mut variables = vec![variable("cluster", "Cluster", "syscallmon_build_info")];
    for (name, title, selector) in DEPENDENT {
        variables.push(variable(name, title, selector));
        if name == last {
            break;
        }
    }
    variables
}

/// How bad what is unexpected is.
pub(super) fn severity() -> Variable {
    variable("severity", "Severity", r#"syscallmon_unexpected_syscalls_total{WORKLOAD,policy=~"$policy"}"#)
}
