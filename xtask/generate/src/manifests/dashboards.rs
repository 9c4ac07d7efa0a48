//! Dashboards: made from their source, checked against Grafana's types, and their queries checked by Prometheus.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::{Value, json};

use super::{DASHBOARDS as DIRECTORY, Deploy, grafana, or_else_mend, promtool::Promtool, schema::Schemas};
use crate::dashboards;

/// Writes all dashboards, or checks that they are up to date.
pub(super) fn make(deploy: &Deploy) -> Result<()> {
    let all = dashboards::all();
    for dashboard in &all {
        deploy.put(&format!("{DIRECTORY}/{}.json", dashboard.name), &dashboard.json())?;
    }
    for file in deploy.list(DIRECTORY, "json")? {
        let is_made = all.iter().any(|dashboard| file == format!("{}.json", dashboard.name));
        ensure!(is_made, "deploy/{DIRECTORY}/{file} is made from nothing in xtask/generate/src/dashboards: remove it");
    }
    Ok(())
}

/// Checks all dashboards.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    let (schemas, promtool) = (grafana::schemas()?, Promtool::find(&deploy.root)?);
    for name in deploy.list(DIRECTORY, "json")? {
        let file = format!("{DIRECTORY}/{name}");
        let dashboard: Value = serde_json::from_str(&deploy.read(&file)?).with_context(|| format!("deploy/{file}"))?;
        let checked = check_types(&schemas, &dashboard).context("Grafana would not understand it");
        let checked = checked.and_then(|()| check_ids(&dashboard));
        let checked = checked.and_then(|()| promtool.check_rules(&queries(&dashboard)?));
        or_else_mend("mend the panel", checked.with_context(|| format!("deploy/{file}")))?;
    }
    Ok(())
}

/// Returns all panels, including those in collapsed rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let inner = |panel| list(panel, "panels");
    list(dashboard, "panels").flat_map(move |panel| std::iter::once(panel).chain(inner(panel)))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[key].as_array().into_iter().flatten()
}

/// Fields of annotations that belong to the data source (`prepareAnnotation` of Grafana's Prometheus package), not to
/// Grafana's types.
const PROMETHEUS_FIELDS: [&str; 4] = ["expr", "step", "titleFormat", "textFormat"];

fn without_prometheus_fields(dashboard: &Value) -> Value {
    let mut dashboard = dashboard.clone();
    let annotations = dashboard.pointer_mut("/annotations/list").and_then(Value::as_array_mut);
    for annotation in annotations.into_iter().flatten().filter_map(Value::as_object_mut) {
        annotation.retain(|field, _| !PROMETHEUS_FIELDS.contains(&field.as_str()));
    }
    dashboard
}

fn check_types(schemas: &Schemas, dashboard: &Value) -> Result<()> {
    schemas.check("dashboard", &without_prometheus_fields(dashboard))?;
    for panel in panels(dashboard) {
        let kind = panel["type"].as_str().unwrap_or_default();
        let at = || format!("panel {} ({kind})", panel["id"]);
        if kind == "row" {
            schemas.check("row", panel).with_context(at)?;
            continue;
        }
        schemas.check("panel", panel).with_context(at)?;
        // The package writes names without hyphens.
        let module = kind.replace('-', "");
        ensure!(
            schemas.definitions().contains_key(&format!("{module}.options")),
            "{}: no schema for it: add it to xtask/generate/src/manifests/grafana.rs and run `cargo xtask manifests --grafana-schema`",
            at()
        );
        for (what, pointer) in [("options", "/options"), ("custom", "/fieldConfig/defaults/custom")] {
            let name = format!("{module}.{what}");
            if let Some(value) = panel.pointer(pointer)
                && schemas.definitions().contains_key(&name)
            {
                schemas.check(&name, value).with_context(|| format!("{}: {what}", at()))?;
            }
        }
    }
    Ok(())
}

fn check_ids(dashboard: &Value) -> Result<()> {
    let mut ids = HashSet::new();
    for panel in panels(dashboard) {
        ensure!(ids.insert(panel["id"].to_string()), "two panels have the id {}", panel["id"]);
    }
    Ok(())
}

/// Returns every query as a rule, because promtool reads rules. Example values replace Grafana's variables.
fn queries(dashboard: &Value) -> Result<Value> {
    let variable = Regex::new(r"\$(\w+)|\$\{(\w+)[^}]*\}").context("the pattern is right")?;
    let plain = |query: &str| {
        let value = |found: &regex::Captures| {
            let name = found.get(1).or(found.get(2)).map_or("", |name| name.as_str());
            if name.starts_with("__") { "5m" } else { ".*" }
        };
        variable.replace_all(query, value).into_owned()
    };
    let rules = panels(dashboard).flat_map(|panel| {
        list(panel, "targets").map(|target| {
            let record = format!("panel_{}:{}", panel["id"], target["refId"].as_str().unwrap_or("none"));
            json!({"record": record, "expr": plain(target["expr"].as_str().unwrap_or_default())})
        })
    });
    let annotations = list(&dashboard["annotations"], "list").zip(0..).map(|(annotation, number)| {
        let promql = plain(annotation["expr"].as_str().unwrap_or_default());
        json!({"record": format!("annotation:{number}"), "expr": promql})
    });
    let rules: Vec<Value> = rules.chain(annotations).collect();
    Ok(json!({"groups": [{"name": "queries", "rules": rules}]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dashboard() -> Value {
        json!({
            "schemaVersion": 42,
            "panels": [
                {"id": 1, "type": "row", "collapsed": true, "panels": [
                    {"id": 2, "type": "timeseries", "targets": [{"refId": "A", "expr": "rate(x{pod=~\"$pod\"}[$__rate_interval])"}],
                     "fieldConfig": {"defaults": {"custom": {"fillOpacity": 10}}, "overrides": []}},
                ]},
                {"id": 3, "type": "text", "options": {"mode": "markdown", "content": "x"}},
            ],
        })
    }

    #[test]
    fn mistakes_are_found_wherever_they_are() {
        let schemas = grafana::schemas().unwrap();
        check_types(&schemas, &dashboard()).unwrap();
        for (pointer, value, message) in [
            ("/refresh", json!(5), "/refresh"),
            ("/panels/0/collapsed", json!("yes"), "panel 1 (row)"),
            ("/panels/0/panels/0/targts", json!([]), "panel 2 (timeseries)"),
            ("/panels/0/panels/0/fieldConfig/defaults/custom/filOpacity", json!(1), "panel 2 (timeseries): custom"),
            ("/panels/1/options/mode", json!("makrdown"), "panel 3 (text): options"),
            ("/panels/1/type", json!("graf"), "no schema for it"),
        ] {
            let mut wrong = dashboard();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            wrong.pointer_mut(parent).unwrap()[key] = value;
            let error = format!("{:#}", check_types(&schemas, &wrong).unwrap_err());
            assert!(error.contains(message), "{pointer}: {error}");
        }
    }

    #[test]
    fn ids_are_distinct_across_rows() {
        check_ids(&dashboard()).unwrap();
        let mut wrong = dashboard();
        wrong["panels"][1]["id"] = json!(2);
        assert!(check_ids(&wrong).is_err());
    }

    #[test]
    fn queries_become_rules() {
        let queries = queries(&dashboard()).unwrap();
        assert_eq!(queries["groups"][0]["rules"], json!([{"record": "panel_2:A", "expr": "rate(x{pod=~\".*\"}[5m])"}]));
    }
}
