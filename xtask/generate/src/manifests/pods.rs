//! Checks beyond schemas: volumes, selectors and privileges in a set of manifests fit together.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::autoscaler;

/// Writable volumes: the node's seccomp profiles, the learned baselines, and pinned programs.
const WRITABLE: [&str; 3] = ["seccomp", "state", "bpf"];

/// Checks the daemon's pods, and the objects that select them.
pub(super) fn check(documents: &[Value]) -> Result<()> {
    let of_kind = |kind: &'static str| documents.iter().filter(move |document| document["kind"] == kind);
    let is_hook = |set: &&Value| set.pointer("/metadata/annotations/helm.sh~1hook").is_some();
    let daemons = || of_kind("DaemonSet").filter(|set| !is_hook(set));
    for hook in of_kind("DaemonSet").filter(is_hook) {
        let labels = check_template(hook)?;
        check_selector(hook, "/spec/selector/matchLabels", labels)?;
        daemons().try_for_each(|set| check_stranger(set, labels))?;
    }
    for set in daemons() {
        let labels = check_template(set)?;
        let spec = "/spec/selector";
        for (kind, pointer) in [
            ("Service", spec),
            ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ("PodMonitor", "/spec/selector/matchLabels"),
        ] {
            of_kind(kind).try_for_each(|selecting| check_selector(selecting, pointer, labels))?;
        }
        check_selector(set, "/spec/selector/matchLabels", labels)?;
    }
    for pod in of_kind("Pod") {
        check_volumes(&pod["spec"])?;
        containers(&pod["spec"]).try_for_each(check_privileges)?;
        of_kind("DaemonSet").try_for_each(|set| check_stranger(set, &pod["metadata"]["labels"]))?;
    }
    for autoscaler in of_kind(autoscaler::KIND) {
        daemons().try_for_each(|set| check_autoscaler(autoscaler, set))?;
    }
    for service in of_kind("Service") {
        let labels = &service["metadata"]["labels"];
        of_kind("ServiceMonitor")
            .try_for_each(|monitor| check_selector(monitor, "/spec/selector/matchLabels", labels))?;
    }
    Ok(())
}

/// Checks the pods of a `DaemonSet`. Returns their labels.
fn check_template(set: &Value) -> Result<&Value> {
    let template = &set["spec"]["template"];
    check_volumes(&template["spec"])?;
    containers(&template["spec"]).try_for_each(check_privileges)?;
    Ok(&template["metadata"]["labels"])
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers"].into_iter().filter_map(|key| pod[key].as_array()).flatten()
}

fn names(items: &Value) -> impl Iterator<Item = &str> {
    items.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str())
}

/// Checks that each mounted volume exists, and that each volume is mounted.
fn check_volumes(pod: &Value) -> Result<()> {
    let volumes: BTreeSet<&str> = names(&pod["volumes"]).collect();
    let mounted: BTreeSet<&str> = containers(pod).flat_map(|container| names(&container["volumeMounts"])).collect();
    ensure!(volumes == mounted, "the pod has volumes {volumes:?}, and mounts {mounted:?}");
    Ok(())
}

/// Checks that the container has only the required privileges.
fn check_privileges(container: &Value) -> Result<()> {
    let name = container["name"].as_str().context("a container has no name")?;
    let context = &container["securityContext"];
    for (key, value) in [("privileged", false), ("allowPrivilegeEscalation", false), ("readOnlyRootFilesystem", true)] {
        ensure!(context[key] == value, "container {name} has {key} {}, not {value}", context[key]);
    }
    let dropped = &context["capabilities"]["drop"];
    ensure!(*dropped == serde_json::json!(["ALL"]), "container {name} drops capabilities {dropped}, not all");
    let is_writable = |mount: &&Value| WRITABLE.iter().any(|name| mount["name"] == *name);
    for mount in container["volumeMounts"].as_array().into_iter().flatten().filter(|mount| !is_writable(mount)) {
        ensure!(mount["readOnly"] == true, "container {name} can write to {}", mount["name"]);
    }
    Ok(())
}

/// Checks that the selector at `pointer` exists and matches the labels.
fn check_selector(selecting: &Value, pointer: &str, labels: &Value) -> Result<()> {
    let kind = &selecting["kind"];
    let selector = selecting.pointer(pointer).and_then(Value::as_object);
    let selector =
        selector.filter(|selector| !selector.is_empty()).with_context(|| format!("{kind} selects everything"))?;
    for (key, value) in selector {
        ensure!(labels[key] == *value, "{kind} selects {key}={value}, but what it is for has {}", labels[key]);
    }
    Ok(())
}

