//! Current workloads, by the paths of cgroups.

use std::{collections::HashSet, sync::Arc};

use crate::{
    cgroup::Tree,
    model::Totals,
    workload::{CgroupIdentity, Label},
};

/// Current pods and containers, by paths.
pub(super) struct Alive {
    paths: HashSet<Arc<str>>,
    /// Pods with a container, including the one that holds their namespaces. The pod's own cgroup may stay after them:
    /// on hybrid hosts, the kubelet removes it from v1 hierarchies only.
    pods: HashSet<Arc<str>>,
}

impl Alive {
    pub(super) fn of(tree: &Tree) -> Self {
        let identities: Vec<CgroupIdentity> = tree.paths_alive().into_iter().map(CgroupIdentity::of).collect();
        Self {
            pods: identities
                .iter()
                .filter(|identity| identity.is_container())
                .filter_map(CgroupIdentity::pod)
                .cloned()
                .collect(),
            paths: identities.iter().flat_map(CgroupIdentity::paths).collect(),
        }
    }

    /// Whether a workload's cgroup was made again, or its pod still exists and may restart it.
    pub(super) fn has(&self, totals: &Totals) -> bool {
        let is_in =
            |all: &HashSet<Arc<str>>, label| totals.metadata.get(label).is_some_and(|value| all.contains(value));
        is_in(&self.paths, Label::Cgroup) || is_in(&self.pods, Label::PodUid)
    }
}
