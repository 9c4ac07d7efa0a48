//! Checks that the daemon exports all metrics in rules and dashboards.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;
use syscallmon::serve::families::FAMILIES;

use super::{DASHBOARDS, Deploy, alerts};

/// Suffixes that Prometheus adds to the names of histograms.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Checks every name in rules and dashboards.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let mut files = vec!["prometheus/rules.yaml".to_owned(), "prometheus/rules_test.yaml".to_owned()];
    files.extend(deploy.list(DASHBOARDS, "json")?.into_iter().map(|name| format!("{DASHBOARDS}/{name}")));
    let rules: Value =
        serde_saphyr::from_str(&deploy.read("prometheus/rules.yaml")?).context("rules.yaml is no YAML")?;
    let recorded: BTreeSet<&str> = alerts::all(&rules, "record").filter_map(|rule| rule["record"].as_str()).collect();
    for file in files {
        let text = deploy.read(&file)?;
        let unknown = unknown(&text, &recorded)?;
        ensure!(
            unknown.is_empty(),
            "deploy/{file} names what METRICS.md does not: {}: mend the names",
            unknown.join(", ")
        );
    }
    Ok(())
}

/// Returns names of metrics in a text for which there is no family and no recording rule.
fn unknown<'a>(text: &'a str, recorded: &BTreeSet<&str>) -> Result<Vec<&'a str>> {
    let pattern =
        Regex::new(r"\b(?:[a-z_]+:)?syscallmon_[a-z0-9_]+\b(?::[a-z0-9]+)?").context("the pattern is right")?;
    let is_known = |name: &str| {
        let whole = PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        recorded.contains(name) || is_exported(name) || is_exported(whole)
    };
    Ok(pattern.find_iter(text).map(|found| found.as_str()).filter(|name| !is_known(name)).collect())
}

fn is_exported(name: &str) -> bool {
    FAMILIES.iter().any(|family| family.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exported_names_are_known() {
        let text =
            "rate(syscallmon_syscalls_total[5m]) + syscallmon_syscall_duration_seconds_bucket{a=\"syscallmon_\"}";
        let recorded = BTreeSet::from(["instance:syscallmon_syscalls:rate5m"]);
        assert_eq!(unknown(text, &recorded).unwrap(), [""; 0]);
        assert_eq!(unknown("instance:syscallmon_syscalls:rate5m", &recorded).unwrap(), [""; 0]);
        for mistyped in ["syscallmon_syscals_total", "node:syscallmon_syscalls:rate5m"] {
            assert_eq!(unknown(mistyped, &recorded).unwrap(), [mistyped]);
        }
    }
}
