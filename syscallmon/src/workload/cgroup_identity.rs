//! The meaning of a cgroup path: a container, a pod, a systemd unit, or another cgroup.
//!
//! Pure. Any process that makes cgroups chooses paths, containers included. So calls belong to the outermost container
//! of a path: a cgroup inside a container belongs to it, whatever its name.

use std::sync::Arc;

use super::{
    metadata::ContainerId,
    runtimes::{Api, Mention, mentioned},
    transient,
};

/// The identity of a cgroup by its path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CgroupIdentity {
    /// A container. Metadata providers know its name.
    Container {
        /// Its id.
        id: ContainerId,
        /// The UID of its pod, if the path has one.
        pod: Option<Arc<str>>,
        /// The runtime that knows it, if the path shows it.
        api: Option<Api>,
        /// The path of the container's own cgroup.
        path: Arc<str>,
    },
    /// A pod, outside its containers.
    Pod {
        /// Its UID.
        uid: Arc<str>,
        /// Path of the pod's cgroup.
        path: Arc<str>,
    },
    /// Any other cgroup. For cgroups inside a unit, the path of the unit.
    Cgroup(Arc<str>),
}

/// Below this path, users make units and choose any names for cgroups. No metadata provider is asked about those.
const USERS: &str = "/user.slice/";

impl CgroupIdentity {
    /// Parses a path from the root of the hierarchy.
    #[must_use]
    pub fn of(path: &Arc<str>) -> Self {
        let is_users = path.starts_with(USERS);
        let (mut parent, mut is_kubernetes, mut pod) = ("", false, None);
        for (name, end) in components(path) {
            is_kubernetes |= name.split(['-', '.']).any(|part| part == "kubepods");
            if is_kubernetes && pod.is_none() && !is_users {
                pod = pod_uid(name).map(|uid| (uid, end));
            }
            match mentioned(parent, name) {
                Some(Mention::Container(id, api)) if !is_users => {
                    return Self::Container { id: id.into(), pod: pod.map(|(uid, _)| uid), api, path: upto(path, end) };
                }
                Some(Mention::Container(..) | Mention::Named) => return Self::Cgroup(upto(path, end)),
                Some(Mention::Monitor) => return Self::outside(path, pod, (end - name.len()).saturating_sub(1)),
                None => {}
            }
            parent = name;
        }
        Self::outside(path, pod, path.len())
    }

    /// Returns the identity outside of containers: the pod, or the unit in the path up to this point, or the path.
    fn outside(path: &Arc<str>, pod: Option<(Arc<str>, usize)>, end: usize) -> Self {
        match pod {
            Some((uid, end)) => Self::Pod { uid, path: upto(path, end) },
            None => Self::Cgroup(upto(path, unit(&path[..end]).unwrap_or(end).max(1).min(path.len()))),
        }
    }

    /// Returns the path that stands for it without a better name.
    #[must_use]
    pub fn path(&self) -> &Arc<str> {
        match self {
            Self::Container { path, .. } | Self::Pod { path, .. } | Self::Cgroup(path) => path,
        }
    }

    /// Returns the path of the group of a transient unit, such as `/user.slice/user-1000.slice/session-*.scope`; `None`
    /// for others. Containers are in no group.
    #[must_use]
    pub fn group(&self) -> Option<Arc<str>> {
        let Self::Cgroup(path) = self else { return None };
        let (above, unit) = path.rsplit_once('/')?;
        let parent = above.rsplit('/').next().unwrap_or_default();
        let group = transient::group(unit).filter(|_| mentioned(parent, unit).is_none())?;
        Some(format!("{above}/{group}").into())
    }

    /// Returns the exported path, and that of its group.
    pub fn paths(&self) -> impl Iterator<Item = Arc<str>> {
        [Some(Arc::clone(self.path())), self.group()].into_iter().flatten()
    }

    /// Whether every cgroup below its own belongs to it. This holds for containers, but units and pods may have
    /// containers.
    #[must_use]
    pub fn owns_all_below(&self) -> bool {
        let path = self.path();
        let container: Arc<str> = format!("{path}/{}", "0".repeat(64)).into();
        path.as_ref() != "/" && Self::of(&container).path() == path
    }

