//! Writes `PromQL`: selectors of series, and the functions over a window that are evidence.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    labels::{EXPORTED, LabelSet},
    window::Window,
};
use crate::workload::{Label, Selector};

/// Counters of calls, and the part of them that container runtimes made.
pub(super) const CALLS: &str = "syscallmon_syscalls_total";
pub(super) const CONTAINER_INIT: &str = "syscallmon_container_init_syscalls_total";

/// Labels that targets of Kubernetes often have, so that a scrape renames those of workloads.
const OFTEN_RENAMED: [Label; 4] = [Label::Namespace, Label::Pod, Label::Container, Label::Node];

/// A function of each series over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// The newest value. The only one that keeps the metric's name.
    Last,
    Max,
    Min,
    /// The increase with resets; absent with fewer than two samples.
    Increase,
    /// The time of the first sample, late by at most [`Window::step`].
    FirstTime,
    /// The time of the last sample.
    LastTime,
    /// The number of steps at which the value is 1.
    Steps,
    /// The highest value of an expression at a step.
    MaxOfSteps,
}

impl Function {
    /// Returns the query of all series that one of the selectors matches.
    pub(super) fn promql(self, selectors: &[String], window: Window) -> String {
        let (length, step) = (window.seconds(), window.step());
        let of = |selector: &String| match self {
            Self::Last => format!("last_over_time({selector}[{length}s])"),
            Self::Max => format!("max_over_time({selector}[{length}s])"),
            Self::Min => format!("min_over_time({selector}[{length}s])"),
            Self::Increase => format!("increase({selector}[{length}s])"),
            Self::FirstTime => format!("min_over_time(timestamp({selector})[{length}s:{step}s])"),
            Self::LastTime => format!("max_over_time(timestamp({selector})[{length}s:{step}s])"),
            Self::MaxOfSteps => format!("max_over_time(({selector})[{length}s:{step}s])"),
            Self::Steps => format!("sum_over_time(({selector} == 1)[{length}s:{step}s])"),
        };
        selectors.iter().map(of).collect::<Vec<_>>().join(" or ")
    }

    /// Returns the value of two adjacent windows together.
    pub(super) fn combined(self, earlier: f64, later: f64) -> f64 {
        match self {
            Self::Last => later,
            Self::Max | Self::LastTime | Self::MaxOfSteps => earlier.max(later),
            Self::Min | Self::FirstTime => earlier.min(later),
            Self::Increase | Self::Steps => earlier + later,
        }
    }
}

/// Returns selectors of `syscallmon_workload_info` for a workload: one for each combination of labels that a scrape may
/// have renamed.
pub(super) fn infos(workload: &Selector) -> Vec<String> {
    let used: BTreeSet<Label> = workload.matchers().map(|(label, ..)| label).collect();
    let renamed: Vec<Label> = OFTEN_RENAMED.into_iter().filter(|label| used.contains(label)).collect();
    let combination = |bits: usize| {
        let name = |label: Label| {
            let index = renamed.iter().position(|renamed| *renamed == label);
            let prefix = if index.is_some_and(|index| bits & (1 << index) != 0) { EXPORTED } else { "" };
            format!("{prefix}{}", label.name())
        };
        let matchers = workload.matchers().map(|(label, operator, value)| (name(label), operator, value));
        let matchers = matchers.map(|(name, operator, value)| format!("{name}{operator}{}", quoted(value)));
        format!("syscallmon_workload_info{{{}}}", matchers.collect::<Vec<_>>().join(","))
    };
    (0..1 << renamed.len()).map(combination).collect()
}

/// Returns a selector that matches the counts of workloads with this metadata. It may match counts of others.
///
/// A label of the metadata may be absent in the counts. A label that the metadata lack is absent in the counts, too.
pub(super) fn counts<'a>(metric: &str, infos: impl IntoIterator<Item = &'a LabelSet>) -> String {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for info in infos {
        for (name, value) in info.of_workload() {
            values.entry(name).or_default().insert(value);
        }
    }
    for label in Label::ALL {
        values.entry(label.name()).or_default();
    }
    let matchers = values.iter().map(|(name, values)| {
        let values: String = values.iter().map(|value| regex::escape(value) + "|").collect();
        if values.is_empty() { format!("{name}=\"\"") } else { format!("{name}=~{}", quoted(&values)) }
    });
    format!("{metric}{{{}}}", matchers.collect::<Vec<_>>().join(","))
}

/// Returns a selector of a metric of the daemons that these targets are.
pub(super) fn of_targets<'a>(metric: &str, more: &str, targets: impl IntoIterator<Item = &'a LabelSet>) -> String {
    let (mut jobs, mut instances) = (BTreeSet::new(), BTreeSet::new());
    for target in targets {
        jobs.insert(regex::escape(target.get("job")));
        instances.insert(regex::escape(target.get("instance")));
    }
    let any = |values: BTreeSet<String>| quoted(&values.into_iter().collect::<Vec<_>>().join("|"));
    format!("{metric}{{{more}job=~{},instance=~{}}}", any(jobs), any(instances))
}

/// Returns a string literal.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_found_under_their_names_after_the_scrape() {
        let of = |text: &str| infos(&text.parse().unwrap());
        assert_eq!(of(r#"owner="web""#), [r#"syscallmon_workload_info{owner="web"}"#]);
        assert_eq!(
            of(r#"{namespace=~"sh\\.p", owner!="a\"b"}"#),
            [
                r#"syscallmon_workload_info{namespace=~"sh\\.p",owner!="a\"b"}"#,
                r#"syscallmon_workload_info{exported_namespace=~"sh\\.p",owner!="a\"b"}"#
            ]
        );
        assert_eq!(of(r#"namespace="a",pod="b",container="c",node="d""#).len(), 16);
    }

    #[test]
    fn counts_are_selected_by_the_values_of_the_metadata() {
        let info = |pod: &str| {
            [("__name__", "syscallmon_workload_info"), ("pod", pod), ("instance", "n1:1")].into_iter().collect()
        };
        let infos: [LabelSet; 2] = [info("web.1"), info("web\\2")];
        let selector = counts("syscallmon_syscalls_total", &infos);
        assert!(selector.contains(r#"instance=~"n1:1|""#), "{selector}");
        assert!(selector.contains(r#"pod=~"web\\.1|web\\\\2|""#), "{selector}");
        assert!(selector.contains(r#"cgroup="""#) && !selector.contains("__name__"), "{selector}");
    }

    #[test]
    fn every_function_covers_the_window() {
        let window = Window { begin: 1000, end: 4600 };
        let of = |function: Function| function.promql(&["a".to_owned(), "b".to_owned()], window);
        assert_eq!(of(Function::Max), "max_over_time(a[3600s]) or max_over_time(b[3600s])");
        assert!(of(Function::FirstTime).starts_with("min_over_time(timestamp(a)[3600s:30s]) or "));
    }
}
