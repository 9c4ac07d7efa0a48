//! Workloads in the form in which they outlast the daemon.

use serde::{Deserialize, Serialize};

use super::{CgroupIdentity, Label, Labels, Workload};

/// A workload by its labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedWorkload {
    labels: Labels,
    /// Whether it waited for its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_unresolved: bool,
}

impl From<&Workload> for SavedWorkload {
    fn from(workload: &Workload) -> Self {
        let labels = match workload {
            Workload::Resolved(labels) => labels.clone(),
            other => Labels::new([(Label::Cgroup, other.label(Label::Cgroup.name()).into())]),
        };
        Self { labels, is_unresolved: matches!(workload, Workload::Unresolved(_)) }
    }
}

impl From<SavedWorkload> for Workload {
    fn from(SavedWorkload { labels, is_unresolved }: SavedWorkload) -> Self {
        let several = [Self::Unknown, Self::Remainder, Self::Gone, Self::Pause, Self::Dropped];
        let cgroup = labels.get(Label::Cgroup);
        if let Some(cgroup) = cgroup.filter(|_| is_unresolved) {
            return Self::Unresolved(CgroupIdentity::of(cgroup).into());
        }
        let is_it = |workload: &Self| cgroup.is_some_and(|cgroup| workload.label(Label::Cgroup.name()) == &**cgroup);
        several.into_iter().find(is_it).unwrap_or(Self::Resolved(labels))
    }
}
