//! Queries: words that stand for what all of them have in common, Grafana's variables, and the series that a
//! query asks for.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::{Captures, Regex};

/// What the variables of a dashboard select. A workload that has no such label is selected by `.*`, which is
/// what "All" is.
const WORDS: [(&str, &str); 4] = [
    ("VIOLATION", r#"WORKLOAD,policy=~"$policy",severity=~"$severity""#),
    ("WORKLOAD", r#"NAMESPACE,pod=~"$pod",container=~"$container",cgroup=~"$cgroup""#),
    ("NAMESPACE", r#"NODE,namespace=~"$namespace""#),
    ("NODE", r#"cluster=~"$cluster",instance=~"$instance""#),
];

/// A query with its words replaced.
pub(super) fn expand(promql: &str) -> String {
    WORDS.iter().fold(promql.to_owned(), |promql, (word, meaning)| promql.replace(word, meaning))
}

/// How often a counter went up within a time, by series. One that was not there before counts as a whole: `increase`
/// does not see how a series begins, and what is rare is often a beginning and nothing else. Before means the 5 minutes
/// before: a scrape that fails makes all series absent for a moment.
pub(super) fn occurrences(selector: &str, time: &str) -> String {
    format!(
        "((max_over_time({selector}[{time}]) unless max_over_time({selector}[5m] offset {time})) \
         or round(increase({selector}[{time}])) > 0)"
    )
}

/// What variables stand for; `.*` is "All".
pub struct Values {
    /// By name; what is not here is "All".
    pub chosen: BTreeMap<String, String>,
    /// The time that is shown, as `PromQL` writes it.
    pub range: String,
    /// What a rate is taken over, and how far the points of a graph are apart.
    pub interval: String,
}

static VARIABLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$(\w+)").expect("the pattern is right"));
/// A metric, a recorded one too, with its labels.
static SELECTOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:[a-z_0-9]+:)?(?:syscallmon|process)_[a-z0-9_]+(?::[a-z0-9]+)?(?:\{[^}]*\})?|\bup\{[^}]*\}")
        .expect("the pattern is right")
});

impl Values {
    /// The query as Grafana sends it.
    #[must_use]
    pub fn put_into(&self, promql: &str) -> String {
        let value = |found: &Captures| match &found[1] {
            "__range" => self.range.clone(),
            "__interval" | "__rate_interval" => self.interval.clone(),
            name => self.chosen.get(name).map_or_else(|| ".*".to_owned(), |value| escape(value)),
        };
        VARIABLE.replace_all(promql, value).into_owned()
    }
}

/// A value within a regular expression within a string, as Grafana's data source for Prometheus writes it.
fn escape(value: &str) -> String {
    regex::escape(value).replace('\\', r"\\").replace('"', "\\\"")
}

/// Every selector in a query: name and labels.
#[must_use]
pub fn selectors(promql: &str) -> Vec<&str> {
    SELECTOR.find_iter(promql).map(|found| found.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_what_the_variables_select() {
        let expected = r#"x{cluster=~"$cluster",instance=~"$instance",namespace=~"$namespace",a="b"}"#;
        assert_eq!(expand(r#"x{NAMESPACE,a="b"}"#), expected);
        assert!(expand("x{VIOLATION}").ends_with(r#"cgroup=~"$cgroup",policy=~"$policy",severity=~"$severity"}"#));
    }

    #[test]
    fn a_value_matches_itself_alone() {
        let chosen = BTreeMap::from([("cgroup".to_owned(), "/a.service".to_owned())]);
        let values = Values { chosen, range: "1h".to_owned(), interval: "20s".to_owned() };
        let promql = r#"rate(x{cgroup=~"$cgroup",pod=~"$pod"}[$__rate_interval]) + y offset $__range"#;
        let expected = r#"rate(x{cgroup=~"/a\\.service",pod=~".*"}[20s]) + y offset 1h"#;
        assert_eq!(values.put_into(promql), expected);
    }

    #[test]
    fn every_selector_of_a_query_is_found() {
        let promql = r#"sum by (namespace) (rate(syscallmon_a_total{pod=~"$pod"}[5m])) / namespace:syscallmon_b:rate5m
            + syscallmon_c or sum(up{job="x"})"#;
        let expected =
            [r#"syscallmon_a_total{pod=~"$pod"}"#, "namespace:syscallmon_b:rate5m", "syscallmon_c", r#"up{job="x"}"#];
        assert_eq!(selectors(promql), expected);
    }
}
