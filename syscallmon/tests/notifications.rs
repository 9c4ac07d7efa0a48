//! Notifications of incidents, as Slack, Teams, `PagerDuty` and mail servers get them: from a real Alertmanager with
//! `deploy/alertmanager`, and from the daemon's webhook with `deploy/webhook`.
//!
//! All names in an incident can be hostile: programs choose them.

#[path = "notifications/hostile.rs"]
mod hostile;
#[path = "notifications/incident.rs"]
mod incident;
#[path = "notifications/mail.rs"]
mod mail;
#[path = "notifications/webhook.rs"]
mod webhook;

use std::{fs, path::PathBuf, process::Command, time::Duration};

use serde_json::{Value, json};
use syscallmon_testkit::{Alertmanager, HttpReceiver, Network, Site, free_address};

use self::{
    hostile::{NAMES, assert_no_links},
    incident::{RUNBOOK, alert, hostile_alert},
    mail::{Mail, MailReceiver},
};

/// Maximum characters of a text in Slack's blocks, bytes of a message in Teams, characters of a summary in `PagerDuty`.
const MAX_SLACK_TEXT: usize = 3000;
const MAX_TEAMS_BYTES: usize = 28 * 1024;
const MAX_PAGERDUTY_SUMMARY: usize = 1024;
const MAX_PAGERDUTY_BYTES: usize = 512 * 1024;

fn deploy(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy")).join(name)
}

fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    syscallmon_testkit::wait_for(what, Duration::from_mins(1), look)
}

/// An Alertmanager with the receivers of `deploy/alertmanager/alertmanager.yml`, all of which get each alert.
struct Notified {
    address: String,
    http: HttpReceiver,
    mail: MailReceiver,
    _alertmanager: Alertmanager,
    _directory: tempfile::TempDir,
}

impl Notified {
    /// `is_grouped`: whether all alerts are in one notification.
    fn start(is_grouped: bool) -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let (http, mail) = (HttpReceiver::start(), MailReceiver::start());
        let config = config(http.url(), &mail.address, is_grouped);
        fs::write(directory.path().join("alertmanager.yml"), config.to_string()).unwrap();
        let site =
            Site { network: Network::Host, address: &address, directory: directory.path(), logs: directory.path() };
        let alertmanager = Alertmanager::start_newest(Command::new("unshare"), &site);
        let alertmanager = alertmanager.expect("Debian unstable's Alertmanager: run `cargo xtask setup --for test`");
        Self { address, http, mail, _alertmanager: alertmanager, _directory: directory }
    }

    fn post(&self, alerts: &[Value]) {
        let url = format!("http://{}/api/v2/alerts", self.address);
        let body = json!(alerts).to_string();
        ureq::post(&url).header("Content-Type", "application/json").send(&body).unwrap();
    }

    fn json(&self, service: &str) -> Value {
        wait_for(service, || self.all(service).into_iter().next())
    }

    fn all(&self, service: &str) -> Vec<Value> {
        self.http.bodies_for(&format!("/{service}"))
    }

    fn mail(&self) -> Mail {
        wait_for("mail", || self.mail.first())
    }
}

/// The example's configuration, with receivers on this host. JSON is YAML.
fn config(http: &str, mail: &str, is_grouped: bool) -> Value {
    let text = fs::read_to_string(deploy("alertmanager/alertmanager.yml")).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    config["templates"] = json!([deploy("alertmanager/syscallmon.tmpl")]);
    let mut route = config["route"]["routes"][0].take();
    route["continue"] = json!(true);
    for (key, time) in [("group_wait", "500ms"), ("group_interval", "1s")] {
        route[key] = json!(time);
    }
    if is_grouped {
        route["group_by"] = json!(["alertname"]);
    }
    let mut routes = Vec::new();
    for receiver in config["receivers"].as_array_mut().unwrap() {
        let name = receiver["name"].as_str().unwrap().to_owned();
        let (kind, own) = match name.as_str() {
            "nobody" => continue,
            "slack" => ("slack_configs", json!({"api_url": format!("{http}/slack")})),
            "teams" => ("msteamsv2_configs", json!({"webhook_url": format!("{http}/teams")})),
            "pagerduty" => ("pagerduty_configs", json!({"url": format!("{http}/pagerduty"), "routing_key": "key"})),
            "mail" => ("email_configs", json!({"smarthost": mail, "require_tls": false})),
            other => panic!("a new receiver: {other}"),
        };
        let settings = receiver[kind][0].as_object_mut().unwrap();
        settings.retain(|key, _| !key.ends_with("_file") && key != "auth_username");
        settings.extend(own.as_object().unwrap().clone());
        route["receiver"] = json!(name);
        routes.push(route.clone());
    }
    assert_eq!(routes.len(), 4);
    config["route"]["routes"] = json!(routes);
    config
}

