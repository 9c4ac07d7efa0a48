//! Names of cgroups. Cgroups nested in a container or unit, and cgroups of users with names of containers, have no name
//! of their own: they have the name of the container or unit around them. So however many there are, they take little
//! memory and no names of others.

use std::sync::Arc;

use crate::workload::{CgroupIdentity, outermost_unit};

/// The name of a cgroup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Its own path.
    Own,
    /// The path of the container or unit around it.
    Of(Arc<str>),
    /// It depends on the parent, which is not known. A walk must find both.
    NotYetKnown,
}

/// Facts besides the path.
#[derive(Debug)]
pub(super) struct Circumstances {
    /// Name of the parent.
    pub(super) above: Option<Arc<str>>,
    /// Whether the hierarchy is mounted partially. Then paths are made from those of ancestors.
    pub(super) is_partial: bool,
    /// Whether there are very many cgroups.
    pub(super) is_crowded: bool,
}

/// Returns the name of a cgroup with this path. `is_unprivileged` means that its maker may not administer the host;
/// container runtimes may.
pub(super) fn of(path: &Arc<str>, around: Circumstances, is_unprivileged: impl Fn() -> bool) -> Name {
    let Circumstances { above, is_partial, is_crowded } = around;
    let identity = CgroupIdentity::of(path);
    let below_all = identity.owns_all_below();
    if identity.path() != path {
        return match above {
            // It may be in a cgroup with a container's name that is none. The parent decides.
            Some(above) if below_all => Name::Of(above),
            None if below_all && is_unprivileged() => Name::NotYetKnown,
            None if below_all => Name::Of(Arc::clone(identity.path())),
            Some(above) if identity.pod().is_some() && is_unprivileged() => Name::Of(above),
            above if !is_partial && identity.pod().is_none() => {
                Name::Of(above.filter(|above| above == identity.path()).unwrap_or_else(|| Arc::clone(identity.path())))
            }
            _ => Name::Own,
        };
    }
    let is_claim = (below_all || identity.pod().is_some()) && !identity.is_users();
    let unit = outermost_unit(path).filter(|&unit| is_crowded && unit != path.as_ref());
    if !(is_claim || unit.is_some()) || !is_unprivileged() {
        return Name::Own;
    }
    match unit {
        Some(unit) => Name::Of(unit.into()),
        None => above.map_or(Name::NotYetKnown, Name::Of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(path: &str, above: Option<&str>, unprivileged: bool) -> String {
        let around = Circumstances { above: above.map(Arc::from), is_partial: false, is_crowded: false };
        match of(&path.into(), around, || unprivileged) {
            Name::Own => path.to_owned(),
            Name::Of(path) => path.to_string(),
            Name::NotYetKnown => "?".to_owned(),
        }
    }

    const UNIT: &str = "/system.slice/web.service";

    #[test]
    fn a_container_that_a_user_made_is_the_unit_s_and_so_is_what_is_in_it() {
        let id = "a".repeat(64);
        for name in [&id, &format!("cri-containerd-{id}.scope"), "lxc.payload.x", &format!("libpod-{id}.scope")] {
            let path = format!("{UNIT}/{name}");
            assert_eq!(called(&path, Some(UNIT), false), path, "root made it");
            assert_eq!(called(&path, Some(UNIT), true), UNIT);
            assert_eq!(called(&path, None, true), "?");
            for unprivileged in [true, false] {
                assert_eq!(called(&format!("{path}/x"), Some(UNIT), unprivileged), UNIT);
                assert_eq!(called(&format!("{path}/x"), Some(&path), unprivileged), path);
            }
            assert_eq!(called(&format!("{path}/x"), None, true), "?");
        }
    }

    #[test]
    fn a_pod_that_a_user_made_is_the_unit_s() {
        let pod = format!("{UNIT}/kubepods/pod2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71");
        assert_eq!(called(&pod, Some(UNIT), false), pod);
        assert_eq!(called(&pod, Some(UNIT), true), UNIT);
        assert_eq!(called(&format!("{pod}/x"), Some(UNIT), true), UNIT);
    }

    #[test]
    fn what_is_nested_in_a_unit_has_the_unit_s_name() {
        assert_eq!(called(&format!("{UNIT}/a/b"), Some(UNIT), false), UNIT);
        assert_eq!(called(&format!("{UNIT}/a/b"), None, true), UNIT);
    }

    #[test]
    fn units_of_users_have_their_own_names_unless_there_are_too_many() {
        let manager = "/user.slice/user-1.slice/user@1.service";
        let podman = format!("{manager}/user.slice/libpod-{}.scope", "a".repeat(64));
        for path in [&format!("{manager}/app.slice/a.scope"), &podman] {
            assert_eq!(called(path, Some(manager), true), *path);
            let around = Circumstances { above: None, is_partial: false, is_crowded: true };
            assert_eq!(of(&path.as_str().into(), around, || true), Name::Of(manager.into()));
        }
    }
}
