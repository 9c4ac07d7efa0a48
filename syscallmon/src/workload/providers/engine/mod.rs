//! Metadata from the HTTP API that Docker and Podman serve to their command lines.
//!
//! It only lists, and starts, changes and watches nothing. The caller passes the ids of new containers.
//!
//! Containers are listed one at a time and not inspected: Docker's engine does not inspect a container while it starts
//! it, which is when the metadata are requested. Podman then does neither, but only this container waits.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, error::Error, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Collected, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::handshake, header::HOST};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio_util::task::AbortOnDropHandle;

use super::{
    ProviderError, ProviderSettings, SocketChoice,
    socket::{RuntimeClient, connect},
};
use crate::workload::{
    Api,
    metadata::{CONTAINER_NAME_LABEL, ContainerId, ContainerInfo, PAUSE_NAME, PodInfo, text},
};

/// Deadline of a request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum containers in one look-up. Each is a request, and slow ones delay others.
const MAX_CONTAINERS: usize = 16;

/// Maximum bytes of an answer. The entry of a container takes about 1 KiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Label of dockershim and cri-dockerd that distinguishes pause containers (`podsandbox`) from others (`container`).
const TYPE_LABEL: &str = "io.kubernetes.docker.type";

/// Prefix of all names from them. A container's labels may come from its image, but its name does not.
const KUBERNETES_PREFIX: &str = "k8s_";

/// An engine that serves Docker's or Podman's API at a unix socket.
///
/// Every request has a connection of its own. On a unix socket, that is cheaper than keeping one, and needs no
/// recovery.
struct Engine {
    api: EngineApi,
    socket: PathBuf,
    timeout: Duration,
}

/// Docker's API.
pub(super) struct Docker(Engine);

/// Podman's API.
pub(super) struct Podman(Engine);

impl RuntimeClient for Docker {
    const API: Api = Api::Docker;
    const MAX_CONTAINERS: usize = MAX_CONTAINERS;
    const RECHECKS: Option<(usize, Duration)> = Some((4, Duration::from_secs(1)));
    const IS_STARTED_BY_CONNECTING: bool = false;

    fn choice(sources: &ProviderSettings) -> &SocketChoice {
        &sources.docker
    }

    fn new(socket: PathBuf) -> Self {
        Self(Engine::docker(socket))
    }

    async fn check(&mut self) -> Result<(), ProviderError> {
        self.0.check().await
    }

    async fn look_up(&mut self, ids: &[ContainerId]) -> Result<Vec<ContainerInfo>, ProviderError> {
        self.0.look_up(ids).await
    }
}

impl RuntimeClient for Podman {
    const API: Api = Api::Podman;
    const MAX_CONTAINERS: usize = MAX_CONTAINERS;
    /// Its service ends without requests, and takes longer for an answer.
    const RECHECKS: Option<(usize, Duration)> = Some((16, Duration::from_mins(1)));
    /// A socket unit of systemd starts it.
    const IS_STARTED_BY_CONNECTING: bool = true;

    fn choice(sources: &ProviderSettings) -> &SocketChoice {
        &sources.podman
    }

    fn new(socket: PathBuf) -> Self {
        Self(Engine::podman(socket))
    }

    async fn check(&mut self) -> Result<(), ProviderError> {
        self.0.check().await
    }

    async fn look_up(&mut self, ids: &[ContainerId]) -> Result<Vec<ContainerInfo>, ProviderError> {
        self.0.look_up(ids).await
    }
}

/// Which API an engine serves.
#[derive(Clone, Copy)]
enum EngineApi {
    Docker,
    Podman,
}

impl Engine {
    /// Docker's engine, at `/run/docker.sock`.
    #[must_use]
    fn docker(socket: PathBuf) -> Self {
        Self { api: EngineApi::Docker, socket, timeout: TIMEOUT }
    }

    /// `podman system service`, at `/run/podman/podman.sock`; Podman 4.0 or newer.
    #[must_use]
    fn podman(socket: PathBuf) -> Self {
        Self { api: EngineApi::Podman, socket, timeout: TIMEOUT }
    }

    /// Returns metadata of those `ids` that the engine knows, in the order of `ids`. Makes one request for each.
    ///
    /// If the engine has no answer about one container, or none in time, others still get their metadata. A second
    /// timeout ends the look-up.
    ///
    /// # Errors
    ///
    /// When no process listens, or when there are no metadata and a request failed or took longer than 5 s.
    async fn look_up(&mut self, ids: &[ContainerId]) -> Result<Vec<ContainerInfo>, ProviderError> {
        let mut facts = Vec::new();
        let mut failure = None;
        let mut is_slow = false;
        for id in ids.iter().filter(|id| is_hex(id)) {
            match self.find(id).await {
                Ok(known) => facts.extend(known),
                Err(error @ ProviderError::Connect(_)) => return Err(error),
                Err(ProviderError::Timeout(_)) if is_slow => break,
                Err(error) => {
                    is_slow |= matches!(error, ProviderError::Timeout(_));
                    failure = Some(error);
                }
            }
        }
        if facts.is_empty() { failure.map_or(Ok(facts), Err) } else { Ok(facts) }
    }

