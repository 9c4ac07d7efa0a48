//! A pod as the API server shows it, of which only what names its containers is read.
//!
//! Nothing in it is newer than Kubernetes 1.20, and whatever is missing is taken as empty.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use kube::core::{NamespaceResourceScope, ObjectMeta, Resource};
use serde::Deserialize;

use crate::workload::facts::{ContainerFacts, Owner, PodFacts};

/// Bytes of a text that are kept: Kubernetes' own names have 253 at most, images may have any.
const TEXT_LIMIT: usize = 1024;
/// The annotation that makes a pod the mirror of a static one. The kubelet deletes a pod that has it and mirrors none.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The annotation with the UID that the kubelet gave a static pod: the one in cgroup paths, and not its mirror's.
const STATIC_UID: &str = "kubernetes.io/config.hash";
/// The label by which a Deployment tells the pods of its `ReplicaSet`s apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// A pod and its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// What is known of the pod.
    pub facts: PodFacts,
    /// Its containers that have run, be they init, ephemeral or others: of each the present one, and the one before it.
    pub containers: Vec<ContainerFacts>,
}

/// A pod, as kube's watcher wants it: of its metadata there is only the version.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Manifest")]
pub(super) struct PodObject {
    metadata: ObjectMeta,
    /// `None` without a UID.
    pub(super) pod: Option<Pod>,
}

