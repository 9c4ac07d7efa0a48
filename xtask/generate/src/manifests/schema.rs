//! JSON Schemas, and their violations by a document.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, anyhow};
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

/// Maximum number of problems that are reported for one document.
const MAX_VIOLATIONS: usize = 5;
/// Maximum characters of one problem. Some problems contain the whole value.
const LENGTH: usize = 300;

/// Schemas that may refer to each other as `#/$defs/NAME`.
pub(super) struct Schemas {
    definitions: Map<String, Value>,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Schemas {
    pub(super) fn new(definitions: Map<String, Value>) -> Self {
        Self { definitions, compiled: Mutex::default() }
    }

    /// Returns all definitions, by name.
    pub(super) fn definitions(&self) -> &Map<String, Value> {
        &self.definitions
    }

    /// Fails if a document violates the schema with this name.
    pub(super) fn check(&self, name: &str, document: &Value) -> Result<()> {
        let validator = self.validator(name)?;
        let violations: Vec<String> =
            validator.iter_errors(document).take(MAX_VIOLATIONS).map(|error| render(&error)).collect();
        if violations.is_empty() { Ok(()) } else { Err(anyhow!("{}", violations.join("\n"))) }
    }

    fn validator(&self, name: &str) -> Result<Arc<Validator>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = compiled.get(name) {
            return Ok(Arc::clone(validator));
        }
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#/$defs/{name}"),
            "$defs": self.definitions,
        });
        // The error borrows from the schema, which is dropped here.
        let validator = jsonschema::validator_for(&schema).map_err(ValidationError::to_owned);
        let validator = Arc::new(validator.with_context(|| format!("the schema {name} is not understood"))?);
        compiled.insert(name.to_owned(), Arc::clone(&validator));
        Ok(validator)
    }
}

fn render(error: &ValidationError) -> String {
    let text = error.to_string();
    let end = text.char_indices().nth(LENGTH).map_or(text.len(), |(end, _)| end);
    let (path, text) = (error.instance_path().as_str(), &text[..end]);
    if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas() -> Schemas {
        let Value::Object(definitions) = json!({
            "port": {"type": "integer", "maximum": 65535},
            "pod": {
                "type": "object", "additionalProperties": false,
                "properties": {"hostPID": {"type": "boolean"}, "port": {"$ref": "#/$defs/port"}},
            },
        }) else {
            unreachable!()
        };
        Schemas::new(definitions)
    }

    #[test]
    fn every_violation_is_reported_with_its_path() {
        schemas().check("pod", &json!({"hostPID": true, "port": 1})).unwrap();
        let message = schemas().check("pod", &json!({"hostPid": true, "port": 70000})).unwrap_err().to_string();
        let lines: Vec<&str> = message.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with("/port: 70000 ")), "{message}");
        assert!(lines.iter().any(|line| line.contains("'hostPid'")), "{message}");
        assert_eq!(lines.len(), 2, "{message}");
    }

    #[test]
    fn schema_that_is_not_there_is_an_error() {
        assert!(schemas().check("service", &json!({})).is_err());
    }
}
