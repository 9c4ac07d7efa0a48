//! Known container runtimes, one row each: names of their containers' cgroups, and their APIs for metadata.
//!
//! A new runtime is a row here and a file `syscallmon/tests/cgroups/NAME.txt`.

/// A container runtime, or another program with a cgroup for each of its containers.
#[derive(Debug)]
pub struct Runtime {
    /// Its name, as before `://` in container ids of Kubernetes.
    pub name: &'static str,
    /// Prefix of a container's id in its cgroup's name. systemd's scopes also have the suffix `.scope`.
    prefixes: &'static [&'static str],
    /// Prefix of the id in the name of the cgroup of a container's monitor process.
    monitors: &'static [&'static str],
    /// Names of cgroups above containers with their own names: no provider is needed.
    parents: &'static [&'static str],
    /// Names of cgroups above pods with bare ids.
    pods: &'static [&'static str],
    /// Sockets of its API, the most likely first.
    pub sockets: &'static [&'static str],
    /// Its API.
    pub api: Option<Api>,
}

/// An API with metadata of containers.
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
    /// Returns its runtime, if it belongs to a single one.
    #[must_use]
    pub fn runtime(self) -> Option<&'static str> {
        match self {
            Self::Cri => None,
            Self::Docker => Some("docker"),
            Self::Podman => Some("podman"),
        }
    }

    /// Whether this API may know a container, by the name of its cgroup.
    #[must_use]
    pub fn may_know(self, from_path: Option<Self>) -> bool {
        // Podman's containers have its name in their paths. A request may start Podman, because systemd activates its
        // socket.
        from_path.map_or(self != Self::Podman, |from_path| from_path == self)
    }
}

/// Known runtimes.
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
        // The latter in units of Quadlet.
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

/// The meaning of a cgroup's name for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention<'a> {
    /// A container with this id. It may be known to this API only.
    Container(&'a str, Option<Api>),
    /// A container with no other name than its cgroup's.
    Named,
    /// The monitor process of a container.
    Monitor,
}

/// Returns the meaning of a cgroup's name below a parent with this name.
pub(super) fn mentioned<'a>(parent: &str, name: &'a str) -> Option<Mention<'a>> {
    let unit = name.strip_suffix(".scope").unwrap_or(name);
    // Kubernetes uses the systemd driver, and containerd does not:
    // `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`.
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

/// Whether it is an id of an OCI runtime's container: 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
