//! Whose calls they are, as people name it: what becomes of a cgroup in the labels.
//!
//! [`CgroupIdentity`] is what a cgroup's path says. Names come from [`providers`] into the [`MetadataCache`];
//! [`WorkloadResolver`] brings both together. Nobody who counts waits for a source.

mod cgroup_identity;
mod labels;
mod metadata;
mod metadata_cache;
mod owner;
mod pattern;
pub mod providers;
mod resolver;
mod runtimes;
mod selector;
mod transient;

pub use self::{
    cgroup_identity::{CgroupIdentity, outermost_unit},
    labels::{Label, LabelError, Labels},
    metadata::{ContainerId, ContainerInfo, PodInfo},
    metadata_cache::{MetadataCache, ProviderStatus},
    owner::{Controller, Owner, is_object_name},
    pattern::{Budget, PatternError},
    resolver::{NAME_TIMEOUT, ResolvedWorkload, Rules, WorkloadResolver},
    runtimes::{Api, RUNTIMES, Runtime},
    selector::{Selector, SelectorError},
};

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// A workload: what totals belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// One that has a name: a container, or a cgroup by its path. Whatever has the same labels, at the same time or one
    /// after the other, is one workload.
    Resolved(Labels),
    /// A container or pod without a name, or without one yet.
    Unresolved(Arc<CgroupIdentity>),
    /// All cgroups without a path together.
    Unknown,
    /// Calls that found the kernel's tables full, of whatever cgroup, and series beyond what shall be exported.
    Remainder,
    /// Workloads that are gone, and were too many to be kept apart until their time was over.
    Gone,
    /// Containers that only hold a pod's namespaces.
    Pause,
    /// Workloads that the configuration says not to export.
    Dropped,
}

/// Label values of series that stand for several things. No name of the kernel has brackets.
pub const REMAINDER: &str = "(remainder)";

impl Workload {
    /// A cgroup by its path.
    #[must_use]
    pub fn cgroup(path: Arc<str>) -> Self {
        Self::Resolved(Labels::new([(Label::Cgroup, path)]))
    }

    /// Its labels, in order. A workload without other labels has a `cgroup`; no cgroup has a name in brackets, since
    /// paths start with `/`.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (named, cgroup) = match self {
            Self::Resolved(labels) => (Some(labels), None),
            Self::Unresolved(cgroup_identity) => (None, Some(cgroup_identity.path().as_ref())),
            Self::Unknown => (None, Some("(unknown)")),
            Self::Remainder => (None, Some(REMAINDER)),
            Self::Gone => (None, Some("(gone)")),
            Self::Pause => (None, Some("(pause)")),
            Self::Dropped => (None, Some("(dropped)")),
        };
        let cgroup = cgroup.map(|cgroup| (Label::Cgroup.name(), cgroup));
        named.into_iter().flat_map(Labels::iter).chain(cgroup)
    }

    /// The value of a label; empty where it has none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// Whether policies judge its calls: those of all but what is gone, and of what nobody wants to know of.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !matches!(self, Self::Gone | Self::Dropped)
    }

    /// Whether it can be gone: everything but what stands for many.
    #[must_use]
    pub fn is_one(&self) -> bool {
        matches!(self, Self::Resolved(_) | Self::Unresolved(_))
    }
}

impl fmt::Display for Workload {
    /// `shop/web-1/httpd`, or a path.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolved(labels) => labels.fmt(formatter),
            _ => formatter.write_str(self.label(Label::Cgroup.name())),
        }
    }
}

/// As a map of its labels.
impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.labels())
    }
}
