//! Templates for webhooks: a text with fields of the record, in place of the record.

use std::{fmt::Write, str::FromStr};

use serde::Deserialize;
use serde_json::Value;

use super::AlertValueError;

/// A text with `{{ field }}` for a field of the record, escaped for a JSON string, and `{{ field | json }}` for the
/// field as JSON. `workload.pod` is the field `pod` of the field `workload`. Missing fields are empty, or null.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field { path: String, as_json: bool },
}

/// Top-level fields of records. Other names are probably typing mistakes.
const FIELDS: [&str; 18] = [
    "schema",
    "kind",
    "id",
    "node",
    "state",
    "message",
    "severity",
    "started",
    "last_seen",
    "count",
    "workload",
    "metadata",
    "process",
    "calls",
    "calls_omitted",
    "runbook_url",
    "limit",
    "worst",
];

/// Fields of schema 1, and those that replace them.
const FORMER_FIELDS: [(&str, &str); 9] = [
    ("first", "state, which is \"new\" in the first alert"),
    ("time", "started, and calls.0.first_seen"),
    ("abi", "calls.0.abi"),
    ("syscall", "calls.0.syscall, and message names several"),
    ("number", "calls.0.number"),
    ("denied", "calls.0.denied"),
    ("policy", "calls.0.policy"),
    ("reason", "calls.0.reason"),
    ("runtime_default_allows", "calls.0.runtime_default_allows"),
];

impl FromStr for Template {
    type Err = AlertValueError;

    fn from_str(text: &str) -> Result<Self, AlertValueError> {
        let wrong = |why: String| Err(AlertValueError::Template(why));
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inside, after)) = after.split_once("}}") else {
                return wrong(format!("{{{{ without }}}}, at {:?}", after.chars().take(20).collect::<String>()));
            };
            let (path, filter) = inside.split_once('|').map_or((inside, None), |(path, filter)| (path, Some(filter)));
            let (path, as_json) = (path.trim(), filter.map(str::trim));
            if as_json.is_some_and(|filter| filter != "json") {
                return wrong(format!("{{{{{inside}}}}}: the only filter is json"));
            }
            let top = path.split('.').next().unwrap_or_default();
            if let Some((_, now)) = FORMER_FIELDS.iter().find(|(former, _)| *former == top) {
                return wrong(format!(
                    "an alert has several calls since schema 2, and no field {top:?}: use {now} (docs/violations.md)"
                ));
            }
            if !FIELDS.contains(&top) {
                return wrong(format!("there is no field {top:?}: expected one of {}", FIELDS.join(", ")));
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Field { path: path.to_owned(), as_json: as_json.is_some() });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }
}

impl Template {
    /// Returns the text for a record.
    #[must_use]
    pub fn render(&self, record: &Value) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Field { path, as_json: true } => {
                    write!(text, "{}", field(record, path)).expect("writing to a string");
                }
                Piece::Field { path, as_json: false } => text.push_str(&within_string(field(record, path))),
            }
        }
        text
    }
}

fn field<'a>(record: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(record, |value, name| match value {
        Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)).unwrap_or(&Value::Null),
        value => value.get(name).unwrap_or(&Value::Null),
    })
}

/// Returns a value for the inside of a JSON string.
fn within_string(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let quoted = Value::String(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str, record: &Value) -> String {
        template.parse::<Template>().unwrap().render(record)
    }

    #[test]
    fn fields_are_put_in_and_escaped() {
        let record = json!({"message": "a \"b\"\n\\", "count": 3, "workload": {"pod": "web-1"}, "process": {"parents": [{"pid": 7}]}});
        let text = r#"{"text": "{{ message }} on {{workload.pod}}", "count": {{count|json}}, "all": {{ workload | json }}, "none": {{ calls.0.number | json }}}"#;
        let rendered: Value = serde_json::from_str(&render(text, &record)).unwrap();
        let expected = json!({"text": "a \"b\"\n\\ on web-1", "count": 3, "all": {"pod": "web-1"}, "none": null});
        assert_eq!(rendered, expected);
        assert_eq!(render("{{ process.parents.0.pid }}/{{ process.exe }}/{{ calls.0.reason }}", &record), "7//");
    }

    #[test]
    fn what_a_field_has_is_no_template() {
        assert_eq!(render("{{ message }}", &json!({"message": "{{ node }}", "node": "n"})), "{{ node }}");
    }

    #[test]
    fn a_template_that_cannot_be_is_refused() {
        for (text, says) in [
            ("{{ message", "without }}"),
            ("{{ mesage }}", "\"mesage\""),
            ("{{ message | upper }}", "only filter"),
            ("{{}}", "no field"),
            ("{{ first }}", "use state"),
            ("{{ syscall }}", "use calls.0.syscall"),
            ("{{ policy | json }}", "use calls.0.policy"),
        ] {
            let error = text.parse::<Template>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
