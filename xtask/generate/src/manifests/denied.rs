//! Checks that no rule, dashboard or query in a document takes a denied call with ENOSYS for an attempt.
//!
//! Filters answer calls such as `clone3` with ENOSYS, and programs use others.

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;

use super::{DASHBOARDS, Deploy, alerts};

const METRIC: &str = "syscallmon_syscalls_denied_total";
/// What a line of a document says about ENOSYS, if its query has no matcher.
const REASON: &str = "ENOSYS";

/// Checks all rules, panels and documents.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let rules: Value =
        serde_saphyr::from_str(&deploy.read("prometheus/rules.yaml")?).context("rules.yaml is no YAML")?;
    let pattern = pattern()?;
    let mut found = 0;
    for rule in alerts::all(&rules, "expr") {
        found += judge(&pattern, rule["expr"].as_str().unwrap_or_default()).context("deploy/prometheus/rules.yaml")?;
    }
    for name in deploy.list(DASHBOARDS, "json")? {
        let text = deploy.read(&format!("{DASHBOARDS}/{name}"))?;
        let dashboard: Value = serde_json::from_str(&text).with_context(|| format!("deploy/{DASHBOARDS}/{name}"))?;
        found += texts(&dashboard)
            .try_fold(0, |sum, text| Ok::<_, anyhow::Error>(sum + judge(&pattern, text)?))
            .with_context(|| format!("deploy/{DASHBOARDS}/{name}"))?;
    }
    ensure!(found > 0, "no rule and no panel has {METRIC}");
    for document in ["README.md", "docs/alerts.md", "docs/queries.md", "docs/faq.md", "docs/workloads.md"] {
        let path = deploy.root.join(document);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        queries(&text).try_for_each(|line| judge(&pattern, line).map(drop)).context(document)?;
    }
    Ok(())
}

/// Returns the lines of code that are queries and state no reason. The line of an exposition ends with a value.
fn queries(document: &str) -> impl Iterator<Item = &str> {
    let code = document.lines().filter(|line| line.starts_with("    ") && !line.contains(REASON));
    code.filter(|line| line.rsplit_once("} ").is_none_or(|(_, value)| value.trim().parse::<f64>().is_err()))
}

fn pattern() -> Result<Regex> {
    Regex::new(&format!(r"\b{METRIC}\b(\{{[^}}]*\}})?")).context("the pattern is right")
}

/// Returns how many selectors of the metric a text has. All of them must match `errno`.
fn judge(pattern: &Regex, text: &str) -> Result<usize> {
    let mut found = 0;
    for selector in pattern.captures_iter(text) {
        let matchers = selector.get(1).map_or("", |matchers| matchers.as_str());
        ensure!(
            matchers.contains("errno!=\"ENOSYS\"") || matchers.contains("errno=\"ENOSYS\""),
            "{} counts calls that a filter answers with ENOSYS: add errno!=\"ENOSYS\"",
            &selector[0]
        );
        found += 1;
    }
    Ok(found)
}

/// Returns all texts in JSON.
fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(items) => Box::new(items.iter().flat_map(texts)),
        Value::Object(fields) => Box::new(fields.values().flat_map(texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_selector_says_what_it_does_with_enosys() {
        for (text, selectors) in [
            ("rate(syscallmon_syscalls_denied_total{errno!=\"ENOSYS\"}[5m])", Some(1)),
            (
                "syscallmon_syscalls_denied_total{a=\"b\",errno=\"ENOSYS\"} or syscallmon_syscalls_denied_total{errno!=\"ENOSYS\"}",
                Some(2),
            ),
            ("namespace:syscallmon_syscalls_denied:rate5m", Some(0)),
            ("syscallmon_syscalls_denied_total", None),
            ("syscallmon_syscalls_denied_total{pod=\"a\"}", None),
            (
                "syscallmon_syscalls_denied_total{errno!=\"ENOSYS\"} unless syscallmon_syscalls_denied_total offset 10m",
                None,
            ),
        ] {
            assert_eq!(judge(&pattern().unwrap(), text).ok(), selectors, "{text}");
        }
    }

    #[test]
    fn panels_are_searched_wherever_they_are() {
        let dashboard = json!({"panels": [{"panels": [{"targets": [{"expr": "a"}]}]}], "templating": {"query": "b"}});
        assert_eq!(texts(&dashboard).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn queries_of_documents_are_code_without_a_reason() {
        let text = "syscallmon\n    a{} 777\n    a{}  # ENOSYS is no attempt\n    b{} > 0\n    c\n";
        assert_eq!(queries(text).collect::<Vec<_>>(), ["    b{} > 0", "    c"]);
    }
}
