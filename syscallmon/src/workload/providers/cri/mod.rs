//! Metadata from containerd, CRI-O and cri-dockerd, over the Container Runtime Interface that they serve to kubelet.
//!
//! It only lists, and starts, changes and watches nothing. The caller passes the ids of new containers.

mod connection;
mod messages;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{ProviderError, ProviderSettings, SocketChoice, socket::RuntimeClient};
use crate::workload::{
    Api,
    metadata::{CONTAINER_NAME_LABEL, ContainerId, ContainerInfo, PAUSE_NAME, PodInfo, text},
};
use connection::Connection;
use messages::{Container, Image, Sandbox, SandboxMetadata};

/// Deadline of a call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A runtime that serves the CRI at a unix socket.
pub(super) struct Cri {
    socket: PathBuf,
    timeout: Duration,
    /// `None` before the first use, and after a failure.
    connection: Option<Connection>,
}

impl Cri {
    /// Takes the connection out. It is put back only after a success.
    async fn connect(&mut self) -> Result<Connection, ProviderError> {
        match self.connection.take().filter(Connection::is_open) {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.socket, self.timeout).await,
        }
    }
}

impl RuntimeClient for Cri {
    const API: Api = Api::Cri;
    const MAX_CONTAINERS: usize = 256;
    /// The CRI has no way to rename a container.
    const RECHECKS: Option<(usize, Duration)> = None;
    const IS_STARTED_BY_CONNECTING: bool = false;

    fn choice(sources: &ProviderSettings) -> &SocketChoice {
        &sources.cri
    }

    /// Returns the runtime at `/run/containerd/containerd.sock`, `/run/crio/crio.sock`, ...
    fn new(socket: PathBuf) -> Self {
        Self { socket, timeout: TIMEOUT, connection: None }
    }

    /// Whether a process serves the CRI there.
    async fn check(&mut self) -> Result<(), ProviderError> {
        self.connection = Some(self.connect().await?);
        Ok(())
    }

    /// Returns metadata of those `ids` that the runtime knows, in the order of `ids`. Takes at most two calls, or three
    /// if images are known by id only.
    ///
    /// A container is listed before its cgroup exists. A sandbox is listed when it is ready, after its network is set
    /// up. Until then, its pause container runs and is unknown.
    ///
    /// # Errors
    ///
    /// When no process listens, or a call fails or takes longer than 5 s. The next look-up connects again.
    async fn look_up(&mut self, ids: &[ContainerId]) -> Result<Vec<ContainerInfo>, ProviderError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connect().await?;
        let node = Node::ask(&mut connection, ids).await?;
        self.connection = Some(connection);
        Ok(ids.iter().filter_map(|id| node.facts(id)).collect())
    }
}

/// Answers of a runtime to one look-up.
struct Node {
    runtime: Arc<str>,
    /// Requested containers, by id.
    containers: HashMap<String, Container>,
    /// All sandboxes by id, or none if the containers have all metadata.
    sandboxes: HashMap<String, Sandbox>,
    /// Names of images by bare id; none if the containers have them.
    images: HashMap<String, Arc<str>>,
}

impl Node {
    async fn ask(connection: &mut Connection, ids: &[ContainerId]) -> Result<Self, ProviderError> {
        let wanted: HashSet<&str> = ids.iter().map(|id| &**id).collect();
        let mut node = Self {
            runtime: Arc::clone(connection.runtime()),
            containers: HashMap::new(),
            sandboxes: HashMap::new(),
            images: HashMap::new(),
        };
        node.containers = by_id(connection.containers().await?, |container| &container.id);
        node.containers.retain(|id, _| wanted.contains(id.as_str()));
        if node.containers.len() < wanted.len() || node.containers.values().any(|container| container.pod().is_none()) {
            node.sandboxes = by_id(connection.sandboxes().await?, |sandbox| &sandbox.id);
        }
        if node.containers.values().any(|container| image_id(container.image()).is_some()) {
            node.images = connection.images().await?.iter().filter_map(Image::id_and_name).collect();
        }
        Ok(node)
    }