/// Checks that the selector of the `DaemonSet`, which the Service and the monitors have as well, does not match a pod
/// of another kind.
fn check_stranger(set: &Value, labels: &Value) -> Result<()> {
    let selector = set["spec"]["selector"]["matchLabels"].as_object().context("the DaemonSet selects everything")?;
    let matches = selector.iter().all(|(key, value)| labels[key] == *value);
    ensure!(!matches, "the DaemonSet selects the pod with {labels}");
    Ok(())
}

/// Checks that the autoscaler is for the `DaemonSet` and its containers.
fn check_autoscaler(autoscaler: &Value, set: &Value) -> Result<()> {
    let (target, name) = (&autoscaler["spec"]["targetRef"]["name"], &set["metadata"]["name"]);
    ensure!(target == name, "the autoscaler is for {target}, not for {name}");
    let known: BTreeSet<&str> = names(&set["spec"]["template"]["spec"]["containers"]).collect();
    let policies = autoscaler["spec"]["resourcePolicy"]["containerPolicies"].as_array();
    for policy in policies.into_iter().flatten() {
        let container = policy["containerName"].as_str().unwrap_or_default();
        ensure!(known.contains(container), "the autoscaler is for the container {container:?}, of {known:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn documents() -> Vec<Value> {
        let container = json!({
            "name": "syscallmon",
            "securityContext": {
                "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "tracefs", "readOnly": true}, {"name": "seccomp"}],
        });
        vec![
            json!({"kind": "DaemonSet", "metadata": {"name": "syscallmon"}, "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b", "c": "d"}},
                    "spec": {"containers": [container], "volumes": [{"name": "seccomp"}, {"name": "tracefs"}]},
                },
            }}),
            json!({"kind": "Service", "metadata": {"labels": {"e": "f"}}, "spec": {"selector": {"c": "d"}}}),
            json!({"kind": "ServiceMonitor", "spec": {"selector": {"matchLabels": {"e": "f"}}}}),
            json!({"kind": "Pod", "metadata": {"labels": {"a": "other"}}, "spec": {
                "containers": [container], "volumes": [{"name": "seccomp"}, {"name": "tracefs"}],
            }}),
            json!({"kind": "VerticalPodAutoscaler", "spec": {
                "targetRef": {"name": "syscallmon"},
                "resourcePolicy": {"containerPolicies": [{"containerName": "syscallmon"}]},
            }}),
        ]
    }

    #[test]
    fn what_fits_together_is_taken() {
        check(&documents()).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let pod = "/0/spec/template/spec";
        let container = format!("{pod}/containers/0");
        let (test, policies) = ("/3/spec/containers/0", "/4/spec/resourcePolicy/containerPolicies");
        for (pointer, value, message) in [
            (format!("{pod}/volumes"), json!([{"name": "tracefs"}]), "volumes {\"tracefs\"}, and mounts"),
            (format!("{container}/securityContext/privileged"), json!(true), "privileged true, not false"),
            (format!("{container}/securityContext/capabilities"), json!({}), "drops capabilities null"),
            (format!("{container}/volumeMounts/0/readOnly"), json!(false), "can write to \"tracefs\""),
            ("/0/spec/selector/matchLabels".to_owned(), json!({"a": "x"}), "\"DaemonSet\" selects a=\"x\""),
            ("/1/spec/selector".to_owned(), json!({"app": "b"}), "\"Service\" selects app"),
            ("/1/spec/selector".to_owned(), json!({}), "\"Service\" selects everything"),
            ("/1/metadata/labels".to_owned(), json!({}), "\"ServiceMonitor\" selects e"),
            ("/3/metadata/labels/a".to_owned(), json!("b"), "the DaemonSet selects the pod"),
            (format!("{test}/securityContext/privileged"), json!(true), "privileged true, not false"),
            ("/4/spec/targetRef/name".to_owned(), json!("x"), "is for \"x\", not for \"syscallmon\""),
            (format!("{policies}/0/containerName"), json!("x"), "is for the container \"x\""),
        ] {
            let mut all = Value::Array(documents());
            *all.pointer_mut(&pointer).unwrap() = value;
            let error = check(all.as_array().unwrap()).unwrap_err().to_string();
            assert!(error.contains(message), "{pointer}: {error}");
        }
    }
}
