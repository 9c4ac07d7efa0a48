//! Owners of pods, confirmed by the API server: pod, `ReplicaSet`, Deployment; pod, Job, `CronJob`.
//!
//! Pure. The author of a pod writes its labels and its `ownerReferences`, so neither names nor labels are evidence. A
//! chain counts only if each object's uid is the one in the reference to it.

mod cache;

pub(super) use self::cache::{ControllerAnswer, OwnerCache, PodOwner, Reference};

use std::sync::Arc;

/// The owner of a pod: the Deployment rather than its `ReplicaSet`, the `CronJob` rather than its Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `Deployment`, `StatefulSet`, `Job`, ...; with the API group unless it is one of Kubernetes' own:
    /// `Rollout.argoproj.io`.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// The reference with `controller: true` among an object's `ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Kind within the group.
    pub kind: Arc<str>,
    /// Name, in the object's namespace or of the cluster.
    pub name: Arc<str>,
    /// UID.
    pub uid: Arc<str>,
}

/// The meaning of a pod's controller for its owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// No owner: Kubernetes has no such controller of pods.
    Nothing,
    /// The controller is the owner.
    Owner(Owner),
    /// The controller may have a controller of its own.
    Through(Intermediate),
}

/// Controllers of pods that usually have a controller themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Intermediate {
    /// `apps`, `ReplicaSet`.
    ReplicaSet,
    /// `batch`, `Job`.
    Job,
}

/// Controllers in Kubernetes' own groups that make pods themselves, and have no other relevant owner. A Deployment is
/// not among them: it makes `ReplicaSet`s, and it does not adopt or remove a pod that claims to be its.
const DIRECT: [(&str, &str); 3] = [("", "ReplicationController"), ("apps", "DaemonSet"), ("apps", "StatefulSet")];

/// Groups that Kubernetes defines. Their kinds are written without the group.
const OWN_GROUPS: [&str; 3] = ["", "apps", "batch"];

/// Maximum length of an object's or group's name.
const MAX_NAME_BYTES: usize = 253;

impl Controller {
    /// Returns its meaning for the owner of a pod that names it.
    pub(super) fn claim(&self, is_static: bool) -> Claim {
        let key = (&*self.group, &*self.kind);
        match key {
            ("apps", "ReplicaSet") => Claim::Through(Intermediate::ReplicaSet),
            ("batch", "Job") => Claim::Through(Intermediate::Job),
            // The kubelet deletes a mirror pod without a static pod.
            ("", "Node") if is_static => Claim::Owner(self.owner(&self.kind)),
            _ if DIRECT.contains(&key) => Claim::Owner(self.owner(&self.kind)),
            _ => self.foreign().map_or(Claim::Nothing, Claim::Owner),
        }
    }

    /// Returns it as owner, if it is a kind of another API.
    fn foreign(&self) -> Option<Owner> {
        // This alone distinguishes `v1` with the kind `Rollout.argoproj.io` from `argoproj.io` with `Rollout`.
        let is_kind = !self.kind.is_empty() && self.kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_foreign = !OWN_GROUPS.contains(&&*self.group) && is_object_name(&self.group);
        (is_kind && is_foreign).then(|| self.owner(&format!("{}.{}", self.kind, self.group)))
    }

    fn owner(&self, kind: &str) -> Owner {
        Owner { kind: kind.into(), name: Arc::clone(&self.name) }
    }
}

impl Intermediate {
    /// Returns its kind.
    fn kind(self) -> &'static str {
        match self {
            Self::ReplicaSet => "ReplicaSet",
            Self::Job => "Job",
        }
    }

    /// Returns the URL path of its objects in a namespace.
    pub(super) fn path(self, namespace: &str) -> String {
        match self {
            Self::ReplicaSet => format!("/apis/apps/v1/namespaces/{namespace}/replicasets"),
            Self::Job => format!("/apis/batch/v1/namespaces/{namespace}/jobs"),
        }
    }

    /// Returns the owner of its pods, by its own controller.
    pub(super) fn owner(self, name: &Arc<str>, controller: Option<&Controller>) -> Owner {
        let own = match self {
            Self::ReplicaSet => ("apps", "Deployment"),
            Self::Job => ("batch", "CronJob"),
        };
        let above = controller.and_then(|above| {
            if (&*above.group, &*above.kind) == own { Some(above.owner(own.1)) } else { above.foreign() }
        });
        above.unwrap_or_else(|| Owner { kind: self.kind().into(), name: Arc::clone(name) })
    }
}