    fn facts(&self, id: &ContainerId) -> Option<ContainerInfo> {
        let container = self.containers.get(&**id).map(|container| self.container(id, container));
        container.or_else(|| Some(self.sandbox(id, self.sandboxes.get(&**id)?)))
    }

    fn container(&self, id: &ContainerId, container: &Container) -> ContainerInfo {
        let sandbox = self.sandboxes.get(&container.pod_sandbox_id);
        ContainerInfo {
            id: Arc::clone(id),
            name: container.name().unwrap_or_else(|| Arc::clone(id)),
            pod: sandbox.and_then(Sandbox::pod).or_else(|| container.pod()),
            image: self.image(container.image()),
            runtime: Arc::clone(&self.runtime),
            is_pause: false,
        }
    }

    /// The pause container has the id of its sandbox.
    fn sandbox(&self, id: &ContainerId, sandbox: &Sandbox) -> ContainerInfo {
        ContainerInfo {
            id: Arc::clone(id),
            name: PAUSE_NAME.into(),
            pod: sandbox.pod(),
            image: None,
            runtime: Arc::clone(&self.runtime),
            is_pause: true,
        }
    }

    /// Returns an image's name rather than its id.
    fn image(&self, image: &str) -> Option<Arc<str>> {
        let named = image_id(image).and_then(|id| self.images.get(id)).map(Arc::clone);
        named.or_else(|| text(image))
    }
}

impl Container {
    fn name(&self) -> Option<Arc<str>> {
        let name = self.metadata.as_ref().and_then(|metadata| text(&metadata.name));
        name.or_else(|| self.labels.get(CONTAINER_NAME_LABEL).and_then(|name| text(name)))
    }

    fn pod(&self) -> Option<PodInfo> {
        PodInfo::from_labels(&self.labels)
    }

    /// Returns the image's name at the start, or its id; empty if neither is known.
    fn image(&self) -> &str {
        let Some(image) = &self.image else { return "" };
        if image.user_specified_image.is_empty() { &image.image } else { &image.user_specified_image }
    }
}

impl Sandbox {
    fn pod(&self) -> Option<PodInfo> {
        self.metadata.as_ref().and_then(SandboxMetadata::pod).or_else(|| PodInfo::from_labels(&self.labels))
    }
}

impl SandboxMetadata {
    fn pod(&self) -> Option<PodInfo> {
        Some(PodInfo { uid: text(&self.uid)?, namespace: text(&self.namespace)?, name: text(&self.name)? })
    }
}

impl Image {
    /// Returns its bare id, and its name in `ContainerStatus`.
    fn id_and_name(&self) -> Option<(String, Arc<str>)> {
        let name = self.repo_tags.first().or(self.repo_digests.first()).and_then(|name| text(name))?;
        Some((image_id(&self.id)?.to_owned(), name))
    }
}

/// Returns the digits of an image's id, if the text is one: containerd writes `sha256:` before them, and CRI-O does
/// not.
fn image_id(image: &str) -> Option<&str> {
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

fn by_id<T>(items: Vec<T>, id: impl Fn(&T) -> &String) -> HashMap<String, T> {
    items.into_iter().map(|item| (id(&item).clone(), item)).collect()
}

/// Interface for fuzz targets: metadata of all containers in lists of containers, sandboxes and images.
#[cfg(fuzzing)]
pub fn facts(containers: &[u8], sandboxes: &[u8], images: &[u8]) -> Option<Vec<ContainerInfo>> {
    let messages::Containers { containers } = messages::decode(containers).ok()?;
    let messages::Sandboxes { items } = messages::decode(sandboxes).ok()?;
    let messages::Images { images } = messages::decode(images).ok()?;
    let node = Node {
        runtime: "containerd".into(),
        containers: by_id(containers, |container| &container.id),
        sandboxes: by_id(items, |sandbox| &sandbox.id),
        images: images.iter().filter_map(Image::id_and_name).collect(),
    };
    let ids = node.containers.keys().chain(node.sandboxes.keys()).map(|id| id.as_str().into());
    Some(ids.map(|id| node.facts(&id).expect("it is in a list")).collect())
}
