//! A real node of Kubernetes with its control plane: etcd, API server, controllers, containerd and kubelet.

mod build;
mod certificates;
mod control_plane;
mod kubelet;
mod node;

pub(crate) use self::node::Node;

/// What the node is called.
pub(crate) const NODE: &str = "node1";
/// Its address, of those that are for documentation.
const ADDRESS: &str = "192.0.2.10";
/// The address of the service `kubernetes`; the API server listens there itself, so nothing has to proxy.
const SERVICE_ADDRESS: &str = "10.96.0.1";
/// Where certificates and who uses them are, inside.
const ETC: &str = "/etc/kubernetes";