    /// Whether a process listens.
    async fn check(&self) -> Result<(), ProviderError> {
        connect(&self.socket).await.map(drop).map_err(ProviderError::Connect)
    }

    /// Returns `None` if the engine does not know it. The id must be hexadecimal digits.
    async fn find(&self, id: &ContainerId) -> Result<Option<ContainerInfo>, ProviderError> {
        let answer = tokio::time::timeout(self.timeout, self.list(id)).await;
        let body = answer.map_err(|_| ProviderError::Timeout(self.timeout))??;
        self.api.facts(id, &body).map_err(|error| self.failure(&error))
    }

    /// Returns the list of one container, in any state, as JSON.
    async fn list(&self, id: &ContainerId) -> Result<Bytes, ProviderError> {
        let stream = connect(&self.socket).await.map_err(ProviderError::Connect)?;
        let (mut sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| self.failure(&error))?;
        let _driver = AbortOnDropHandle::new(tokio::spawn(driver));
        // {"id":["..."]}
        let target = format!("{}?all=true&filters=%7B%22id%22%3A%5B%22{id}%22%5D%7D", self.api.path());
        let request = Request::get(target).header(HOST, "localhost").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| self.failure(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.failure(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(ProviderError::Answer(format!("{}: {}", self.api.path(), answer.status())));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        body.map(Collected::to_bytes).map_err(|error| self.failure(&*error))
    }

    fn failure(&self, error: &(dyn Error + 'static)) -> ProviderError {
        ProviderError::answer(self.api.path(), error)
    }
}

impl EngineApi {
    /// Returns the URL path of the list.
    fn path(self) -> &'static str {
        match self {
            Self::Docker => "/containers/json",
            Self::Podman => "/v4.0.0/libpod/containers/json",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// Returns the metadata of a container from a list; `None` if it is not there.
    fn facts(self, id: &ContainerId, list: &[u8]) -> serde_json::Result<Option<ContainerInfo>> {
        let containers: Option<Vec<Container>> = serde_json::from_slice(list)?;
        // Docker accepts the beginning of an id, and Podman a regular expression.
        let container = containers.unwrap_or_default().into_iter().find(|container| container.id == **id);
        Ok(container.map(|container| container.into_facts(id, self)))
    }
}

/// The entry of a container: Docker's `ContainerSummary` and Podman's `ListContainer`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    /// Docker adds a `/` before them.
    names: Option<Vec<String>>,
    /// The image's name at the container's start, or its id if the name has moved to another image.
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
    /// Only in Podman: whether it holds a pod's namespaces.
    #[serde(default)]
    is_infra: bool,
}

impl Container {
    fn into_facts(self, id: &ContainerId, api: EngineApi) -> ContainerInfo {
        let own_name = self.name();
        let is_kubernetes = own_name.as_ref().is_some_and(|name| name.starts_with(KUBERNETES_PREFIX));
        let labels = self.labels.filter(|_| is_kubernetes).unwrap_or_default();
        let label = |label: &str| labels.get(label).map(String::as_str);
        let is_sandbox = label(TYPE_LABEL) == Some("podsandbox");
        let name = if is_sandbox { Some(PAUSE_NAME) } else { label(CONTAINER_NAME_LABEL) };
        ContainerInfo {
            id: Arc::clone(id),
            name: name.and_then(text).or(own_name).unwrap_or_else(|| Arc::clone(id)),
            pod: PodInfo::from_labels(&labels),
            image: self.image.as_deref().and_then(text),
            runtime: api.name().into(),
            is_pause: is_sandbox || self.is_infra,
        }
    }

    /// Returns its own name. Docker also lists names from linked containers (`/web/db`).
    fn name(&self) -> Option<Arc<str>> {
        let mut names = self.names.iter().flatten().map(|name| name.strip_prefix('/').unwrap_or(name));
        names.find(|name| !name.contains('/')).and_then(text)
    }
}

/// Only such ids are used in paths.
fn is_hex(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Interface for fuzz targets: metadata from lists, as of Docker and as of Podman.
#[cfg(fuzzing)]
pub fn facts(id: &ContainerId, list: &[u8]) -> impl Iterator<Item = ContainerInfo> {
    [EngineApi::Docker, EngineApi::Podman].into_iter().filter_map(|api| api.facts(id, list).ok().flatten())
}
