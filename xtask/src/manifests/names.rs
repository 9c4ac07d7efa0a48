//! The metrics that rules and dashboards ask for are those that the daemon exports.

use anyhow::{Context, Result, ensure};
use regex::Regex;
use syscallmon::export::families::FAMILIES;

use super::Deploy;

/// What Prometheus adds to the names of histograms.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Checks every name in them.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let mut files = vec!["prometheus/rules.yaml".to_owned(), "prometheus/rules_test.yaml".to_owned()];
    files.extend(deploy.list("dashboards", "json")?.into_iter().map(|name| format!("dashboards/{name}")));
    for file in files {
        let text = deploy.read(&file)?;
        let unknown = unknown(&text)?;
        ensure!(
            unknown.is_empty(),
            "deploy/{file} names what METRICS.md does not: {}: mend the names",
            unknown.join(", ")
        );
    }
    Ok(())
}

/// Names of metrics in a text that no family has.
fn unknown(text: &str) -> Result<Vec<&str>> {
    let pattern = Regex::new(r"\bsyscallmon_[a-z0-9_]+\b").context("the pattern is right")?;
    let is_known = |name: &str| {
        let whole = PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        FAMILIES.iter().any(|family| family.name == name || family.name == whole)
    };
    Ok(pattern.find_iter(text).map(|found| found.as_str()).filter(|name| !is_known(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exported_names_are_known() {
        let text =
            "rate(syscallmon_syscalls_total[5m]) + syscallmon_syscall_duration_seconds_bucket{a=\"syscallmon_\"}";
        assert_eq!(unknown(text).unwrap(), [""; 0]);
        assert_eq!(unknown("\"syscallmon_syscals_total\"").unwrap(), ["syscallmon_syscals_total"]);
    }
}
