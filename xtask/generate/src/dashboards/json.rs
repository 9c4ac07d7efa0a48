//! Dashboards as Grafana imports them. Values that equal Grafana's defaults are omitted.

use serde_json::{Value, json};

use super::{
    Annotation, COLUMNS, Dashboard,
    panel::{LeadsTo, Panel, PanelKind, Query, unit},
};

/// Maximum width of a line in the files.
const WIDTH: usize = 120;

/// Address of the explorer on a host without Kubernetes, and of a forwarded port. The label `instance` is no address in
/// Kubernetes.
const EXPLORER: &str = "http://localhost:9778";

const RUNBOOK: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/alerts.md#syscallmonunexpectedcall");

/// Returns Grafana's name of the chosen data source.
fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

pub(super) fn dashboard(dashboard: &Dashboard) -> Value {
    json!({
        "uid": format!("syscallmon-{}", dashboard.name),
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["syscallmon"],
        "schemaVersion": 39,
        "version": 1,
        "id": null,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [links_to_the_others()],
        "templating": {"list": variables(dashboard)},
        "annotations": {"list": dashboard.annotations.iter().map(annotation).collect::<Vec<_>>()},
        "panels": panels(dashboard),
    })
}

fn links_to_the_others() -> Value {
    json!({
        "type": "dashboards", "title": "syscallmon", "tags": ["syscallmon"], "includeVars": true, "keepTime": true,
        "asDropdown": false, "targetBlank": false, "icon": "external link", "tooltip": "",
    })
}

fn annotation(annotation: &Annotation) -> Value {
    json!({
        "name": annotation.name, "datasource": source(), "enable": true, "hide": false, "iconColor": annotation.color,
        "expr": annotation.promql, "step": "60s", "titleFormat": annotation.name, "textFormat": annotation.text,
    })
}

fn variables(dashboard: &Dashboard) -> Vec<Value> {
    let source_of_data = json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
        "current": {"text": "default", "value": "default"},
    });
    let by_label = dashboard.variables.iter().map(|variable| {
        let query = format!("label_values({}, {})", variable.selector, variable.name);
        json!({
            "name": variable.name, "label": variable.title, "type": "query", "datasource": source(),
            "query": {"query": query, "refId": variable.name}, "refresh": 2, "sort": 1,
            "multi": true, "includeAll": true, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]},
        })
    });
    let leads_to_explorer = dashboard.panels().any(|panel| panel.leads_to.is_some_and(LeadsTo::is_explorer));
    let explorer = leads_to_explorer.then(|| {
        json!({
            "name": "explorer", "label": "Explorer", "type": "textbox", "query": EXPLORER,
            "current": {"text": EXPLORER, "value": EXPLORER},
            "description": "Where links find the explorer of a node: its address, or that of a forwarded port.",
        })
    });
    std::iter::once(source_of_data).chain(by_label).chain(explorer).collect()
}

/// Returns rows, each followed by its panels from left to right.
fn panels(dashboard: &Dashboard) -> Vec<Value> {
    let mut panels = Vec::new();
    let mut top = 0;
    for row in &dashboard.rows {
        let grid = json!({"x": 0, "y": top, "w": COLUMNS, "h": 1});
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": row.title, "collapsed": false, "gridPos": grid, "panels": [],
        }));
        top += 1;
        for (panel, (x, y)) in row.panels.iter().zip(row.positions()) {
            let mut made = self::panel(panel);
            made["id"] = json!(panels.len() + 1);
            made["gridPos"] = json!({"x": x, "y": top + y, "w": panel.width, "h": panel.height});
            panels.push(made);
        }
        top += row.height();
    }
    panels
}

