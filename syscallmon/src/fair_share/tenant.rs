//! Tenants, which share capacity.

use std::sync::Arc;

use crate::workload::{CgroupIdentity, Label, Labels, Workload};

/// Group of pods with unknown namespaces.
const UNNAMED_PODS: &str = "(pods without a name)";

/// Below this path, users make units and cgroups, each user in a slice.
const USERS: &str = "/user.slice";

/// A member of a group. The usage of a group is the sum over its members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant {
    group: Arc<str>,
    member: Arc<str>,
}

impl Tenant {
    /// By name.
    #[must_use]
    pub fn new(group: Arc<str>, member: Arc<str>) -> Self {
        Self { group, member }
    }

    /// Returns the tenant of a workload by its metadata. The group is the namespace of a pod; for a container without
    /// one, the container; for a unit, the unit; for cgroups of a user's session, the user.
    #[must_use]
    pub fn of(workload: &Workload, metadata: &Labels) -> Self {
        let member: Arc<str> = workload.to_string().into();
        if let Some(namespace) = metadata.get(Label::Namespace) {
            return Self::new(Arc::clone(namespace), member);
        }
        match workload {
            Workload::Unresolved(identity) => Self::of_identity(identity),
            // These stand for many workloads that are not distinguished.
            Workload::Unknown | Workload::Remainder | Workload::Gone | Workload::Dropped => {
                Self::new(Arc::clone(&member), member)
            }
            // Paths begin with a slash, and namespaces do not.
            _ => match (metadata.get(Label::Cgroup), metadata.get(Label::ContainerId)) {
                (Some(path), Some(_)) => Self::new(Arc::clone(path), member),
                (Some(path), None) => Self::new(group_of_path(path), member),
                (None, _) => Self::new(Arc::clone(&member), member),
            },
        }
    }

    /// Returns the tenant of a cgroup without metadata.
    #[must_use]
    pub fn of_identity(identity: &CgroupIdentity) -> Self {
        let path = identity.path();
        let group = match identity {
            _ if identity.pod().is_some() => UNNAMED_PODS.into(),
            CgroupIdentity::Container { .. } => Arc::clone(path),
            CgroupIdentity::Pod { .. } | CgroupIdentity::Cgroup(_) => group_of_path(path),
        };
        Self::new(group, Arc::clone(path))
    }

    /// Returns the group.
    #[must_use]
    pub fn group(&self) -> &Arc<str> {
        &self.group
    }

    /// Returns the member of the group.
    #[must_use]
    pub fn member(&self) -> &Arc<str> {
        &self.member
    }
}

/// Returns the part of a cgroup's path that belongs to one tenant: up to the first name that is not a slice, or to a
/// user's slice.
fn group_of_path(path: &Arc<str>) -> Arc<str> {
    let is_users = path.starts_with(USERS);
    let mut end = 0;
    for (depth, name) in path.split('/').enumerate().skip(1) {
        end += name.len() + 1;
        let is_slice = matches!(name.rsplit_once('.'), Some((_, "slice")));
        if !is_slice || (is_users && depth == 2) {
            break;
        }
    }
    if end == path.len() { Arc::clone(path) } else { path[..end].into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(workload: &Workload, metadata: &[(Label, &str)]) -> String {
        let metadata = metadata.iter().map(|&(label, value)| (label, value.into()));
        Tenant::of(workload, &Labels::new(metadata)).group.to_string()
    }

    fn at(path: &str) -> String {
        group(&Workload::cgroup(path.into()), &[(Label::Cgroup, path)])
    }

    #[test]
    fn pods_of_one_namespace_are_one_group() {
        for pod in ["web-1", "web-2"] {
            let metadata = [(Label::Namespace, "shop"), (Label::Pod, pod), (Label::Cgroup, "/kubepods/a")];
            let labels = Labels::new(metadata.map(|(label, value)| (label, value.into())));
            assert_eq!(group(&Workload::Resolved(labels), &metadata), "shop");
        }
    }

    #[test]
    fn containers_and_units_are_groups_of_their_own_and_a_user_is_one() {
        let id = "a".repeat(64);
        assert_eq!(at("/system.slice/web.service"), "/system.slice/web.service");
        let path = format!("/docker/{id}");
        let metadata = [(Label::Cgroup, path.as_str()), (Label::ContainerId, "docker://a")];
        assert_eq!(group(&Workload::cgroup(path.as_str().into()), &metadata), path);
        assert_eq!(at("/user.slice/user-1000.slice/session-3.scope"), "/user.slice/user-1000.slice");
        assert_eq!(
            at("/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope"),
            "/user.slice/user-1000.slice"
        );
        assert_eq!(at("/made/by/hand"), "/made", "however many someone makes there");
        assert_eq!(at("/"), "/");
        assert_eq!(group(&Workload::Unknown, &[]), "(unknown)");
    }

    #[test]
    fn containers_without_a_name_are_themselves_and_pods_without_one_are_together() {
        let id = "a".repeat(64);
        let group = |path: String| Tenant::of_identity(&CgroupIdentity::of(&path.into())).group.to_string();
        assert_eq!(group(format!("/docker/{id}/made/inside")), format!("/docker/{id}"));
        let pod = "pod2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71";
        assert_eq!(group(format!("/kubepods/{pod}/{id}")), UNNAMED_PODS);
    }
}
