//! `ownerReferences` in the API server's JSON. Only the controller is used.

use serde::Deserialize;

use super::pod::text;
use crate::workload::owner::Controller;

/// An entry of `ownerReferences`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct OwnerReference {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    controller: Option<bool>,
}

/// Returns the controller among them. The API server allows at most one.
pub(super) fn controller(references: &[OwnerReference]) -> Option<Controller> {
    let reference = references.iter().find(|reference| reference.controller == Some(true))?;
    // `v1` is the core group.
    let group = reference.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Some(Controller {
        group: text(group),
        kind: text(&reference.kind),
        name: text(&reference.name),
        uid: text(&reference.uid),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(references: Value) -> Option<Controller> {
        controller(&serde_json::from_value::<Vec<OwnerReference>>(references).unwrap())
    }

    #[test]
    fn only_the_controller_is_read_with_its_group_and_uid() {
        let references = json!([
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "b", "uid": "2", "controller": false},
            {"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "c", "uid": "3", "controller": true},
        ]);
        let Controller { group, kind, name, uid } = read(references).unwrap();
        assert_eq!([&*group, &*kind, &*name, &*uid], ["apps.kruise.io", "CloneSet", "c", "3"]);
        let node = read(json!([{"apiVersion": "v1", "kind": "Node", "controller": true}])).unwrap();
        assert_eq!((&*node.group, &*node.kind), ("", "Node"));
        assert_eq!(read(json!([{"kind": "Gang", "name": "b"}])), None);
    }
}
