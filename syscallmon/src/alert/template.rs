//! Templates for webhooks: a text with fields of the record, in place of the record.

use std::{borrow::Cow, str::FromStr};

use serde::Deserialize;
use serde_json::Value;

use super::AlertValueError;

/// A text with `{{ field }}` for a field of the record, escaped for a JSON string. `workload.pod` is the field `pod` of
/// the field `workload`. Missing fields are empty. Filters:
///
/// - `{{ field | json }}` is the field as JSON, or null.
/// - `{{ field | cut 100 }}` is at most 100 characters of the field, of which the last is `…` if more are missing.
/// - `{{ field | map a=b c }}` is `b` if the field is `a`, else `c`, or the field if there is no `c`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field { path: String, filter: Filter },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    /// Escapes it for a JSON string.
    Text,
    Json,
    /// The maximum number of characters.
    Cut(usize),
    Map {
        pairs: Vec<(String, String)>,
        default: Option<String>,
    },
}

impl Filter {
    fn parse(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else { return Some(Self::Text) };
        let mut words = text.split_whitespace();
        let filter = match words.next()? {
            "json" => Self::Json,
            "cut" => Self::Cut(words.next()?.parse().ok().filter(|most| *most > 0)?),
            "map" => {
                let words: Vec<&str> = words.by_ref().collect();
                let pair = |word: &&str| word.split_once('=').map(|(from, to)| (from.to_owned(), to.to_owned()));
                let pairs: Vec<_> = words.iter().map_while(pair).collect();
                let default = match &words[pairs.len()..] {
                    [] => None,
                    [default] => Some((*default).to_owned()),
                    _ => return None,
                };
                if pairs.is_empty() {
                    return None;
                }
                Self::Map { pairs, default }
            }
            _ => return None,
        };
        words.next().is_none().then_some(filter)
    }

    fn apply(&self, value: &Value) -> String {
        match self {
            Self::Text => within_string(&text_of(value)),
            Self::Json => value.to_string(),
            Self::Cut(most) => within_string(&cut(&text_of(value), *most)),
            Self::Map { pairs, default } => {
                let text = text_of(value);
                let found = pairs.iter().find(|(from, _)| *from == text).map(|(_, to)| to);
                within_string(found.or(default.as_ref()).map_or(&*text, String::as_str))
            }
        }
    }
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
            let path = path.trim();
            let Some(filter) = Filter::parse(filter) else {
                return wrong(format!(
                    "{{{{{inside}}}}}: the filters are json, cut NUMBER, and map VALUE=TEXT ... [TEXT]"
                ));
            };
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
            pieces.push(Piece::Field { path: path.to_owned(), filter });
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
                Piece::Field { path, filter } => text.push_str(&filter.apply(field(record, path))),
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

fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::default(),
        Value::String(text) => text.into(),
        value => value.to_string().into(),
    }
}

/// Returns the beginning of a text. The last character of a text that was cut is `…`.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().nth(most).is_none() {
        return text.into();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…").into()
}

/// Returns a text for the inside of a JSON string.
fn within_string(text: &str) -> String {
    let quoted = Value::from(text).to_string();
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
    fn a_text_is_cut_at_a_character_and_before_it_is_escaped() {
        for (text, cut) in [("", ""), ("é\"é", "é\"é"), ("é\"éé", "é\"…"), ("日本語で", "日本…"), ("\n\n\n\n", "\n\n…")]
        {
            let rendered: Value =
                serde_json::from_str(&render(r#""{{ message | cut 3 }}""#, &json!({"message": text}))).unwrap();
            assert_eq!(rendered, cut);
        }
        assert_eq!(render("{{ count | cut 1 }}", &json!({"count": 12})), "…");
    }

    #[test]
    fn values_of_a_field_have_other_texts() {
        let template = "{{ severity | map critical=1 warning=2 other }}";
        for (severity, text) in [("critical", "1"), ("warning", "2"), ("info", "other"), ("critical=1", "other")] {
            assert_eq!(render(template, &json!({"severity": severity})), text);
        }
        assert_eq!(render("{{ severity | map info=x\"= }}", &json!({"severity": "\""})), "\\\"");
        assert_eq!(render("{{ severity | map info=x\"= }}", &json!({"severity": "info"})), "x\\\"=");
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
            ("{{ message | upper }}", "the filters are"),
            ("{{ message | }}", "the filters are"),
            ("{{ message | json 1 }}", "the filters are"),
            ("{{ message | cut }}", "the filters are"),
            ("{{ message | cut 0 }}", "the filters are"),
            ("{{ message | cut 1 2 }}", "the filters are"),
            ("{{ message | cut -1 }}", "the filters are"),
            ("{{ message | map }}", "the filters are"),
            ("{{ message | map a }}", "the filters are"),
            ("{{ message | map a=b c d }}", "the filters are"),
            ("{{ message | map a=b c d=e }}", "the filters are"),
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