/// All texts in JSON, with their paths.
fn texts(value: &Value, path: &str) -> Vec<(String, String)> {
    match value {
        Value::String(text) => vec![(path.to_owned(), text.clone())],
        Value::Array(items) => items.iter().flat_map(|item| texts(item, path)).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| texts(value, &format!("{path}/{key}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// Fails if Slack could find markup in a text.
fn assert_is_escaped_for_slack(text: &str, about: &str) {
    let rest = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    assert!(!rest.contains(['<', '>', '&']), "Slack reads markup in {about}: {text}");
}

#[test]
fn every_service_gets_the_whole_incident() {
    let notified = Notified::start(false);
    let alert = alert();
    notified.post(std::slice::from_ref(&alert));
    let (summary, description) =
        (alert["annotations"]["summary"].as_str().unwrap(), alert["annotations"]["description"].as_str().unwrap());
    let has_all = |text: &str| description.lines().all(|line| text.contains(line));

    let slack = notified.json("slack");
    let attachment = &slack["attachments"][0];
    assert_eq!(attachment["title"], format!("[FIRING] {summary}"));
    assert_eq!(attachment["fallback"], attachment["title"]);
    assert_eq!((&attachment["title_link"], &attachment["color"]), (&json!(RUNBOOK), &json!("danger")));
    assert!(has_all(attachment["text"].as_str().unwrap()), "{slack:#}");

    let teams = notified.json("teams");
    let all: String = texts(&teams, "").into_iter().map(|(_, text)| text + "\n").collect();
    assert!(all.contains(&format!("FIRING: {summary}")) && has_all(&all), "{teams:#}");
    assert!(all.contains(&format!("[What to do]({RUNBOOK})")), "{teams:#}");

    let pagerduty = notified.json("pagerduty");
    let payload = &pagerduty["payload"];
    assert_eq!((&pagerduty["event_action"], &payload["severity"]), (&json!("trigger"), &json!("critical")));
    assert_eq!(payload["summary"], format!("[FIRING] {summary}"));
    assert_eq!((&payload["source"], &payload["group"]), (&json!("node-1"), &json!("shop")));
    assert_eq!((&payload["class"], &payload["component"]), (&json!("UnexpectedSyscall"), &json!("web")));
    assert!(has_all(payload["custom_details"]["alerts"].as_str().unwrap()), "{pagerduty:#}");
    assert_eq!(payload["custom_details"]["incident"], alert["labels"]["incident"]);
    assert_eq!(pagerduty["links"][0]["href"], RUNBOOK);

    let mail = notified.mail();
    assert_eq!(
        (mail.header("Subject"), mail.header("To")),
        (format!("[FIRING] {summary}"), "security@example.org".into())
    );
    for text in [&mail.text, &mail.html_text] {
        assert!(text.contains(summary) && has_all(text), "{text}");
    }
    assert_eq!(mail.links, [RUNBOOK]);
    for label in alert["labels"].as_object().unwrap().values() {
        assert!(mail.html_text.contains(label.as_str().unwrap()), "{label}");
    }

    // The end of the incident.
    let mut over = alert;
    over["endsAt"] = json!(humantime::format_rfc3339(std::time::SystemTime::now()).to_string());
    notified.post(&[over]);
    let resolved = |service: &str| notified.all(service).into_iter().find(|body| body.to_string().contains("RESOLVED"));
    let slack = syscallmon_testkit::wait_for("the end", Duration::from_mins(3), || resolved("slack"));
    assert_eq!(slack["attachments"][0]["color"], "good");
    let is_end = |body: &Value| body["event_action"] == "resolve";
    let end = wait_for("the end", || notified.all("pagerduty").into_iter().find(is_end));
    assert_eq!(end["dedup_key"], pagerduty["dedup_key"]);
}

#[test]
fn hostile_names_are_harmless_in_every_service() {
    let notified = Notified::start(false);
    notified.post(&[hostile_alert("")]);

    let slack = notified.json("slack");
    assert_ne!(slack["link_names"], true, "@here mentions nobody");
    assert_eq!(slack["attachments"][0]["title_link"], RUNBOOK);
    for (path, text) in texts(&slack, "").into_iter().filter(|(path, _)| !path.ends_with("/title_link")) {
        assert_is_escaped_for_slack(&text, &path);
        assert_no_links(&text);
    }
    let text = slack["attachments"][0]["text"].as_str().unwrap();
    assert_eq!((text.matches('`').count(), text.matches("```").count()), (6, 2), "one block of code: {text}");
    assert!(text.starts_with("```") && text.trim_end().ends_with("```"), "{text}");
    assert!(text.contains("&lt;!channel&gt;"), "what was tried is still readable: {text}");

    let teams = notified.json("teams");
    let link = format!("[What to do]({RUNBOOK})");
    let card = &teams["attachments"][0]["content"];
    for (path, text) in texts(&card["body"], "").into_iter().filter(|(path, _)| path == "/text") {
        let text = text.replace(&link, "");
        assert!(!text.contains(['<', '>', '[', ']']), "Teams reads Markdown in {path}: {text}");
        assert_no_links(&text);
    }
    assert!(card.to_string().contains("!channel"), "{card:#}");

    let pagerduty = notified.json("pagerduty");
    let summary = pagerduty["payload"]["summary"].as_str().unwrap();
    assert!(!summary.contains(['\n', '\r']), "{summary}");
    for (_, text) in texts(&pagerduty["payload"], "") {
        assert_no_links(&text);
    }

    let mail = notified.mail();
    assert_eq!(mail.header_names("Subject"), 1);
    assert_eq!(mail.header_names("Bcc"), 0, "{mail:?}");
    assert_eq!(mail.header("To"), "security@example.org");
    assert_no_links(&mail.header("Subject"));
    assert_eq!(mail.links, [RUNBOOK], "no link or picture of a program's: {mail:?}");
    assert!(!mail.tags.contains("script") && !mail.tags.contains("at") && !mail.tags.contains("img"), "{mail:?}");
    assert!(mail.html_text.contains("<script>"), "it is shown as text: {}", mail.html_text);
    for text in [&mail.text, &mail.html_text] {
        assert_no_links(&text.replace(RUNBOOK, ""));
    }
}

#[test]
fn no_notification_is_longer_than_its_service_accepts() {
    // Characters that are long in JSON, in UTF-8 or escaped.
    for filler in ["&", "\"", "<", "\u{1f600}", "`", "x"] {
        for (is_grouped, alerts) in [(false, 1), (true, 30)] {
            let notified = Notified::start(is_grouped);
            let long = filler.repeat(if is_grouped { 2000 } else { 30_000 });
            let alerts: Vec<Value> = (0..alerts)
                .map(|index| {
                    let mut alert = hostile_alert(&long);
                    alert["labels"]["incident"] = json!(format!("{index:016x}"));
                    alert
                })
                .collect();
            notified.post(&alerts);
            let about = format!("{} alerts with {filler:?}", alerts.len());

            let slack = notified.json("slack");
            for (path, text) in texts(&slack, "") {
                assert!(text.chars().count() <= MAX_SLACK_TEXT, "{about}: {path} has {}", text.chars().count());
                assert_is_escaped_for_slack(&text, &about);
            }
            let teams = notified.json("teams").to_string();
            assert!(teams.len() <= MAX_TEAMS_BYTES, "{about}: {} bytes", teams.len());
            let pagerduty = notified.json("pagerduty");
            let summary = pagerduty["payload"]["summary"].as_str().unwrap().chars().count();
            assert!(summary <= MAX_PAGERDUTY_SUMMARY, "{about}: {summary}");
            assert!(pagerduty.to_string().len() <= MAX_PAGERDUTY_BYTES, "{about}");
            let details = pagerduty["payload"]["custom_details"]["alerts"].as_str().unwrap_or_default();
            assert!(details.contains("sh"), "Alertmanager dropped the details: {pagerduty:#}");
            let mail = notified.mail();
            assert!(mail.bytes <= 2 << 20, "{about}: {} bytes", mail.bytes);
        }
    }
}

#[test]
fn names_are_as_hostile_as_they_can_be() {
    for service in ["<!channel>", "@here", "](https://", "<https://", "<script>", "\r\nbcc:", "```", "<at>", "www."] {
        assert!(NAMES.iter().any(|name| name.to_lowercase().contains(service)), "{service}");
    }
}