impl Resource for PodObject {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl From<Manifest> for PodObject {
    fn from(mut manifest: Manifest) -> Self {
        let resource_version = manifest.metadata.resource_version.take();
        Self { metadata: ObjectMeta { resource_version, ..ObjectMeta::default() }, pod: manifest.pod() }
    }
}

/// A pod in the API server's JSON. Go writes lists without elements as `null`, or not at all.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Manifest {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    uid: String,
    namespace: String,
    name: String,
    resource_version: Option<String>,
    labels: Option<HashMap<String, String>>,
    annotations: Option<HashMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnerReference {
    kind: String,
    name: String,
    controller: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    image: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct Status {
    container_statuses: Option<Vec<ContainerStatus>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
    ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    image: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    state: State,
    last_state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Terminated {
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

impl Manifest {
    fn pod(&self) -> Option<Pod> {
        let facts = self.metadata.facts()?;
        let images = self.spec.images();
        let containers = self.status.all().flat_map(|status| status.facts(&facts, &images)).collect();
        Some(Pod { facts, containers })
    }
}

impl Metadata {
    fn facts(&self) -> Option<PodFacts> {
        let uid = self.static_uid().unwrap_or(&self.uid);
        (!uid.is_empty()).then(|| PodFacts {
            uid: text(uid),
            namespace: text(&self.namespace),
            name: text(&self.name),
            owner: self.owner(),
        })
    }

    /// The UID of the static pod that this one mirrors.
    fn static_uid(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref().filter(|annotations| annotations.contains_key(MIRROR))?;
        // A hash, unlike the UIDs that the API server gives: nobody can call his pod by another's.
        let is_hash = |uid: &&str| uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
        annotations.get(STATIC_UID).map(String::as_str).filter(is_hash)
    }

    fn owner(&self) -> Option<Owner> {
        let owner = self.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
        let hash = self.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH));
        let deployment = hash.and_then(|hash| owner.deployment(hash));
        let (kind, name) = deployment.map_or((owner.kind.as_str(), owner.name.as_str()), |name| ("Deployment", name));
        Some(Owner { kind: text(kind), name: text(name) })
    }
}

impl OwnerReference {
    /// The Deployment that made this `ReplicaSet`, for pods of this template: it is named `<Deployment>-<hash>`.
    fn deployment(&self, hash: &str) -> Option<&str> {
        let name = self.name.strip_suffix(hash)?.strip_suffix('-')?;
        (self.kind == "ReplicaSet" && !hash.is_empty() && !name.is_empty()).then_some(name)
    }
}

impl Spec {
    /// Images by the names of their containers, which are unique in a pod.
    fn images(&self) -> HashMap<&str, &str> {
        [&self.containers, &self.init_containers, &self.ephemeral_containers]
            .into_iter()
            .flatten()
            .flatten()
            .map(|container| (container.name.as_str(), container.image.as_str()))
            .collect()
    }
}

impl Status {
    fn all(&self) -> impl Iterator<Item = &ContainerStatus> {
        [&self.container_statuses, &self.init_container_statuses, &self.ephemeral_container_statuses]
            .into_iter()
            .flatten()
            .flatten()
    }
}

impl ContainerStatus {
    /// The container, and the one that it replaced.
    fn facts(&self, pod: &PodFacts, images: &HashMap<&str, &str>) -> Vec<ContainerFacts> {
        let name = text(&self.name);
        let image = images.get(self.name.as_str()).copied().unwrap_or(&self.image);
        let image = (!image.is_empty()).then(|| text(image));
        let facts = |(runtime, id): (&str, &str)| ContainerFacts {
            id: text(id),
            name: name.clone(),
            pod: Some(pod.clone()),
            image: image.clone(),
            runtime: text(runtime),
            is_pause: false,
        };
        self.ids().into_iter().map(facts).collect()
    }

    /// Runtime and id of each, the present one first.
    fn ids(&self) -> Vec<(&str, &str)> {
        let ids = [self.container_id.as_deref(), self.state.container_id(), self.last_state.container_id()];
        let mut found: Vec<(&str, &str)> = Vec::with_capacity(2);
        for id in ids.into_iter().flatten().filter_map(|id| id.split_once("://")) {
            if !id.1.is_empty() && !found.contains(&id) {
                found.push(id);
            }
        }
        found
    }
}

impl State {
    fn container_id(&self) -> Option<&str> {
        self.terminated.as_ref()?.container_id.as_deref()
    }
}

/// A text of bounded length.
fn text(whole: &str) -> Arc<str> {
    cut(whole).into()
}

/// As much of a text as is kept.
pub(super) fn cut(whole: &str) -> &str {
    &whole[..whole.floor_char_boundary(TEXT_LIMIT)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(json: &str) -> Pod {
        serde_json::from_str::<PodObject>(json).unwrap().pod.unwrap()
    }

    /// Name, image, runtime and first digit of the id of each container.
    fn containers(pod: &Pod) -> Vec<(&str, &str, &str, &str)> {
        pod.containers.iter().map(|c| (&*c.name, c.image.as_deref().unwrap(), &*c.runtime, &c.id[..1])).collect()
    }

    fn owner(pod: &Pod) -> (&str, &str) {
        let owner = pod.facts.owner.as_ref().unwrap();
        (&owner.kind, &owner.name)
    }

    /// The owner of a pod with this label whose controller this is.
    fn owned(hash: Option<&str>, kind: &str, name: &str) -> (String, String) {
        let references = json!([{"kind": kind, "name": name, "controller": true}]);
        let metadata =
            json!({"uid": "u", "labels": {TEMPLATE_HASH: hash.unwrap_or("")}, "ownerReferences": references});
        let pod = pod(&json!({"metadata": metadata}).to_string());
        let (kind, name) = owner(&pod);
        (kind.to_owned(), name.to_owned())
    }

    #[test]
    fn a_deployment_s_pod_has_init_sidecar_and_ephemeral_containers() {
        let pod = pod(include_str!("fixtures/deployment.json"));
        assert_eq!(&*pod.facts.uid, "0f6b3a52-3b0e-4f0c-9a41-7a3f2e0c5d11");
        assert_eq!((&*pod.facts.namespace, &*pod.facts.name), ("shop", "web-6d4cf56db6-x7k2p"));
        assert_eq!(owner(&pod), ("Deployment", "web"));
        assert_eq!(
            containers(&pod),
            [
                ("web", "nginx:1.27", "containerd", "c"),
                ("migrate", "registry.example/shop/migrate:1.4", "containerd", "a"),
                ("proxy", "docker.io/envoyproxy/envoy:v1.31", "containerd", "b"),
                ("debugger-7xk", "busybox", "containerd", "d"),
            ]
        );
        let whole = &pod.containers[0];
        assert_eq!((whole.id.len(), whole.is_pause, &whole.pod), (64, false, &Some(pod.facts.clone())));
    }

    #[test]
    fn a_container_that_was_replaced_is_known_by_the_same_name() {
        let pod = pod(include_str!("fixtures/crash_loop.json"));
        let image = "postgres:17@sha256:22";
        assert_eq!(containers(&pod), [("db", image, "cri-o", "f"), ("db", image, "cri-o", "e")]);
        assert_eq!(owner(&pod), ("StatefulSet", "db"));
    }

    #[test]
    fn a_container_that_has_ended_is_named_once() {
        let pod = pod(include_str!("fixtures/job.json"));
        assert_eq!(containers(&pod), [("backup", "ghcr.io/example/backup", "docker", "9")]);
        assert_eq!(owner(&pod), ("Job", "backup-28871040"));
    }

    #[test]
    fn a_static_pod_has_the_uid_that_its_cgroup_has() {
        let pod = pod(include_str!("fixtures/mirror.json"));
        assert_eq!(&*pod.facts.uid, "8c1c2f3e0b5e4d1f9a8b7c6d5e4f3a2b");
        assert_eq!(owner(&pod), ("Node", "node1"));
        assert_eq!(pod.containers[0].pod.as_ref(), Some(&pod.facts));
    }

    #[test]
    fn a_pod_that_has_not_started_has_no_containers() {
        let pod = pod(include_str!("fixtures/pending.json"));
        assert_eq!((pod.facts.owner, pod.containers), (None, vec![]));
    }

    #[test]
    fn what_is_missing_is_empty() {
        let bare = pod(r#"{"metadata":{"uid":"u"}}"#);
        assert_eq!((&*bare.facts.name, bare.containers.len()), ("", 0));
        let null = json!({
            "metadata": {"uid": "u", "labels": null, "ownerReferences": null},
            "spec": {"containers": null},
            "status": {"containerStatuses": [{"name": "a", "containerID": "containerd://1"}, {}, {"containerID": "plain"}]},
        });
        let null = pod(&null.to_string());
        assert_eq!(null.containers.len(), 1);
        assert_eq!(null.containers[0].image, None);
        for no_pod in ["{}", r#"{"metadata":{"name":"a"}}"#] {
            assert!(serde_json::from_str::<PodObject>(no_pod).unwrap().pod.is_none());
        }
    }

    #[test]
    fn only_a_deployment_s_replica_set_is_its_deployment_s() {
        let known = [
            (Some("6d4cf56db6"), "ReplicaSet", "web-6d4cf56db6", ("Deployment", "web")),
            (Some("6d4cf56db6"), "ReplicaSet", "a-b-6d4cf56db6", ("Deployment", "a-b")),
            (Some("6d4cf56db6"), "ReplicaSet", "web6d4cf56db6", ("ReplicaSet", "web6d4cf56db6")),
            (Some("6d4cf56db6"), "ReplicaSet", "-6d4cf56db6", ("ReplicaSet", "-6d4cf56db6")),
            (Some("6d4cf56db6"), "ReplicaSet", "6d4cf56db6", ("ReplicaSet", "6d4cf56db6")),
            (None, "ReplicaSet", "web-", ("ReplicaSet", "web-")),
            (Some("x"), "DaemonSet", "web-x", ("DaemonSet", "web-x")),
            (None, "ReplicationController", "old", ("ReplicationController", "old")),
        ];
        for (hash, kind, name, (owner_kind, owner_name)) in known {
            assert_eq!(owned(hash, kind, name), (owner_kind.to_owned(), owner_name.to_owned()), "{kind} {name}");
        }
    }

    #[test]
    fn an_owner_that_is_no_controller_is_none() {
        let references =
            json!([{"kind": "ConfigMap", "name": "a"}, {"kind": "Gang", "name": "b", "controller": false}]);
        let pod = pod(&json!({"metadata": {"uid": "u", "ownerReferences": references}}).to_string());
        assert_eq!(pod.facts.owner, None);
    }

    #[test]
    fn names_at_kubernetes_limits_are_whole_and_longer_texts_are_cut_between_characters() {
        let (name, container) = ("n".repeat(253), "c".repeat(63));
        let image = "é\"\\\u{1F980}".repeat(200);
        let status = json!([{"name": container, "containerID": format!("containerd://{}", "f".repeat(5000))}]);
        let manifest = json!({
            "metadata": {"uid": "u", "name": name, "namespace": "d".repeat(63)},
            "spec": {"containers": [{"name": container, "image": image}]},
            "status": {"containerStatuses": status},
        });
        let pod = pod(&manifest.to_string());
        assert_eq!((&*pod.facts.name, pod.facts.namespace.len()), (name.as_str(), 63));
        let found = &pod.containers[0];
        assert_eq!((&*found.name, found.id.len()), (container.as_str(), TEXT_LIMIT));
        let kept = found.image.as_deref().unwrap();
        assert!(image.starts_with(kept) && (TEXT_LIMIT - 3..=TEXT_LIMIT).contains(&kept.len()), "{}", kept.len());
    }
}
