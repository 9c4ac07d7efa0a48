//! The labels that name a workload, and what it is known to be besides.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

/// Declares the labels: name and meaning, in the order in which they are exported.
macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident = $name:literal,)+) => {
        /// A label that can tell workloads apart. Names are those of kube-state-metrics and cAdvisor, where
        /// they have one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub enum Label {
            $($(#[$doc])* $label,)+
        }

        impl Label {
            /// Every label, in order.
            pub const ALL: &'static [Self] = &[$(Self::$label,)+];

            /// Its name.
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
    /// Name of the container, in its pod or as its runtime knows it.
    Container = "container",
    /// Path of the cgroup.
    Cgroup = "cgroup",
    /// The container's id, with its runtime: `containerd://0123...`.
    ContainerId = "container_id",
    /// The container's image, as it was named at its start.
    Image = "image",
    /// Who runs the container.
    Runtime = "runtime",
    /// UID of the pod.
    PodUid = "pod_uid",
    /// The node that all of this is on.
    Node = "node",
    /// Name of what made the pod.
    Owner = "owner",
    /// What that is: `Deployment`, `StatefulSet`, `Job`, ...
    OwnerKind = "owner_kind",
}

impl Label {
    /// The labels that identify workloads by default.
    pub const DEFAULT: [Self; 4] = [Self::Namespace, Self::Pod, Self::Container, Self::Cgroup];
}

/// A text that is no label of a workload.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a workload label: expected one of {}", Label::ALL.iter().map(|label| label.name()).collect::<Vec<_>>().join(", "))]
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

/// Labels and their values, sorted; none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Label, Arc<str>)]>);

impl Labels {
    /// These, without the empty ones.
    #[must_use]
    pub fn new(labels: impl IntoIterator<Item = (Label, Arc<str>)>) -> Self {
        let mut labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable();
        labels.dedup_by_key(|(label, _)| *label);
        Self(labels.into())
    }

    /// Only those of these names.
    #[must_use]
    pub fn only(&self, names: &[Label]) -> Self {
        Self(self.0.iter().filter(|(label, _)| names.contains(label)).cloned().collect())
    }

    /// All but this one.
    #[must_use]
    pub fn without(&self, name: Label) -> Self {
        Self(self.0.iter().filter(|(label, _)| *label != name).cloned().collect())
    }

    /// These, and others instead of what they have of the same names.
    #[must_use]
    pub fn with<const N: usize>(&self, labels: [(Label, Arc<str>); N]) -> Self {
        let is_new = |name: &Label| labels.iter().any(|(label, _)| label == name);
        let kept = self.0.iter().filter(|(label, _)| !is_new(label)).cloned();
        Self::new(kept.collect::<Vec<_>>().into_iter().chain(labels))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of one of them.
    #[must_use]
    pub fn get(&self, name: Label) -> Option<&Arc<str>> {
        self.0.iter().find(|(label, _)| *label == name).map(|(_, value)| value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(label, value)| (label.name(), value.as_ref()))
    }
}

impl fmt::Display for Labels {
    /// The values alone: `shop/web-1/httpd`, or a path.
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
