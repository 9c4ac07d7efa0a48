//! A pod in the API server's JSON, reduced to the metadata of its containers.
//!
//! All fields exist since Kubernetes 1.20. Missing fields count as empty.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use kube::core::{NamespaceResourceScope, ObjectMeta, Resource};
use serde::Deserialize;

use super::owner_reference::{OwnerReference, controller};
use crate::workload::{
    metadata::{ContainerInfo, PodInfo},
    owner::Controller,
};

/// Maximum bytes of a text. Kubernetes' own names have at most 253, and images any number.
const TEXT_LIMIT: usize = 1024;
/// The annotation of the mirror of a static pod. The kubelet deletes a pod with it that mirrors no static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The annotation with the UID that the kubelet gave a static pod. Cgroup paths have this UID, and not the mirror's.
const STATIC_UID: &str = "kubernetes.io/config.hash";

/// A pod and its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Metadata of the pod.
    pub facts: PodInfo,
    /// Its containers that have run, with init and ephemeral ones: of each, the current and the previous one.
    pub containers: Vec<ContainerInfo>,
    /// Its controller.
    pub controller: Option<Controller>,
    /// Whether the kubelet made it from a file.
    pub is_static: bool,
}

/// A pod in the type that kube's watcher requires. Of the metadata, only the version is used.
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
    annotations: Option<HashMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
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
        let controller = self.metadata.owner_references.as_deref().and_then(controller);
        Some(Pod { facts, containers, controller, is_static: self.metadata.static_uid().is_some() })
    }
}

impl Metadata {
    fn facts(&self) -> Option<PodInfo> {
        let uid = self.static_uid().unwrap_or(&self.uid);
        (!uid.is_empty()).then(|| PodInfo { uid: text(uid), namespace: text(&self.namespace), name: text(&self.name) })
    }

    /// Returns the UID of the static pod that this one mirrors.
    fn static_uid(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref().filter(|annotations| annotations.contains_key(MIRROR))?;
        // A hash, unlike the UIDs from the API server, so no author can give a pod the UID of another.
        let is_hash = |uid: &&str| uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
        annotations.get(STATIC_UID).map(String::as_str).filter(is_hash)
    }
}

impl Spec {
    /// Returns images by the names of their containers, which are unique in a pod.
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
    /// Returns the container, and the one that it replaced.
    fn facts(&self, pod: &PodInfo, images: &HashMap<&str, &str>) -> Vec<ContainerInfo> {
        let name = text(&self.name);
        let image = images.get(self.name.as_str()).copied().unwrap_or(&self.image);
        let image = (!image.is_empty()).then(|| text(image));
        let facts = |(runtime, id): (&str, &str)| ContainerInfo {
            id: text(id),
            name: name.clone(),
            pod: Some(pod.clone()),
            image: image.clone(),
            runtime: text(runtime),
            is_pause: false,
        };
        self.ids().into_iter().map(facts).collect()
    }

    /// Returns runtime and id of each, the current one first.
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
pub(super) fn text(whole: &str) -> Arc<str> {
    cut(whole).into()
}

/// Cuts a text to the maximum.
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

    /// Returns name, image, runtime and first digit of the id of each container.
    fn containers(pod: &Pod) -> Vec<(&str, &str, &str, &str)> {
        pod.containers.iter().map(|c| (&*c.name, c.image.as_deref().unwrap(), &*c.runtime, &c.id[..1])).collect()
    }

    /// Returns group, kind and name of a pod's controller.
    fn controller(pod: &Pod) -> (&str, &str, &str) {
        let Controller { group, kind, name, .. } = pod.controller.as_ref().unwrap();
        (group, kind, name)
    }

    #[test]
    fn a_deployment_s_pod_has_init_sidecar_and_ephemeral_containers() {
        let pod = pod(include_str!("fixtures/deployment.json"));
        assert_eq!(&*pod.facts.uid, "0f6b3a52-3b0e-4f0c-9a41-7a3f2e0c5d11");
        assert_eq!((&*pod.facts.namespace, &*pod.facts.name), ("shop", "web-6d4cf56db6-x7k2p"));
        assert_eq!(controller(&pod), ("apps", "ReplicaSet", "web-6d4cf56db6"));
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
        assert_eq!(controller(&pod), ("apps", "StatefulSet", "db"));
    }

    #[test]
    fn a_container_that_has_ended_is_named_once() {
        let pod = pod(include_str!("fixtures/job.json"));
        assert_eq!(containers(&pod), [("backup", "ghcr.io/example/backup", "docker", "9")]);
        assert_eq!(controller(&pod), ("batch", "Job", "backup-28871040"));
    }

    #[test]
    fn a_static_pod_has_the_uid_that_its_cgroup_has() {
        let pod = pod(include_str!("fixtures/mirror.json"));
        assert_eq!(&*pod.facts.uid, "8c1c2f3e0b5e4d1f9a8b7c6d5e4f3a2b");
        assert_eq!((controller(&pod), pod.is_static), (("", "Node", "node1"), true));
        assert_eq!(pod.containers[0].pod.as_ref(), Some(&pod.facts));
    }

    #[test]
    fn a_pod_that_has_not_started_has_no_containers() {
        let pod = pod(include_str!("fixtures/pending.json"));
        assert_eq!((pod.controller, pod.containers, pod.is_static), (None, vec![], false));
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