    /// Whether it belongs to a user's session.
    #[must_use]
    pub fn is_users(&self) -> bool {
        self.path().starts_with(USERS)
    }

    /// Whether it is a container.
    #[must_use]
    pub fn is_container(&self) -> bool {
        matches!(self, Self::Container { .. })
    }

    /// Returns the UID of the pod that it is, or is in.
    #[must_use]
    pub fn pod(&self) -> Option<&Arc<str>> {
        match self {
            Self::Container { pod, .. } => pod.as_ref(),
            Self::Pod { uid, .. } => Some(uid),
            Self::Cgroup(_) => None,
        }
    }
}

/// Returns the path of the outermost unit in a path; below a user's own manager, of a unit of that manager.
#[must_use]
pub fn outermost_unit(path: &str) -> Option<&str> {
    let end = components(path).find(|(name, _)| is_unit(name)).map(|(_, end)| end)?;
    Some(&path[..end])
}

fn is_unit(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "service" | "scope")))
}

/// Returns the names in a path, each with its end.
fn components(path: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut end = 0;
    path.split('/').filter_map(move |name| {
        let begin = end;
        end = begin + name.len() + 1;
        (!name.is_empty()).then_some((name, begin + name.len()))
    })
}

/// Returns the end of the outermost unit's name: a service or scope, below a user's own manager if there is one.
fn unit(path: &str) -> Option<usize> {
    let mut units = components(path).filter(|(name, _)| is_unit(name));
    let (name, end) = units.next()?;
    if name.starts_with("user@") { units.next().map(|(_, end)| end) } else { Some(end) }
}

