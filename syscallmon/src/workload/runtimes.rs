//! The container runtimes that are known, one row each: what they call the cgroups of containers, and whom to
//! ask for names.
//!
//! A new runtime is a row here and lines in `tests/cgroups/`.

/// A container runtime, or whatever else gives each of its containers a cgroup.
#[derive(Debug)]
pub struct Runtime {
    /// Its name, as Kubernetes writes it before `://` in container ids.
    pub name: &'static str,
    /// What stands before a container's id in its cgroup's name. systemd's scopes also have `.scope` after it.
    prefixes: &'static [&'static str],
    /// What stands before the id in the name of the cgroup of the process that looks after a container.
    monitors: &'static [&'static str],
    /// Names of cgroups that have containers below, called by name: no provider is needed.
    parents: &'static [&'static str],
    /// Names of cgroups that have pods below, called by a bare id.
    pods: &'static [&'static str],
    /// Where its API listens, the likeliest first.
    pub sockets: &'static [&'static str],
    /// Which API that is.
    pub api: Option<Api>,
}

/// An API that tells names of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// Kubernetes' Container Runtime Interface.
    Cri,
    /// Docker's Engine API.
    Docker,
    /// Podman's libpod API.
    Podman,
}

impl Api {
    /// The runtime that it is the API of, where that is one alone.
    #[must_use]
    pub fn runtime(self) -> Option<&'static str> {
        match self {
            Self::Cri => None,
            Self::Docker => Some("docker"),
            Self::Podman => Some("podman"),
        }
    }

    /// Whether this API may know a container, by what the name of its cgroup says of the runtime.
    #[must_use]
    pub fn may_know(self, told: Option<Self>) -> bool {
        // Podman's containers have its name in their paths, and asking may start it: systemd activates its socket.
        told.map_or(self != Self::Podman, |told| told == self)
    }
}

/// Those that are known.
pub const RUNTIMES: &[Runtime] = &[
    Runtime {
        name: "containerd",
        prefixes: &["cri-containerd-", "nerdctl-"],
        monitors: &[],
        parents: &[],
        pods: &[],
        sockets: &[
            "/run/containerd/containerd.sock",
            "/run/k3s/containerd/containerd.sock",
            "/run/k0s/containerd.sock",
            "/var/snap/microk8s/common/run/containerd.sock",
        ],
        api: Some(Api::Cri),
    },
    Runtime {
        name: "cri-o",
        prefixes: &["crio-"],
        monitors: &["crio-conmon-"],
        parents: &[],
        pods: &[],
        sockets: &["/run/crio/crio.sock"],
        api: Some(Api::Cri),
    },
    Runtime {
        name: "docker",
        prefixes: &["docker-"],
        monitors: &[],
        parents: &[],
        pods: &[],
        sockets: &["/run/docker.sock"],
        api: Some(Api::Docker),
    },
    Runtime {
        name: "podman",
        // The latter in the units of Quadlet.
        prefixes: &["libpod-", "libpod-payload-"],
        monitors: &["libpod-conmon-"],
        parents: &[],
        pods: &["libpod_parent"],
        sockets: &["/run/podman/podman.sock"],
        api: Some(Api::Podman),
    },
    Runtime {
        name: "lxc",
        prefixes: &["lxc.payload.", "lxc.monitor."],
        monitors: &[],
        parents: &["lxc", "lxc.payload", "lxc.monitor"],
        pods: &[],
        sockets: &[],
        api: None,
    },
];

/// What the name of a cgroup says of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention<'a> {
    /// It is the container with this id, and may be known to this API only.
    Container(&'a str, Option<Api>),
    /// It is a container that has no other name than its cgroup's.
    Named,
    /// It belongs to the monitor process of a container.
    Monitor,
}

/// What a cgroup's name, below a parent of this name, says of a container.
pub(super) fn mentioned<'a>(parent: &str, name: &'a str) -> Option<Mention<'a>> {
    let unit = name.strip_suffix(".scope").unwrap_or(name);
    // Kubernetes under systemd, containerd without: `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`.
    let colons = name.rsplit_once(':').map(|(_, id)| id);
    if let Some(id) = [unit].into_iter().chain(colons).find(|id| is_id(id)) {
        let is_pod = RUNTIMES.iter().any(|runtime| runtime.pods.contains(&parent));
        return (!is_pod).then_some(Mention::Container(id, None));
    }
    RUNTIMES.iter().find_map(|runtime| runtime.mentioned(parent, unit))
}

impl Runtime {
    fn mentioned<'a>(&self, parent: &str, unit: &'a str) -> Option<Mention<'a>> {
        let after = |prefixes: &[&str], is: fn(&str) -> bool| {
            prefixes.iter().filter_map(|&prefix| unit.strip_prefix(prefix)).find(|rest| is(rest))
        };
        if after(self.monitors, is_id).is_some() {
            return Some(Mention::Monitor);
        }
        if self.api.is_some() {
            return after(self.prefixes, is_id).map(|id| Mention::Container(id, self.api));
        }
        let is_one = after(self.prefixes, |_| true).is_some() || self.parents.contains(&parent);
        is_one.then_some(Mention::Named)
    }
}

/// Whether it is an id that OCI runtimes are given: 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
