//! Labels of workloads: those that identify them, and further metadata.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::syscalls::names::suggestion;

/// Declares the labels: name and meaning, in the order of export.
macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident = $name:literal,)+) => {
        /// A label that can identify workloads. The names are those of kube-state-metrics and cAdvisor, if they have
        /// one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub enum Label {
            $($(#[$doc])* $label,)+
        }

        impl Label {
            /// Every label, in order.
            pub const ALL: &'static [Self] = &[$(Self::$label,)+];

            /// Returns its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$label => $name,)+
                }
            }
        }
    };
}

labels! {
    /// Namespace of the pod.
    Namespace = "namespace",
    /// Name of the pod.
    Pod = "pod",
    /// Name of the container, in its pod or in its runtime.
    Container = "container",
    /// Path of the cgroup.
    Cgroup = "cgroup",
    /// The container's id, with its runtime: `containerd://0123...`.
    ContainerId = "container_id",
    /// The container's image, by its name at the start.
    Image = "image",
    /// Container runtime.
    Runtime = "runtime",
    /// UID of the pod.
    PodUid = "pod_uid",
    /// Name of the node.
    Node = "node",
    /// Name of the owner of the pod.
    Owner = "owner",
    /// Kind of the owner: `Deployment`, `StatefulSet`, `Job`, ...
    OwnerKind = "owner_kind",
}

impl Label {
    /// The labels that identify workloads by default.
    pub const DEFAULT: [Self; 4] = [Self::Namespace, Self::Pod, Self::Container, Self::Cgroup];

    /// Returns the names of all labels.
    fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|label| label.name())
    }
}

/// A text that is not a label of a workload.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is not a workload label{}: expected one of {}",
    suggestion(text, Label::names()),
    Label::names().collect::<Vec<_>>().join(", ")
)]
pub struct LabelError {
    text: String,
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        Self::ALL.iter().copied().find(|label| label.name() == text).ok_or_else(|| LabelError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

/// Labels and their values, sorted; no value is empty.
#[derive(Clone, Debug, Default, Eq, PartialOrd, Ord)]
pub struct Labels(Arc<[(Label, Arc<str>)]>);

impl PartialEq for Labels {
    /// Compares texts only if the two are not the same allocation, as they mostly are.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Labels {
    /// Returns these labels without empty ones.
    #[must_use]
    pub fn new(labels: impl IntoIterator<Item = (Label, Arc<str>)>) -> Self {
        let mut labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable();
        labels.dedup_by_key(|(label, _)| *label);
        Self(labels.into())
    }

    /// Returns only the labels of these names.
    #[must_use]
    pub fn only(&self, names: &[Label]) -> Self {
        Self(self.0.iter().filter(|(label, _)| names.contains(label)).cloned().collect())
    }

    /// Returns all labels but this one.
    #[must_use]
    pub fn without(&self, name: Label) -> Self {
        Self(self.0.iter().filter(|(label, _)| *label != name).cloned().collect())
    }

    /// Returns these labels, with others in place of those with the same names.
    #[must_use]
    pub fn with<const N: usize>(&self, labels: [(Label, Arc<str>); N]) -> Self {
        let is_new = |name: &Label| labels.iter().any(|(label, _)| label == name);
        let kept = self.0.iter().filter(|(label, _)| !is_new(label)).cloned();
        Self::new(kept.collect::<Vec<_>>().into_iter().chain(labels))
    }

    /// Whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a label.
    #[must_use]
    pub fn get(&self, name: Label) -> Option<&Arc<str>> {
        self.0.iter().find(|(label, _)| *label == name).map(|(_, value)| value)
    }

    /// Returns all labels, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(label, value)| (label.name(), value.as_ref()))
    }
}

impl fmt::Display for Labels {
    /// Returns only the values: `shop/web-1/httpd`, or a path.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (_, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "/" };
            write!(formatter, "{separator}{value}")?;
        }
        Ok(())
    }
}

/// As a map.
impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels = BTreeMap::<Label, String>::deserialize(deserializer)?;
        Ok(Self::new(labels.into_iter().map(|(label, value)| (label, value.into()))))
    }
}
