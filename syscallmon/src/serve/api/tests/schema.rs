//! The fields of schemas, and those that answers have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Names of fields, by their place.
pub(super) type Fields = BTreeMap<String, BTreeSet<String>>;

/// Refuses fields that a schema does not name.
pub(super) fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.entry("additionalProperties").or_insert(false.into());
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Notes which fields of the components' schemas a value has.
pub(super) fn note(document: &Value, schema: &Value, value: &Value, seen: &mut Fields, at: &str) {
    if let Some(path) = schema["$ref"].as_str() {
        let path = path.strip_prefix('#').unwrap();
        return note(document, document.pointer(path).unwrap(), value, seen, path);
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (name, schema) in properties {
            if let Some(value) = value.get(name) {
                seen.entry(at.to_owned()).or_default().insert(name.clone());
                note(document, schema, value, seen, &format!("{at}/{name}"));
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        note(document, &schema["items"], item, seen, &format!("{at}[]"));
    }
}

/// Returns all fields of the components' schemas, in the same form.
pub(super) fn fields_of(schema: &Value, at: &str, all: &mut Fields) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, schema) in properties {
            all.entry(at.to_owned()).or_default().insert(name.clone());
            fields_of(schema, &format!("{at}/{name}"), all);
        }
    }
    if schema.get("items").is_some() {
        fields_of(&schema["items"], &format!("{at}[]"), all);
    }
}
