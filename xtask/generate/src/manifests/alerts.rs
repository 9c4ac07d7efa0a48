//! Every alert has a section in `docs/alerts.md` and tests: that it fires, and that it does not fire. It has a `for`,
//! or a comment that says why it has none.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Deploy;

const RUNBOOK: &str = "docs/alerts.md";
/// Alerts that the daemon sends itself.
const OWN_ALERTS: [&str; 2] = ["UnexpectedSyscall", "UnexpectedSyscallsSuppressed"];
const RUNBOOK_URL: &str = "https://github.com/syscallmon/syscallmon/blob/main/docs/alerts.md#";

/// Checks all alerts in the rules.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let parse = |name, text: &str| -> Result<Value> {
        serde_saphyr::from_str(text).with_context(|| format!("deploy/prometheus/{name} is no YAML"))
    };
    let text = deploy.read("prometheus/rules.yaml")?;
    let rules = parse("rules.yaml", &text)?;
    let tests = parse("rules_test.yaml", &deploy.read("prometheus/rules_test.yaml")?)?;
    let path = deploy.root.join(RUNBOOK);
    let runbook = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let alerts: Vec<&Value> = all(&rules, "alert").collect();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap_or_default();
        let checked = complete(alert).and_then(|()| waits(alert, &text)).and_then(|()| tested(name, &tests));
        checked.with_context(|| format!("the alert {name}"))?;
    }
    sections(&runbook, &alerts)
}

/// Returns the rules with this key, of all groups.
pub fn all<'a>(rules: &'a Value, key: &'a str) -> impl Iterator<Item = &'a Value> {
    let groups = rules["groups"].as_array().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).filter(move |rule| rule.get(key).is_some())
}

fn complete(alert: &Value) -> Result<()> {
    for pointer in ["/labels/severity", "/annotations/summary", "/annotations/description"] {
        ensure!(alert.pointer(pointer).is_some_and(Value::is_string), "it has no {pointer}: add it to rules.yaml");
    }
    let url = format!("{RUNBOOK_URL}{}", alert["alert"].as_str().unwrap_or_default().to_lowercase());
    ensure!(alert["annotations"]["runbook_url"] == url, "its runbook_url is not {url}: mend it in rules.yaml");
    Ok(())
}

/// Checks that the alert has a `for`, or that the line before it is a comment with the reason.
fn waits(alert: &Value, rules: &str) -> Result<()> {
    let begin = format!("- alert: {}", alert["alert"].as_str().unwrap_or_default());
    let lines: Vec<&str> = rules.lines().map(str::trim).collect();
    let before = lines.windows(2).find(|pair| pair[1] == begin).map_or("", |pair| pair[0]);
    let has_reason = before.strip_prefix("# No `for`: ").is_some_and(|reason| !reason.is_empty());
    let has_for = alert.get("for").is_some();
    ensure!(has_for || has_reason, "it has no `for`: add one to rules.yaml, or a line `# No `for`: REASON.` above it");
    ensure!(!(has_for && has_reason), "it has a `for`, and a reason to have none: remove one in rules.yaml");
    Ok(())
}

fn tested(name: &str, tests: &Value) -> Result<()> {
    let tests = tests["tests"].as_array().into_iter().flatten();
    let of_alerts = tests.flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten());
    let expected: Vec<bool> = of_alerts
        .filter(|test| test["alertname"] == name)
        .map(|test| test["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()))
        .collect();
    ensure!(expected.contains(&true), "no test has it come: add one to rules_test.yaml");
    ensure!(expected.contains(&false), "no test has it stay away: add one to rules_test.yaml");
    Ok(())
}

/// Checks that the runbook has exactly one section for each alert, and no others.
fn sections(runbook: &str, alerts: &[&Value]) -> Result<()> {
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let names = alerts.iter().filter_map(|alert| alert["alert"].as_str());
    let names: BTreeSet<&str> = names.chain(OWN_ALERTS).collect();
    let differ: Vec<&&str> = sections.symmetric_difference(&names).collect();
    ensure!(differ.is_empty(), "{RUNBOOK} or rules.yaml lacks {differ:?}: one section for each alert");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert() -> Value {
        let url = format!("{RUNBOOK_URL}down");
        let annotations = json!({"summary": "s", "description": "d", "runbook_url": url});
        json!({"alert": "Down", "labels": {"severity": "warning"}, "annotations": annotations})
    }

    #[test]
    fn an_alert_without_a_part_is_refused() {
        complete(&alert()).unwrap();
        for (part, key) in [
            ("labels", "severity"),
            ("annotations", "summary"),
            ("annotations", "description"),
            ("annotations", "runbook_url"),
        ] {
            let mut lacking = alert();
            lacking[part].as_object_mut().unwrap().remove(key);
            assert!(complete(&lacking).unwrap_err().to_string().contains(key), "{key}");
        }
    }

    #[test]
    fn an_alert_that_is_tested_in_one_way_only_is_refused() {
        let test =
            |alerts: Value| json!({"tests": [{"alert_rule_test": [{"alertname": "Down", "exp_alerts": alerts}]}]});
        assert!(tested("Down", &test(json!([{}]))).unwrap_err().to_string().contains("stay away"));
        assert!(tested("Down", &test(json!([]))).unwrap_err().to_string().contains("come"));
    }

    #[test]
    fn a_section_for_each_alert_and_no_other() {
        let alert = alert();
        let own = "# Alerts\n\n## UnexpectedSyscall\n## UnexpectedSyscallsSuppressed\n";
        sections(&format!("{own}## Down\n"), &[&alert]).unwrap();
        assert!(sections(own, &[&alert]).is_err());
        assert!(sections("## Down\n## UnexpectedSyscall\n", &[&alert]).is_err());
        assert!(sections(&format!("{own}## Down\n## Gone\n"), &[&alert]).is_err());
    }

    #[test]
    fn an_alert_without_for_needs_a_reason() {
        let (alert, mut waiting) = (alert(), alert());
        waiting["for"] = json!("5m");
        let reason = "  # No `for`: once is enough.\n";
        for (rules, is_good, is_good_with_for) in [
            ("  - alert: Down\n    expr: x\n".to_owned(), false, true),
            (format!("{reason}  - alert: Down\n"), true, false),
            (format!("{reason}  - alert: Other\n  - alert: Down\n"), false, true),
            (format!("  - alert: Down\n{reason}"), false, true),
            ("  # No `for`: \n  - alert: Down\n".to_owned(), false, true),
        ] {
            assert_eq!(waits(&alert, &rules).is_ok(), is_good, "{rules}");
            assert_eq!(waits(&waiting, &rules).is_ok(), is_good_with_for, "{rules}");
        }
    }
}
