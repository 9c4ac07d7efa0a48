//! Metadata of containers and pods from providers.

use std::{collections::HashMap, sync::Arc};

/// Maximum bytes of a text. Names of Kubernetes have at most 253, and references of images at most 384.
const MAX_TEXT_BYTES: usize = 1024;

/// kubelet's label with a container's name (`k8s.io/kubelet/pkg/types/labels.go`). Containers of Docker have it, too,
/// if cri-dockerd started them.
pub(super) const CONTAINER_NAME_LABEL: &str = "io.kubernetes.container.name";

/// Name of the container that only holds a pod's namespaces, in cAdvisor and earlier in kubelet.
pub(super) const PAUSE_NAME: &str = "POD";

/// A container's id in its runtime, in full. For most runtimes, it has 64 hexadecimal digits.
pub type ContainerId = Arc<str>;

/// Metadata of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInfo {
    /// Its id, without a scheme such as `containerd://`.
    pub id: ContainerId,
    /// Its name, in its pod or in its runtime.
    pub name: Arc<str>,
    /// Its pod.
    pub pod: Option<PodInfo>,
    /// Its image, by its name at the start.
    pub image: Option<Arc<str>>,
    /// Its runtime: `containerd`, `cri-o`, `docker`, `podman`.
    pub runtime: Arc<str>,
    /// Whether it only holds a pod's namespaces.
    pub is_pause: bool,
}

/// Metadata of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInfo {
    /// Its UID, in the notation of Kubernetes.
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl PodInfo {
    /// Reads the labels that kubelet gives to containers and sandboxes (`k8s.io/kubelet/pkg/types/labels.go`); `None`
    /// if one of the three is missing.
    #[must_use]
    pub fn from_labels(labels: &HashMap<String, String>) -> Option<Self> {
        let value = |label: &str| labels.get(label).map(String::as_str).and_then(text);
        Some(Self {
            uid: value("io.kubernetes.pod.uid")?,
            namespace: value("io.kubernetes.pod.namespace")?,
            name: value("io.kubernetes.pod.name")?,
        })
    }
}

/// Returns a text from a provider, cut at a character's boundary after 1,024 bytes; `None` if it is empty. Control
/// characters stay: code that writes the text escapes them.
#[must_use]
pub(super) fn text(raw: &str) -> Option<Arc<str>> {
    let cut = &raw[..raw.floor_char_boundary(MAX_TEXT_BYTES)];
    (!cut.is_empty()).then(|| Arc::from(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "a".repeat(MAX_TEXT_BYTES - 1) + "\u{1f980}tail";
        assert_eq!(text(&long).unwrap().len(), MAX_TEXT_BYTES - 1);
        let fits = "a".repeat(MAX_TEXT_BYTES);
        assert_eq!(&*text(&fits).unwrap(), fits);
    }

    #[test]
    fn texts_stay_as_they_are_unless_empty() {
        assert_eq!(&*text("a\0b\n\"c\"").unwrap(), "a\0b\n\"c\"");
        assert_eq!(text(""), None);
    }

    #[test]
    fn a_pod_needs_all_three_labels() {
        let mut labels = HashMap::from(
            [
                ("io.kubernetes.pod.name", "web-0"),
                ("io.kubernetes.pod.namespace", "shop"),
                ("io.kubernetes.pod.uid", "1-2"),
            ]
            .map(|(label, value)| (label.to_owned(), value.to_owned())),
        );
        let pod = PodInfo::from_labels(&labels).unwrap();
        assert_eq!((&*pod.name, &*pod.namespace, &*pod.uid), ("web-0", "shop", "1-2"));
        labels.insert("io.kubernetes.pod.uid".to_owned(), String::new());
        assert_eq!(PodInfo::from_labels(&labels), None);
    }
}
