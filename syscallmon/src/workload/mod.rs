//! Workloads: from cgroups to labels.
//!
//! [`CgroupIdentity`] is the meaning of a cgroup's path. Metadata come from [`providers`] into the [`MetadataCache`].
//! [`WorkloadResolver`] combines both. Counting never waits for a provider.

mod cgroup_identity;
mod labels;
mod metadata;
mod metadata_cache;
mod owner;
mod pattern;
pub mod providers;
mod resolver;
mod runtimes;
mod saved;
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
    saved::SavedWorkload,
    selector::{Selector, SelectorError},
};

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

use crate::stable_id::StableId;

/// A workload: the owner of totals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// A container with a name, or a cgroup by its path. Containers with the same labels, at the same time or one after
    /// the other, are one workload.
    Resolved(Labels),
    /// A container or pod without a name so far.
    Unresolved(Arc<CgroupIdentity>),
    /// All cgroups with unknown paths.
    Unknown,
    /// Calls of any cgroup that found the kernel's tables full, and series beyond the maximum.
    Remainder,
    /// Ended workloads that were too many to be kept apart until they expired.
    Gone,
    /// Containers that only hold a pod's namespaces.
    Pause,
    /// Workloads that the configuration excludes from the export.
    Dropped,
}

/// Label values of series that stand for several workloads. Names from the kernel have no such parentheses.
pub const REMAINDER: &str = "(remainder)";

impl Workload {
    /// Returns a cgroup by its path.
    #[must_use]
    pub fn cgroup(path: Arc<str>) -> Self {
        Self::Resolved(Labels::new([(Label::Cgroup, path)]))
    }

    /// Returns its labels, in order. A workload without other labels has a `cgroup`. Paths start with `/`, so no cgroup
    /// has a name in parentheses.
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

    /// Returns its id: the same for the same labels, also after a restart and on other nodes.
    #[must_use]
    pub fn id(&self) -> StableId {
        StableId::of("workload", self.labels().flat_map(|(label, value)| [label, value]))
    }

    /// Returns the value of a label; empty if absent.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// Whether policies judge its calls: those of all but ended and excluded workloads.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !matches!(self, Self::Gone | Self::Dropped)
    }

    /// Whether it can end: every workload that does not stand for several.
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
