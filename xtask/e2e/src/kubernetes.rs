//! A real Kubernetes node with its control plane: etcd, API server, controllers, containerd and kubelet.

mod build;
mod certificates;
mod control_plane;
mod kubelet;
mod node;

pub(crate) use self::node::{Helm, Node};

/// Name of the node.
pub(crate) const NODE: &str = "node1";
/// Address of the node, from the range for documentation.
const ADDRESS: &str = "192.0.2.10";
/// The address of the service `kubernetes`. The API server listens there, so no proxy is necessary.
const SERVICE_ADDRESS: &str = "10.96.0.1";
/// Directory of the kubelet's seccomp profiles, inside.
pub(crate) const SECCOMP_PROFILES: &str = "/var/lib/kubelet/seccomp";
/// Directory of the certificates and the kubeconfigs, inside.
const ETC: &str = "/etc/kubernetes";
