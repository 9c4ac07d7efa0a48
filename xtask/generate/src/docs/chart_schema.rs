//! The part of the chart's schema about `config`: the keys of the configuration file, so that helm refuses a mistyped
//! one.

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, Command};
use serde_json::{Value, json};
use syscallmon::settings::{Setting, Settings};

/// The schema of the chart's values, of which all but this part is written by hand.
pub(super) const FILE: &str = "deploy/helm/syscallmon/values.schema.json";

/// Indentation of the keys of `properties` in the file.
const INDENT: &str = "    ";

/// Returns the chart's schema with the keys of today. `run` is the command with the flags of the settings.
pub(super) fn with_config(schema: &str, run: &Command) -> Result<String> {
    let begin = format!("\n{INDENT}\"config\": {{\n");
    let end = format!("\n{INDENT}}}");
    let (before, rest) = schema.split_once(&begin).context("the schema has no property config")?;
    let (_, after) = rest.split_once(&end).context("the property config does not end")?;
    let config = serde_json::to_string_pretty(&config(run)).context("cannot write the schema")?;
    let config = config.replace('\n', &format!("\n{INDENT}"));
    Ok(format!("{before}\n{INDENT}\"config\": {config}{after}"))
}

fn config(run: &Command) -> Value {
    let mut config = group();
    for setting in Settings::table() {
        let flag = run.get_arguments().find(|flag| flag.get_long() == Some(setting.name));
        let takes_list =
            |flag: &Arg| matches!(flag.get_action(), ArgAction::Append) || flag.get_value_delimiter().is_some();
        insert(&mut config, setting.name, value(&setting, flag.is_some_and(takes_list)));
    }
    config["properties"]["policies"] = json!({"type": ["array", "null"]});
    config["description"] = "The keys of deploy/syscallmon.yaml. The daemon checks their values.".into();
    config
}

fn group() -> Value {
    json!({"type": ["object", "null"], "additionalProperties": false, "properties": {}})
}

/// Inserts the schema of a setting by the rest of its name.
fn insert(parent: &mut Value, name: &str, schema: Value) {
    let (key, rest) = name.split_once('.').map_or((name, None), |(key, rest)| (key, Some(rest)));
    let key = key.replace('-', "_");
    match rest {
        None => parent["properties"][key] = schema,
        Some(rest) => {
            let properties = parent["properties"].as_object_mut().expect("a group has properties");
            insert(properties.entry(key).or_insert_with(group), rest, schema);
        }
    }
}

/// The schema of a setting's value: truth values, numbers and lists by their type, and anything else that is one value.
fn value(setting: &Setting, is_list: bool) -> Value {
    let number = |text: &str| text.parse::<u64>().ok();
    let range = setting.range.and_then(|(least, most)| Some((number(least)?, number(most)?)));
    match (setting.default, range) {
        _ if is_list => json!({"type": ["array", "null"]}),
        (Some("true" | "false"), _) => json!({"type": ["boolean", "null"]}),
        (_, Some((least, most))) => json!({"type": ["integer", "null"], "minimum": least, "maximum": most}),
        _ => json!({"type": ["string", "number", "boolean", "null"]}),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use syscallmon::command::Cli;

    use super::*;

    fn run() -> Command {
        Cli::command().find_subcommand("run").unwrap().clone()
    }

    #[test]
    fn the_property_is_replaced_and_nothing_else() {
        let schema = "{\n  \"properties\": {\n    \"a\": {\n      \"b\": {}\n    },\n    \"config\": {\n      \"x\": {\n        \"y\": 1\n      }\n    },\n    \"z\": {}\n  }\n}\n";
        let new = with_config(schema, &run()).unwrap();
        let parsed: Value = serde_json::from_str(&new).unwrap();
        assert_eq!(parsed["properties"]["config"], config(&run()));
        assert_eq!((&parsed["properties"]["a"], &parsed["properties"]["z"]), (&json!({"b": {}}), &json!({})));
        assert_eq!(with_config(&new, &run()).unwrap(), new);
        assert!(with_config("{}", &run()).is_err());
    }

    #[test]
    fn every_setting_has_its_key_and_its_type() {
        let config = config(&run());
        let schema = |path: &str| config.pointer(&format!("/properties/{}", path.replace('.', "/properties/")));
        assert_eq!(schema("web.config.file").unwrap()["type"][0], "string");
        assert_eq!(schema("web.listen_address").unwrap()["type"][0], "array");
        assert_eq!(schema("workload.labels").unwrap()["type"][0], "array");
        assert_eq!(schema("probe.io_uring").unwrap()["type"][0], "boolean");
        assert_eq!(schema("capacity.series").unwrap()["maximum"], 4_194_304);
        assert_eq!(schema("alert.alertmanager").unwrap()["additionalProperties"], false);
        assert!(schema("policies").is_some() && schema("polices").is_none());
    }
    /// The chart refuses flags that are there twice, except for lists.
    #[test]
    fn the_chart_knows_all_flags_that_are_lists() {
        let helpers = xtask_support::workspace::root().join("deploy/helm/syscallmon/templates/_helpers.tpl");
        let helpers = std::fs::read_to_string(helpers).unwrap();
        let lists = helpers.lines().find_map(|line| line.strip_prefix("{{- $lists := list ")).unwrap();
        let listed: Vec<&str> = lists.trim_end_matches(" }}").split(' ').collect();
        let config = config(&run());
        let is_list = |name: &str| {
            let key = name.replace('-', "_").replace('.', "/properties/");
            config.pointer(&format!("/properties/{key}")).unwrap()["type"][0] == "array"
        };
        let lists = Settings::table().into_iter().map(|setting| setting.name).filter(|name| is_list(name));
        // The chart sets the address itself.
        let lists = lists.filter(|name| *name != "web.listen-address");
        let mut lists: Vec<String> = lists.map(|name| format!("\"--{name}\"")).collect();
        lists.sort();
        assert_eq!(listed, lists);
    }
}