/// Returns the UID in the name of a pod's cgroup: `pod<uid>`, or `kubepods-burstable-pod<uid with _>.slice`.
fn pod_uid(name: &str) -> Option<Arc<str>> {
    let name = name.split(':').next().unwrap_or(name);
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = name.strip_prefix("pod").or_else(|| Some(name.rsplit_once("-pod")?.1))?.replace('_', "-");
    // The UID of a static pod is a hash.
    let is_hash = uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = uid.len() == 36
        && uid.bytes().enumerate().all(|(identity, byte)| match identity {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    (is_hash || is_uuid).then(|| uid.into())
}

/// Returns a path up to this point; the same allocation if that is all of it.
fn upto(path: &Arc<str>, end: usize) -> Arc<str> {
    if end == path.len() { Arc::clone(path) } else { path[..end].into() }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    /// Returns an identity in the notation of the fixtures.
    fn written(identity: &CgroupIdentity) -> String {
        match identity {
            CgroupIdentity::Container { id, pod: Some(pod), .. } => format!("container {id} of {pod}"),
            CgroupIdentity::Container { id, pod: None, .. } => format!("container {id}"),
            CgroupIdentity::Pod { uid, .. } => format!("pod {uid}"),
            CgroupIdentity::Cgroup(path) => format!("cgroup {path}"),
        }
    }

    /// Trees of cgroups of real hosts: lines of `path => identity`. Lines with `#` are comments.
    #[test]
    fn every_cgroup_of_every_host_is_identified() {
        let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cgroups");
        let mut checked = 0;
        for host in fs::read_dir(&hosts).unwrap() {
            let host = host.unwrap().path();
            for line in fs::read_to_string(&host).unwrap().lines().filter(|line| line.starts_with('/')) {
                let (path, identity) = line.split_once(" => ").unwrap();
                assert_eq!(written(&CgroupIdentity::of(&path.into())), identity, "{}: {path}", host.display());
                checked += 1;
            }
        }
        assert!(checked > 50, "{checked} lines in {}", hosts.display());
    }

    #[test]
    fn every_runtime_has_a_fixture() {
        let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cgroups");
        for runtime in super::super::runtimes::RUNTIMES {
            assert!(hosts.join(runtime.name).with_extension("txt").exists(), "{}", runtime.name);
        }
    }

    #[test]
    fn what_looks_after_a_container_is_its_unit_s_however_deep_it_is() {
        let monitor = format!("libpod-conmon-{}", "a".repeat(64));
        for (path, identity) in [
            (format!("/system.slice/web.service/supervisor/{monitor}"), "cgroup /system.slice/web.service"),
            (format!("/machine.slice/{monitor}.scope"), "cgroup /machine.slice"),
            (format!("/{monitor}"), "cgroup /"),
        ] {
            assert_eq!(written(&CgroupIdentity::of(&path.as_str().into())), identity, "{path}");
        }
        // Not from a root, which no kernel reports.
        let _ = CgroupIdentity::of(&monitor.as_str().into());
    }

    #[test]
    fn only_containers_own_all_that_is_below() {
        let id = "a".repeat(64);
        for (path, owns) in [
            (format!("/docker/{id}"), true),
            (format!("/system.slice/web.service/libpod-payload-{id}"), true),
            ("/lxc.payload.web".to_owned(), true),
            ("/system.slice/web.service".to_owned(), false),
            ("/user.slice/user-1.slice/user@1.service/app.slice/a.scope".to_owned(), false),
            ("/kubepods/pod2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71".to_owned(), false),
            ("/x".to_owned(), false),
            ("/".to_owned(), false),
        ] {
            assert_eq!(CgroupIdentity::of(&path.as_str().into()).owns_all_below(), owns, "{path}");
        }
        assert_eq!(outermost_unit("/user.slice/user@1.service/a.scope/x"), Some("/user.slice/user@1.service"));
        assert_eq!(outermost_unit("/docker/x"), None);
    }

    #[test]
    fn transient_units_have_a_group_and_containers_none() {
        let id = "a".repeat(64);
        let user = "/user.slice/user-1000.slice";
        let in_unit = format!("{user}/user@1000.service/app.slice/app-x-1.scope/libpod-payload-{id}");
        for (path, group) in [
            (format!("{user}/session-12.scope"), Some(format!("{user}/session-*.scope"))),
            (format!("{user}/session-12.scope/inside/run-u1.service"), Some(format!("{user}/session-*.scope"))),
            (
                format!("{user}/user@1000.service/run-u7.service"),
                Some(format!("{user}/user@1000.service/run-*.service")),
            ),
            ("/session-1.scope".to_owned(), Some("/session-*.scope".to_owned())),
            (format!("{user}/user@1000.service"), None),
            (format!("{user}/user@1000.service/user.slice/libpod-{id}.scope"), None),
            (format!("{user}/session-3.scope/libpod_parent/libpod-{id}"), None),
            (in_unit, None),
            (format!("/system.slice/run-u12.service/libpod-payload-{id}"), None),
            (format!("/docker/{id}/session-1.scope"), None),
            ("/lxc/session-1.scope".to_owned(), None),
            ("/lxc.payload/app-web-1.scope/session-1.scope".to_owned(), None),
            ("/".to_owned(), None),
        ] {
            let identity = CgroupIdentity::of(&path.as_str().into());
            assert_eq!(identity.group().as_deref(), group.as_deref(), "{path}");
            assert!(identity.paths().any(|known| known == *identity.path()));
        }
    }

    #[test]
    fn what_is_not_cut_is_not_copied() {
        let path: Arc<str> = "/system.slice/a.service".into();
        let CgroupIdentity::Cgroup(same) = CgroupIdentity::of(&path) else { panic!() };
        assert!(Arc::ptr_eq(&path, &same));
    }

    proptest! {
        #[test]
        fn any_path_has_a_place_that_begins_it(
            path in "(/(kubepods|pod|[a-f0-9]{64}|user@1\\.service|x\\.scope|libpod-|:|\\PC{0,9})(\\.slice)?){0,6}",
        ) {
            let identity = CgroupIdentity::of(&path.as_str().into());
            prop_assert!(path.starts_with(identity.path().as_ref()) || identity.path().as_ref() == "/");
        }

        #[test]
        fn what_a_container_makes_is_its_own(below in "(/\\PC{0,80}){0,4}") {
            let path = format!("/docker/{}", "a".repeat(64));
            prop_assert_eq!(CgroupIdentity::of(&format!("{path}{below}").into()), CgroupIdentity::of(&path.into()));
        }
    }
}
