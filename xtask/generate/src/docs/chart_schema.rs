//! The part of the chart's schema about `config`: the keys of the configuration file, so that helm refuses a mistyped
//! one.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use syscallmon::settings::{Setting, Settings};

/// The schema of the chart's values, of which all but this part is written by hand.
pub(super) const FILE: &str = "deploy/helm/syscallmon/values.schema.json";

/// Indentation of the keys of `properties` in the file.
const INDENT: &str = "    ";

/// Returns the chart's schema with the keys of today.
pub(super) fn with_config(schema: &str) -> Result<String> {
    let begin = format!("\n{INDENT}\"config\": {{\n");
    let end = format!("\n{INDENT}}}");
    let (before, rest) = schema.split_once(&begin).context("the schema has no property config")?;
    let (_, after) = rest.split_once(&end).context("the property config does not end")?;
    let config = serde_json::to_string_pretty(&config()).context("cannot write the schema")?;
    let config = config.replace('\n', &format!("\n{INDENT}"));
    Ok(format!("{before}\n{INDENT}\"config\": {config}{after}"))
}

fn config() -> Value {
    let mut config = group();
    for setting in Settings::table() {
        insert(&mut config, setting.name, &setting);
    }
    config["properties"]["policies"] = json!({"type": ["array", "null"]});
    config["description"] = "The keys of deploy/syscallmon.yaml. The daemon checks their values.".into();
    config
}

fn group() -> Value {
    json!({"type": ["object", "null"], "additionalProperties": false, "properties": {}})
}

/// Inserts a setting by the rest of its name.
fn insert(parent: &mut Value, name: &str, setting: &Setting) {
    let (key, rest) = name.split_once('.').map_or((name, None), |(key, rest)| (key, Some(rest)));
    let key = key.replace('-', "_");
    match rest {
        None => parent["properties"][key] = value(setting),
        Some(rest) => {
            let properties = parent["properties"].as_object_mut().expect("a group has properties");
            insert(properties.entry(key).or_insert_with(group), rest, setting);
        }
    }
}

/// The schema of a setting's value: truth values and numbers by their type, and anything else that is one value or a
/// list of values.
fn value(setting: &Setting) -> Value {
    let number = |text: &str| text.parse::<u64>().ok();
    let range = setting.range.and_then(|(least, most)| Some((number(least)?, number(most)?)));
    let mut schema = Map::new();
    match (setting.default, range) {
        (Some("true" | "false"), _) => {
            schema.insert("type".to_owned(), json!(["boolean", "null"]));
        }
        (_, Some((least, most))) => {
            schema.insert("type".to_owned(), json!(["integer", "null"]));
            schema.insert("minimum".to_owned(), least.into());
            schema.insert("maximum".to_owned(), most.into());
        }
        _ => {
            schema.insert("not".to_owned(), json!({"type": "object"}));
        }
    }
    schema.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_property_is_replaced_and_nothing_else() {
        let schema = "{\n  \"properties\": {\n    \"a\": {\n      \"b\": {}\n    },\n    \"config\": {\n      \"x\": {\n        \"y\": 1\n      }\n    },\n    \"z\": {}\n  }\n}\n";
        let new = with_config(schema).unwrap();
        let parsed: Value = serde_json::from_str(&new).unwrap();
        assert_eq!(parsed["properties"]["config"], config());
        assert_eq!((&parsed["properties"]["a"], &parsed["properties"]["z"]), (&json!({"b": {}}), &json!({})));
        assert_eq!(with_config(&new).unwrap(), new);
        assert!(with_config("{}").is_err());
    }

    #[test]
    fn every_setting_has_its_key_and_its_type() {
        let config = config();
        let schema = |path: &str| config.pointer(&format!("/properties/{}", path.replace('.', "/properties/")));
        assert_eq!(schema("web.config.file").unwrap()["not"]["type"], "object");
        assert_eq!(schema("probe.io_uring").unwrap()["type"][0], "boolean");
        assert_eq!(schema("capacity.series").unwrap()["maximum"], 4_194_304);
        assert_eq!(schema("alert.alertmanager").unwrap()["additionalProperties"], false);
        assert!(schema("policies").is_some() && schema("polices").is_none());
    }
}
