//! The committed schema of Grafana's dashboards, made from the types in Grafana's package.
//!
//! The package has no schema, only TypeScript types. The tool that converts the types requires npm, which checks must
//! not use.

use std::{fmt::Write, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use xtask_support::{generated, shell, workspace};

use super::schema::Schemas;

const FILE: &str = "xtask/generate/src/manifests/grafana.json";
const COMMITTED: &str = include_str!("grafana.json");

const PACKAGES: [&str; 3] = ["@grafana/schema@13.2.3", "typescript@5.9.3", "ts-json-schema-generator@2.4.0"];
const COMMENT: &str =
    "Made from @grafana/schema 13.2.3 (Apache-2.0) by `cargo xtask manifests --grafana-schema`; do not edit.";
/// Keys that the generator adds for readers.
const NOT_NEEDED: [&str; 4] = ["description", "default", "deprecated", "$comment"];

/// Panels with known options, and whether their fields have options, too.
const PANELS: [(&str, bool); 12] = [
    ("barchart", true),
    ("bargauge", false),
    ("gauge", false),
    ("heatmap", true),
    ("histogram", true),
    ("logs", false),
    ("piechart", true),
    ("stat", false),
    ("statetimeline", true),
    ("table", true),
    ("text", false),
    ("timeseries", true),
];

/// Returns the committed schemas: `dashboard`, `row`, `panel`, and for each kind of panel its `options` and the
/// `custom` options of its fields.
pub(super) fn schemas() -> Result<Schemas> {
    let all: Map<String, Value> =
        serde_json::from_str(COMMITTED).with_context(|| format!("{FILE} is not understood"))?;
    Ok(Schemas::new(all.into_iter().filter(|(name, _)| name != "$comment").collect()))
}

/// Makes the file of schemas.
pub(super) fn make(root: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let work = work.path();
    let remedy = "this needs npm and node, and the npm registry";
    let npm = workspace::find_program(root, "npm").with_context(|| format!("no npm: {remedy}"))?;
    let put = |name: &str, text: &str| fs::write(work.join(name), text).with_context(|| format!("cannot write {name}"));
    put("package.json", "{}")?;
    put("types.ts", &types())?;
    put("tsconfig.json", TSCONFIG)?;
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact"];
    shell::run(Command::new(npm).current_dir(work).args(install).args(PACKAGES), remedy)?;
    let mut generator = Command::new("node");
    generator.current_dir(work).arg("node_modules/ts-json-schema-generator/bin/ts-json-schema-generator.js");
    generator.args(["--tsconfig=tsconfig.json", "--path=types.ts", "--type=Schemas"]);
    let made = shell::output(generator.args(["--no-type-check", "--no-top-ref", "--expose=none"]), remedy)?;
    let mut made: Value = serde_json::from_str(&made).context("the generator's output is not understood")?;
    strip(&mut made);
    if generated::write(&root.join(FILE), file(&made)?.as_bytes())? {
        eprintln!("{FILE}: written");
    }
    Ok(())
}

const TSCONFIG: &str = r#"{
  "compilerOptions": {"target": "ES2020", "module": "ES2020", "moduleResolution": "bundler", "strict": true, "skipLibCheck": true},
  "files": ["types.ts"]
}"#;

/// Returns one type with all types, so that one run of the generator makes all schemas. Panels are checked
/// individually.
fn types() -> String {
    let mut imports = "import type { Dashboard, Panel, RowPanel } from '@grafana/schema';\n".to_owned();
    let mut members = "  dashboard: Omit<Dashboard, 'panels'> & { panels: unknown[] };\n  panel: Panel;\n".to_owned();
    members += "  row: Omit<RowPanel, 'panels'> & { panels: unknown[] };\n";
    for (kind, has_custom) in PANELS {
        let types = [("Options", "options")].into_iter().chain(has_custom.then_some(("FieldConfig", "custom")));
        for (name, what) in types {
            // The package does not export these types under its name.
            let from = format!("./node_modules/@grafana/schema/dist/types/raw/composable/{kind}/panelcfg/x/types.gen");
            let _ = writeln!(imports, "import type {{ {name} as {kind}_{what} }} from '{from}';");
            let _ = writeln!(members, "  '{kind}.{what}': {kind}_{what};");
        }
    }
    format!("{imports}export interface Schemas {{\n{members}}}\n")
}

/// Removes keys for readers. A property with such a name is kept, because its value is a schema and not a text.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get_mut("properties") {
                properties.values_mut().for_each(strip);
            }
            map.retain(|key, _| !NOT_NEEDED.contains(&key.as_str()));
            map.iter_mut().filter(|(key, _)| *key != "properties").for_each(|(_, value)| strip(value));
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Returns the file, with one schema per line.
fn file(made: &Value) -> Result<String> {
    let Some(schemas) = made["properties"].as_object().filter(|schemas| !schemas.is_empty()) else {
        bail!("the generator made no schemas: see what it printed")
    };
    let mut lines = vec![format!("\"$comment\": {}", Value::from(COMMENT))];
    lines.extend(schemas.iter().map(|(name, schema)| format!("{}: {schema}", Value::from(name.as_str()))));
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_for_people_is_left_out_but_no_property() {
        let mut schema = json!({
            "description": "x", "type": "object",
            "properties": {"description": {"type": "string", "description": "y"}, "default": {"default": 1}},
        });
        strip(&mut schema);
        let expected = json!({"type": "object", "properties": {"description": {"type": "string"}, "default": {}}});
        assert_eq!(schema, expected);
    }

    #[test]
    fn every_panel_has_its_schemas() {
        let schemas = schemas().unwrap();
        for (kind, has_custom) in PANELS {
            let is_there = |what| schemas.definitions().contains_key(&format!("{kind}.{what}"));
            assert_eq!((is_there("options"), is_there("custom")), (true, has_custom), "{kind}");
        }
    }
}