fn panel(panel: &Panel) -> Value {
    let kind = match panel.kind {
        PanelKind::Stat => "stat",
        PanelKind::Lines | PanelKind::Stacked | PanelKind::Bars => "timeseries",
        PanelKind::Table => "table",
        PanelKind::States => "state-timeline",
        PanelKind::Heatmap => "heatmap",
    };
    let mut made = json!({
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": source(),
        "fieldConfig": {"defaults": defaults(panel), "overrides": overrides(panel)},
        "options": options(panel),
        "targets": targets(panel),
    });
    if panel.kind == PanelKind::Table {
        let hide =
            json!({"excludeByName": {"Time": true}, "renameByName": {"Value": value_of(panel)}, "indexByName": {}});
        made["transformations"] = json!([{"id": "organize", "options": hide}]);
    }
    made
}

/// Returns the name of a table's column of values.
fn value_of(panel: &Panel) -> &'static str {
    if panel.unit == unit::COUNT { "count" } else { "per second" }
}

fn defaults(panel: &Panel) -> Value {
    let by_threshold = matches!(panel.kind, PanelKind::Stat | PanelKind::States);
    let mut defaults = json!({
        "unit": panel.unit,
        "color": {"mode": if by_threshold { "thresholds" } else { "palette-classic" }},
        "links": panel.leads_to.map(links).unwrap_or_default(),
        "thresholds": {"mode": "absolute", "steps": thresholds(panel)},
    });
    if let Some(custom) = custom(panel) {
        defaults["custom"] = custom;
    }
    if matches!(panel.kind, PanelKind::Lines | PanelKind::Stacked | PanelKind::Bars) {
        defaults["min"] = json!(0);
    }
    if panel.kind == PanelKind::States {
        let states = json!({"0": {"text": "down", "color": "red", "index": 0}, "1": {"text": "up", "color": "green", "index": 1}});
        defaults["mappings"] = json!([{"type": "value", "options": states}]);
    }
    defaults
}

fn custom(panel: &Panel) -> Option<Value> {
    let series = |style: &str, fill: u32, stacking: &str| {
        let limits = if panel.thresholds.is_empty() { "off" } else { "line" };
        json!({
            "drawStyle": style, "lineWidth": 1, "fillOpacity": fill, "showPoints": "auto", "spanNulls": false,
            "stacking": {"mode": stacking, "group": "A"}, "thresholdsStyle": {"mode": limits},
        })
    };
    match panel.kind {
        PanelKind::Lines => Some(series("line", 8, "none")),
        PanelKind::Stacked => Some(series("line", 25, "normal")),
        PanelKind::Bars => Some(series("bars", 80, "normal")),
        PanelKind::Table => {
            Some(json!({"align": "auto", "cellOptions": {"type": "auto"}, "filterable": true, "inspect": false}))
        }
        PanelKind::States => Some(json!({"fillOpacity": 70, "lineWidth": 0})),
        PanelKind::Stat | PanelKind::Heatmap => None,
    }
}

fn thresholds(panel: &Panel) -> Vec<Value> {
    let below = if panel.thresholds.is_empty() { "text" } else { "green" };
    let above = panel.thresholds.iter().filter(|(value, _)| *value > 0.0);
    let above = above.map(|(value, color)| json!({"color": color, "value": value}));
    std::iter::once(json!({"color": below, "value": null})).chain(above).collect()
}

/// Severities and their colours, the worst first.
const SEVERITIES: [(&str, &str); 3] = [("critical", "red"), ("warning", "orange"), ("info", "blue")];

/// Whether a table has a column of severities.
fn has_severities(panel: &Panel) -> bool {
    panel.kind == PanelKind::Table && panel.queries.iter().any(|query| query.promql.contains("severity"))
}

/// Returns the colours of severities, for every table or graph that has them.
fn overrides(panel: &Panel) -> Value {
    if panel.queries.iter().any(|query| query.legend.starts_with("{{severity}}")) {
        let series = SEVERITIES.map(|(severity, color)| {
            let color = json!({"mode": "shades", "fixedColor": color});
            let properties = json!([{"id": "color", "value": color}]);
            json!({"matcher": {"id": "byRegexp", "options": format!("^{severity}.*")}, "properties": properties})
        });
        return json!(series);
    }
    if !has_severities(panel) {
        return json!([]);
    }
    let colors: Value =
        SEVERITIES.iter().map(|(severity, color)| ((*severity).to_owned(), json!({"color": color}))).collect();
    let properties = json!([
        {"id": "mappings", "value": [{"type": "value", "options": colors}]},
        {"id": "custom.cellOptions", "value": {"type": "color-text"}},
    ]);
    json!([{"matcher": {"id": "byName", "options": "severity"}, "properties": properties}])
}

