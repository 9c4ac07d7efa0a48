//! The webhook examples of `deploy/webhook`, rendered from an incident.

use serde_json::{Value, json};
use syscallmon::alert::Template;

use super::{
    MAX_PAGERDUTY_BYTES, MAX_PAGERDUTY_SUMMARY, MAX_SLACK_TEXT, MAX_TEAMS_BYTES, deploy, hostile::NAMES,
    incident::RUNBOOK, texts,
};

/// An incident as the daemon writes it, with this text in the place of all names that programs choose.
fn incident(name: &str, state: &str) -> Value {
    let process = json!({
        "pid": 4711, "tid": 4711, "uid": 0, "comm": "sh", "exe": format!("/bin/sh{name}"),
        "command_line": ["sh", "-c", name], "parents": [{"pid": 4700, "comm": format!("nginx{name}")}],
    });
    json!({
        "schema": 2, "kind": "incident", "id": "0123456789abcdef", "node": "node-1", "state": state,
        "message": format!("shop/web-1/web{name}: sh (child of nginx) made 1 unexpected call: mount (critical)"),
        "severity": "critical", "started": 1_700_000_000.25, "last_seen": 1_700_000_010.5, "count": 19,
        "workload": {"namespace": "shop", "pod": "web-1", "container": format!("web{name}")},
        "metadata": {}, "process": process, "calls": [], "calls_omitted": 0, "runbook_url": RUNBOOK,
    })
}

fn rendered(service: &str, incident: &Value) -> Value {
    let text = std::fs::read_to_string(deploy(&format!("webhook/{service}.yaml"))).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let template: Template = config["alert"]["webhook"]["template"].as_str().unwrap().parse().unwrap();
    let body = template.render(incident);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{service}: {error}: {body}"))
}

#[test]
fn webhooks_of_the_daemon_have_the_incident() {
    let at = |state| incident("", state);
    for service in ["slack", "teams", "pagerduty"] {
        let body = rendered(service, &at("new")).to_string();
        for part in ["shop/web-1/web: sh (child of nginx)", "node-1", "/bin/sh", "nginx", "0123456789abcdef", RUNBOOK] {
            assert!(body.contains(part), "{service} lacks {part}: {body}");
        }
        assert!(!body.contains("{{"), "{service}: {body}");
    }
    let pagerduty = |state| rendered("pagerduty", &at(state));
    for (state, action) in [("new", "trigger"), ("grown", "trigger"), ("repeated", "trigger"), ("resolved", "resolve")]
    {
        assert_eq!(pagerduty(state)["event_action"], action);
        assert_eq!(pagerduty(state)["dedup_key"], pagerduty("new")["dedup_key"]);
    }
    assert_eq!(pagerduty("new")["payload"]["severity"], "critical");
}

/// A summary of alerts beyond the rate limit, as the daemon writes it. The daemon's own test checks the ids.
fn summary(id: &str) -> Value {
    json!({
        "schema": 2, "kind": "suppressed", "id": id, "node": "node-1", "state": "new", "severity": "critical",
        "message": "shop/web-1/web: 3 more critical violations of policy web not sent", "last_seen": 1_700_000_010.5,
        "count": 3, "workload": {"namespace": "shop", "pod": "web-1", "container": "web"},
        "limit": {"count": 20, "period": 600}, "worst": {"policy": "web", "syscall": "mount"}, "runbook_url": RUNBOOK,
    })
}

#[test]
fn every_summary_of_alerts_beyond_the_rate_has_a_key_of_its_own() {
    let [one, other] = ["1111111111111111", "2222222222222222"].map(summary);
    let key = |summary: &Value| rendered("pagerduty", summary)["dedup_key"].as_str().unwrap().to_owned();
    assert_ne!(key(&one), key(&other));
    for service in ["slack", "teams"] {
        let body = rendered(service, &one).to_string();
        assert!(body.contains("suppressed 1111111111111111"), "{service}: {body}");
    }
}

/// Checks that texts of programs are only where the service reads no markup.
fn assert_plain(service: &str, body: &Value) {
    match body {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_plain = match (service, fields.get("type").and_then(Value::as_str)) {
                    ("slack", kind) => key == "text" && kind == Some("plain_text"),
                    ("teams", kind) => key == "text" && kind == Some("TextRun"),
                    // PagerDuty shows plain text everywhere.
                    _ => true,
                };
                if let Value::String(text) = value {
                    assert!(is_plain || !text.contains("evil"), "{service}: {key}: {text}");
                } else {
                    assert_plain(service, value);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| assert_plain(service, item)),
        _ => {}
    }
}

#[test]
fn hostile_names_are_harmless_in_webhooks_of_the_daemon() {
    for name in NAMES.map(|name| format!("{name} evil")) {
        for service in ["slack", "teams", "pagerduty"] {
            let body = rendered(service, &incident(&name, "new"));
            assert!(body.to_string().contains("evil"), "{service} shows what was tried: {body}");
            assert_plain(service, &body);
            let (mut harmless, mut hostile) = (rendered(service, &incident("", "new")), body);
            for body in [&mut harmless, &mut hostile] {
                remove_texts(body);
            }
            assert_eq!(harmless, hostile, "{service}: a name changed more than texts");
        }
    }
}

fn remove_texts(value: &mut Value) {
    match value {
        Value::String(text) => text.clear(),
        Value::Array(items) => items.iter_mut().for_each(remove_texts),
        Value::Object(fields) => fields.values_mut().for_each(remove_texts),
        _ => {}
    }
}

#[test]
fn webhooks_of_the_daemon_are_as_short_as_their_services_require() {
    for filler in ["&", "\"", "\u{1f600}", "\u{7}", "x"] {
        let incident = incident(&filler.repeat(40_000), "new");
        let slack = rendered("slack", &incident);
        for (path, text) in texts(&slack, "") {
            assert!(text.encode_utf16().count() <= MAX_SLACK_TEXT, "{path}");
        }
        assert!(rendered("teams", &incident).to_string().len() <= MAX_TEAMS_BYTES);
        let pagerduty = rendered("pagerduty", &incident);
        assert!(pagerduty["payload"]["summary"].as_str().unwrap().encode_utf16().count() <= MAX_PAGERDUTY_SUMMARY);
        assert!(pagerduty["dedup_key"].as_str().unwrap().len() <= 255);
        assert!(pagerduty.to_string().len() <= MAX_PAGERDUTY_BYTES);
    }
}
