//! `VerticalPodAutoscaler`, which the schemas of Kubernetes lack: its definition is an add-on.

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

/// The kind.
pub(super) const KIND: &str = "VerticalPodAutoscaler";

/// Checks an object strictly against the fields of version 1 that the chart can set.
pub(super) fn check(document: &Value) -> Result<()> {
    let validator = jsonschema::validator_for(&schema()).context("the schema is correct")?;
    validator.validate(document).map_err(|error| anyhow!("{}: {error}", error.instance_path()))
}

fn schema() -> Value {
    let object = |required: &[&str], properties: Value| -> Value {
        json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
    };
    let text = json!({"type": "string", "minLength": 1});
    let amount = json!({"type": ["string", "number"]});
    let amounts = object(&[], json!({"cpu": amount, "memory": amount}));
    let policy = json!({
        "containerName": text,
        "mode": {"enum": ["Auto", "Off"]},
        "controlledResources": {"type": "array", "items": {"enum": ["cpu", "memory"]}},
        "controlledValues": {"enum": ["RequestsAndLimits", "RequestsOnly"]},
        "minAllowed": amounts,
        "maxAllowed": amounts,
    });
    let update = json!({
        "updateMode": {"enum": ["Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"]},
        "minReplicas": {"type": "integer", "minimum": 1},
        "evictionRequirements": {"type": "array", "items": {"type": "object"}},
    });
    let spec = json!({
        "targetRef": object(&["apiVersion", "kind", "name"], json!({"apiVersion": text, "kind": text, "name": text})),
        "updatePolicy": object(&[], update),
        "recommenders": {"type": "array", "maxItems": 1, "items": object(&["name"], json!({"name": text}))},
        "resourcePolicy": object(&[], json!({"containerPolicies": {"type": "array", "items": object(&[], policy)}})),
    });
    let whole = json!({
        "apiVersion": {"const": "autoscaling.k8s.io/v1"},
        "kind": {"const": KIND},
        "metadata": {"type": "object"},
        "spec": object(&["targetRef"], spec),
    });
    object(&["apiVersion", "kind", "metadata", "spec"], whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_field_is_refused() {
        let target = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "syscallmon"});
        let object = |spec: Value| {
            check(&json!({"apiVersion": "autoscaling.k8s.io/v1", "kind": KIND, "metadata": {}, "spec": spec}))
        };
        object(json!({"targetRef": target, "updatePolicy": {"updateMode": "Initial"}})).unwrap();
        for spec in [
            json!({}),
            json!({"targetRef": target, "updatePolicy": {"mode": "Initial"}}),
            json!({"targetRef": target, "updatePolicy": {"updateMode": "Sometimes"}}),
            json!({"targetRef": target, "resourcePolicy": {"containerPolicies": [{"minAllowed": {"disk": 1}}]}}),
        ] {
            assert!(object(spec.clone()).is_err(), "{spec}");
        }
    }
}