/// Whether the API server can have an object of this name. Other names could be a path of their own.
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let is_char = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= MAX_NAME_BYTES
        && bytes.iter().all(|&byte| is_char(byte))
        && is_end(bytes.first())
        && is_end(bytes.last())
        && !name.contains("..")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `apps/ReplicaSet`, `web-1`: the controller with this name, of uid `u-web-1`.
    pub(crate) fn controller(group_and_kind: &str, name: &str) -> Controller {
        let (group, kind) = group_and_kind.rsplit_once('/').unwrap_or(("", group_and_kind));
        let [group, kind, name, uid] = [group, kind, name, &format!("u-{name}")].map(Arc::from);
        Controller { group, kind, name, uid }
    }

    fn owner(kind: &str, name: &str) -> Owner {
        Owner { kind: kind.into(), name: name.into() }
    }

    #[test]
    fn controllers_of_pods_are_recognized_by_group_and_kind() {
        let claim = |group_and_kind| controller(group_and_kind, "web").claim(false);
        for (group_and_kind, kind) in [
            ("apps/DaemonSet", "DaemonSet"),
            ("apps/StatefulSet", "StatefulSet"),
            ("ReplicationController", "ReplicationController"),
            ("apps.kruise.io/CloneSet", "CloneSet.apps.kruise.io"),
            ("apps.kruise.io/StatefulSet", "StatefulSet.apps.kruise.io"),
            ("example.com/ReplicaSet", "ReplicaSet.example.com"),
            ("example.com/Job", "Job.example.com"),
        ] {
            assert_eq!(claim(group_and_kind), Claim::Owner(owner(kind, "web")), "{group_and_kind}");
        }
        assert_eq!(claim("apps/ReplicaSet"), Claim::Through(Intermediate::ReplicaSet));
        assert_eq!(claim("batch/Job"), Claim::Through(Intermediate::Job));
    }

    #[test]
    fn an_object_that_makes_no_pods_is_no_owner() {
        for group_and_kind in [
            "apps/Deployment",
            "batch/CronJob",
            "ReplicaSet",
            "Node",
            "Rollout.argoproj.io",
            "argoproj.io/",
            "argo proj/Rollout",
            "argoproj.io/Roll.out",
            "apps/CloneSet.apps.kruise.io",
        ] {
            assert_eq!(controller(group_and_kind, "web").claim(false), Claim::Nothing, "{group_and_kind}");
        }
        assert_eq!(controller("Node", "node1").claim(true), Claim::Owner(owner("Node", "node1")));
    }

    #[test]
    fn owners_of_replica_sets_and_jobs_are_recognized_by_group_and_kind() {
        let above = |level: Intermediate, controller: Option<Controller>| {
            let Owner { kind, name } = level.owner(&"x-1".into(), controller.as_ref());
            format!("{kind}/{name}")
        };
        let (set, job) = (Intermediate::ReplicaSet, Intermediate::Job);
        for (level, group_and_kind, expected) in [
            (set, "apps/Deployment", "Deployment/x"),
            (set, "argoproj.io/Rollout", "Rollout.argoproj.io/x"),
            (set, "example.com/Deployment", "Deployment.example.com/x"),
            (set, "batch/CronJob", "ReplicaSet/x-1"),
            (set, "Deployment", "ReplicaSet/x-1"),
            (job, "batch/CronJob", "CronJob/x"),
            (job, "apps/Deployment", "Job/x-1"),
            (job, "jobset.x-k8s.io/JobSet", "JobSet.jobset.x-k8s.io/x"),
        ] {
            assert_eq!(above(level, Some(controller(group_and_kind, "x"))), expected, "{group_and_kind}");
        }
        assert_eq!((above(set, None), above(job, None)), ("ReplicaSet/x-1".to_owned(), "Job/x-1".to_owned()));
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["web-5d4f", "a", "web.1", &"a".repeat(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "../secrets/x",
            "a..b",
            "a?watch=1",
            "a%2f",
            "-a",
            "a-",
            "A",
            "a b",
            &"a".repeat(254),
        ] {
            assert!(!is_object_name(name), "{name}");
        }
    }
}
