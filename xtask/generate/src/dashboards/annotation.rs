//! Moments that graphs mark.

use super::promql::{expand, occurrences};

/// Moments that a dashboard marks in all of its graphs.
pub struct Annotation {
    /// Name for users, with which they hide it.
    pub name: &'static str,
    /// Colour of the marks.
    pub color: &'static str,
    /// Query that has a value at each of the moments.
    pub promql: String,
    /// Text of a mark, with labels as in a legend.
    pub text: &'static str,
}

/// Starts of daemons: totals begin anew, and what was called in between is not counted.
pub(super) fn starts() -> Annotation {
    Annotation {
        name: "Daemon started",
        color: "gray",
        promql: expand(r#"changes(process_start_time_seconds{job="syscallmon",NODE}[2m]) > 0"#),
        text: "{{instance}}",
    }
}

/// Unexpected calls of the workloads that these words of queries select, in the colours of their severities.
pub(super) fn unexpected(selected: &str) -> [Annotation; 2] {
    [
        marks("Critical calls", "red", &format!(r#"{selected},severity="critical""#)),
        marks("Unexpected calls", "orange", &format!(r#"{selected},severity!="critical""#)),
    ]
}

fn marks(name: &'static str, color: &'static str, selected: &str) -> Annotation {
    let of_selected = occurrences(&format!("syscallmon_unexpected_syscalls_total{{{selected}}}"), "1m");
    Annotation {
        name,
        color,
        promql: expand(&format!("sum by (namespace, pod, container, cgroup, severity) ({of_selected}) > 0")),
        text: "{{severity}}: {{namespace}} {{pod}} {{container}} {{cgroup}}",
    }
}
