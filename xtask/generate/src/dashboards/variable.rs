//! Variables at the top of a dashboard.
//!
//! The choices of each variable depend on the variables before it. "All" is `.*`, which also matches series without the
//! label: services of a plain host have no namespace, pod or container, and many Prometheus servers have no cluster.

use super::promql;

/// A variable with the values of a label.
pub struct Variable {
    /// Name of the variable.
    pub name: &'static str,
    /// Title for users.
    pub(super) title: &'static str,
    /// Selector of the series that have the label.
    pub selector: String,
}

const DEPENDENT: [(&str, &str, &str); 6] = [
    ("instance", "Node", r#"syscallmon_build_info{cluster=~"$cluster"}"#),
    ("namespace", "Namespace", "syscallmon_workload_info{NODE}"),
    ("pod", "Pod", "syscallmon_workload_info{NAMESPACE}"),
    ("container", "Container", r#"syscallmon_workload_info{NAMESPACE,pod=~"$pod"}"#),
    // Counters of containers have no cgroup, although their metadata has one.
    ("cgroup", "Service or cgroup", r#"syscallmon_workload_info{NODE,container=""}"#),
    ("policy", "Policy", "syscallmon_unexpected_syscalls_total{WORKLOAD}"),
];

fn variable(name: &'static str, title: &'static str, selector: &str) -> Variable {
    Variable { name, title, selector: promql::expand(selector) }
}

/// Returns the variables from the cluster to this one.
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

/// Returns the variable for the severity of unexpected calls.
pub(super) fn severity() -> Variable {
    variable("severity", "Severity", r#"syscallmon_unexpected_syscalls_total{WORKLOAD,policy=~"$policy"}"#)
}