fn options(panel: &Panel) -> Value {
    let tooltip = json!({"mode": "multi", "sort": "desc"});
    match panel.kind {
        PanelKind::Stat => json!({
            "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
            "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        }),
        PanelKind::Lines | PanelKind::Stacked | PanelKind::Bars => json!({
            "legend": {
                "displayMode": "table", "placement": "right", "showLegend": true, "calcs": ["mean", "max"],
                "sortBy": "Mean", "sortDesc": true,
            },
            "tooltip": tooltip,
        }),
        // In the order of the alphabet, critical comes first.
        PanelKind::Table if has_severities(panel) => json!({
            "frameIndex": 0, "showHeader": true, "cellHeight": "sm", "sortBy": [{"displayName": "severity", "desc": false}],
        }),
        PanelKind::Table => json!({"frameIndex": 0, "showHeader": true, "cellHeight": "sm"}),
        PanelKind::States => json!({
            "rowHeight": 0.8, "showValue": "never", "mergeValues": true, "tooltip": tooltip,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []},
        }),
        PanelKind::Heatmap => json!({
            "calculate": false, "showValue": "never", "cellGap": 1, "yAxis": {"unit": "s"}, "legend": {"show": true},
            "color": {
                "mode": "scheme", "scheme": "Purples", "fill": "dark-purple", "exponent": 0.5, "steps": 64,
                "reverse": false,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"}, "tooltip": {"mode": "single"}, "rowsFrame": {"layout": "auto"},
        }),
    }
}

fn targets(panel: &Panel) -> Vec<Value> {
    let target = |(number, query): (u8, &Query)| {
        let format = match panel.kind {
            PanelKind::Table => "table",
            PanelKind::Heatmap => "heatmap",
            PanelKind::Stat | PanelKind::Lines | PanelKind::Stacked | PanelKind::Bars | PanelKind::States => {
                "time_series"
            }
        };
        let legend = if query.legend.is_empty() { "__auto" } else { query.legend };
        json!({
            "datasource": source(), "refId": char::from(b'A' + number).to_string(), "editorMode": "code",
            "expr": query.promql, "legendFormat": legend, "format": format,
            "instant": panel.kind.is_instant(), "range": !panel.kind.is_instant(),
        })
    };
    (0..).zip(&panel.queries).map(target).collect()
}

/// Returns links that keep the time, the data source and the nodes. A row of a table is a container or a service, and
/// lacks the columns of the other kind.
fn links(there: LeadsTo) -> Vec<Value> {
    let to = |title: &str, dashboard: &str, choice: &str| {
        let kept = "${__url_time_range}&${datasource:queryparam}&${cluster:queryparam}&${instance:queryparam}";
        json!({"title": title, "url": format!("/d/syscallmon-{dashboard}?{kept}{choice}"), "targetBlank": false})
    };
    let to_container = "&var-namespace=${__field.labels.namespace}&var-pod=${__field.labels.pod}\
                        &var-container=${__field.labels.container}\
                        &var-cgroup=${__field.labels.cgroup:percentencode}";
    let away = |title: &str, url: &str| json!({"title": title, "url": url, "targetBlank": true});
    match there {
        LeadsTo::IncidentsOfRow => {
            let explorer = "${explorer:raw}/incidents?q=${__data.fields.syscall}";
            let mut all = links(LeadsTo::WorkloadOfRow);
            all.push(away("Process, reason, and what to do: explorer of ${__data.fields.instance}", explorer));
            all.push(away("Runbook", RUNBOOK));
            all
        }
        LeadsTo::NewCallsOfRow => {
            let explorer = "${explorer:raw}/new?all=1&q=${__data.fields.syscall}";
            let mut all = links(LeadsTo::WorkloadOfRow);
            all.push(away("When, and by which process: explorer", explorer));
            all
        }
        LeadsTo::WorkloadOfRow => vec![
            to(
                "Container ${__data.fields.container}",
                "workload",
                "&var-namespace=${__data.fields.namespace}&var-pod=${__data.fields.pod}&var-container=${__data.fields.container}",
            ),
            to("Service ${__data.fields.cgroup}", "workload", "&var-cgroup=${__data.fields.cgroup:percentencode}"),
        ],
        LeadsTo::Namespace => {
            vec![to("Workloads of the namespace", "workload", "&var-namespace=${__field.labels.namespace}")]
        }
        LeadsTo::Container => vec![to("The container", "workload", to_container)],
        LeadsTo::Cgroup => {
            vec![to("The service", "workload", "&var-cgroup=${__field.labels.cgroup:percentencode}")]
        }
        LeadsTo::Nodes => vec![to("Health of nodes", "nodes", "")],
        LeadsTo::Unexpected => vec![to("Unexpected calls", "unexpected", "&${namespace:queryparam}")],
    }
}

/// Writes JSON with as much on each line as fits.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, 0, 0);
    text.push('\n');
    text
}

/// Appends a value. `taken` is the length of the line that is already written.
fn write(text: &mut String, value: &Value, depth: usize, taken: usize) {
    let whole = value.to_string();
    let is_leaf = !value.is_array() && !value.is_object();
    if is_leaf || taken + whole.len() < WIDTH {
        text.push_str(&whole);
        return;
    }
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (format!("{}: ", json!(key)), value)).collect(),
        Value::Array(array) => array.iter().map(|value| (String::new(), value)).collect(),
        _ => Vec::new(),
    };
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    text.push(open);
    let indent = " ".repeat(depth + 1);
    for (number, (key, value)) in entries.iter().enumerate() {
        text.push_str(if number == 0 { "\n" } else { ",\n" });
        text.push_str(&indent);
        text.push_str(key);
        write(text, value, depth + 1, depth + 1 + key.len());
    }
    text.push('\n');
    text.push_str(&" ".repeat(depth));
    text.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_json_in_lines_that_can_be_read() {
        let value = dashboard(&super::super::all()[0]);
        let text = text(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains("\"time\": {\"from\":\"now-1h\",\"to\":\"now\"}"), "{text}");
        assert!(text.lines().count() > 100, "{text}");
    }

    #[test]
    fn a_severity_has_one_colour_and_critical_comes_first() {
        for panel in super::super::all().iter().flat_map(Dashboard::panels) {
            let made = super::panel(panel);
            let overrides = made["fieldConfig"]["overrides"].to_string();
            if has_severities(panel) {
                assert_eq!(made["options"]["sortBy"][0]["displayName"], "severity", "{}", panel.title);
                assert!(overrides.contains(r#""critical":{"color":"red"}"#), "{overrides}");
            } else if panel.queries.iter().any(|query| query.legend.contains("{{severity}}")) {
                assert!(overrides.contains(r#""fixedColor":"red""#), "{}: {overrides}", panel.title);
            }
        }
        // Red from the first one is for critical calls and failures of syscallmon.
        let red =
            |panel: &&Panel| panel.title == "Unexpected" && panel.thresholds.iter().any(|(_, color)| *color == "red");
        assert_eq!(super::super::all().iter().flat_map(Dashboard::panels).filter(red).count(), 0);
    }

    #[test]
    fn dashboards_are_distinct_and_link_to_each_other() {
        let all = super::super::all().map(|it| dashboard(&it));
        for dashboard in &all {
            assert_eq!(dashboard["links"][0]["tags"], dashboard["tags"]);
            let text = dashboard.to_string();
            for found in text.split("/d/").skip(1) {
                let uid = found.split('?').next().unwrap();
                assert!(all.iter().any(|other| other["uid"] == uid), "{uid}");
            }
        }
    }
}
