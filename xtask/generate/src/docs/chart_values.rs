//! The table of the chart's values, from values.yaml: the meaning of a value is the comment above it that begins with
//! `# --`.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The chart's values.
pub(super) const SOURCE: &str = "deploy/helm/syscallmon/values.yaml";
/// The table.
pub(super) const FILE: &str = "deploy/helm/syscallmon/VALUES.md";

/// Longest default in the table, in characters.
const MAX_DEFAULT: usize = 60;

const HEAD: &str = "# Values of syscallmon's chart

[values.yaml](values.yaml) is the source of this table; `cargo xtask docs` makes it. [README.md](README.md) says what to
set where.

| value | default | meaning |
|---|---|---|
";

/// Returns the table of a values.yaml.
///
/// # Errors
///
/// If a value has no meaning.
pub(super) fn table(source: &str) -> Result<String> {
    let values: Value = serde_saphyr::from_str(source).with_context(|| format!("{SOURCE} is no YAML"))?;
    let documented = documented(source);
    for path in leaves(&values, "") {
        let is_part = |known: &str| path == known || path.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'));
        ensure!(documented.iter().any(|(known, _)| is_part(known)), "{SOURCE}: {path} has no comment `# -- ...`");
    }
    let mut table = HEAD.to_owned();
    for (path, meaning) in documented {
        let pointer = format!("/{}", path.replace('.', "/"));
        let default = values.pointer(&pointer).with_context(|| format!("{SOURCE}: there is no {path}"))?;
        let default = default.to_string();
        let default = if default.len() > MAX_DEFAULT { "see values.yaml".to_owned() } else { format!("`{default}`") };
        let _ = writeln!(table, "| `{path}` | {default} | {} |", meaning.replace('|', "\\|"));
    }
    Ok(table)
}

/// Returns the values with a comment, and their meanings.
fn documented(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut meaning: Option<String> = None;
    for line in source.lines() {
        let text = line.trim_start();
        if let Some(comment) = text.strip_prefix('#') {
            match (comment.trim().strip_prefix("-- "), &mut meaning) {
                (Some(begin), _) => meaning = Some(begin.to_owned()),
                (None, Some(meaning)) => *meaning = format!("{meaning} {}", comment.trim()),
                (None, None) => {}
            }
            continue;
        }
        let Some((key, _)) =
            text.split_once(':').filter(|(key, _)| key.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        else {
            meaning = None;
            continue;
        };
        let indent = line.len() - text.len();
        parents.retain(|(of_parent, _)| *of_parent < indent);
        parents.push((indent, key));
        if let Some(meaning) = meaning.take() {
            found.push((parents.iter().map(|(_, key)| *key).collect::<Vec<_>>().join("."), meaning));
        }
    }
    found
}

/// Returns the paths of all values that are no maps, or empty ones.
fn leaves(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            map.iter().flat_map(|(key, value)| leaves(value, &join(key))).collect()
        }
        _ => vec![path.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# A group.
image:
  # -- Its tag | or not;
  # two lines.
  tag: \"\"
  # -- Its policy.
  pullPolicy: Always
# -- A map.
resources:
  limits: {memory: 1Mi}
# -- A list.
tolerations:
- operator: Exists
";

    #[test]
    fn each_comment_makes_a_row() {
        let table = table(VALUES).unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(
            rows,
            [
                r#"| `image.tag` | `""` | Its tag \| or not; two lines. |"#,
                r#"| `image.pullPolicy` | `"Always"` | Its policy. |"#,
                r#"| `resources` | `{"limits":{"memory":"1Mi"}}` | A map. |"#,
                r#"| `tolerations` | `[{"operator":"Exists"}]` | A list. |"#,
            ]
        );
    }

    #[test]
    fn a_value_without_a_comment_is_an_error() {
        let error = table(&VALUES.replace("  # -- Its policy.\n", "")).unwrap_err().to_string();
        assert!(error.contains("image.pullPolicy has no comment"), "{error}");
    }
}
