//! Queries: words for their common parts, Grafana's variables, and the selectors in a query.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::{Captures, Regex};

/// The selectors of a dashboard's variables. `.*` is the value of "All". It also selects workloads without the label.
const WORDS: [(&str, &str); 4] = [
    ("VIOLATION", r#"WORKLOAD,policy=~"$policy",severity=~"$severity""#),
    ("WORKLOAD", r#"NAMESPACE,pod=~"$pod",container=~"$container",cgroup=~"$cgroup""#),
    ("NAMESPACE", r#"NODE,namespace=~"$namespace""#),
    ("NODE", r#"cluster=~"$cluster",instance=~"$instance""#),
];

/// Replaces the words in a query.
pub(super) fn expand(promql: &str) -> String {
    WORDS.iter().fold(promql.to_owned(), |promql, (word, meaning)| promql.replace(word, meaning))
}

/// Returns a query for the increase of a counter within a time range, by series. The full value of a new series counts:
/// `increase` does not see the start of a series, and a rare event is often only a start. A series is new if it had no
/// sample in the 5 minutes before the range. This tolerates a failed scrape, which makes all series absent for a
/// moment.
pub(super) fn occurrences(selector: &str, time: &str) -> String {
    format!(
        "((max_over_time({selector}[{time}]) unless max_over_time({selector}[5m] offset {time})) \
         or round(increase({selector}[{time}])) > 0)"
    )
}

/// Adds a label `shown` to each series of a query, for legends: its namespace, or `(host)` without one. Links use the
/// label `namespace`. An empty one selects what has no namespace.
pub(super) fn with_shown_namespace(promql: &str) -> String {
    format!(
        r#"label_replace(label_replace({promql}, "shown", "$1", "namespace", "(.+)"), "shown", "(host)", "namespace", "^$")"#
    )
}

/// Values of variables. `.*` is "All".
pub struct Values {
    /// Values by name. Other variables have the value "All".
    pub chosen: BTreeMap<String, String>,
    /// The shown time range, in the format of `PromQL`.
    pub range: String,
    /// The range of rates, and the interval between the points of a graph.
    pub interval: String,
}

/// A variable; `$1` is a group of `label_replace`.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$([A-Za-z_]\w*)").expect("the pattern is right"));
/// A metric or recorded metric, with its labels.
static SELECTOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\b(?:[a-z_0-9]+:)?(?:syscallmon|process)_[a-z0-9_]+(?::[a-z0-9]+)?(?:\{(?:[^}"]|"[^"]*")*\})?|\bup\{[^}]*\}"#)
        .expect("the pattern is right")
});

impl Values {
    /// Returns the query as Grafana sends it.
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

/// Escapes a value within a regular expression within a string, as Grafana's data source for Prometheus does.
fn escape(value: &str) -> String {
    regex::escape(value).replace('\\', r"\\").replace('"', "\\\"")
}

/// Returns every selector in a query, with name and labels.
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
        assert_eq!(
            values.put_into(r#"label_replace(x, "shown", "$1", "a", "(.+)")"#),
            r#"label_replace(x, "shown", "$1", "a", "(.+)")"#
        );
        let promql = r#"rate(x{cgroup=~"$cgroup",pod=~"$pod"}[$__rate_interval]) + y offset $__range"#;
        let expected = r#"rate(x{cgroup=~"/a\\.service",pod=~".*"}[20s]) + y offset 1h"#;
        assert_eq!(values.put_into(promql), expected);
    }

    #[test]
    fn every_selector_of_a_query_is_found() {
        let promql = r#"sum by (namespace) (rate(syscallmon_a_total{pod=~"$pod",cgroup=~".*[0-9a-f]{64}.*"}[5m])) / namespace:syscallmon_b:rate5m
            + syscallmon_c or sum(up{job="x"})"#;
        let expected = [
            r#"syscallmon_a_total{pod=~"$pod",cgroup=~".*[0-9a-f]{64}.*"}"#,
            "namespace:syscallmon_b:rate5m",
            "syscallmon_c",
            r#"up{job="x"}"#,
        ];
        assert_eq!(selectors(promql), expected);
    }
}
