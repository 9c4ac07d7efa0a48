//! What Docker and Podman know, from the HTTP API that they serve to their command lines.
//!
//! It only inspects: nothing is started, changed or watched. Whoever resolves containers calls it with the ids that are new.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::handshake,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use crate::workload::{
    facts::{CONTAINER_NAME_LABEL, ContainerFacts, ContainerId, PAUSE_NAME, PodFacts, text},
    source::SourceError,
};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer, in bytes. What an engine knows of a container takes about 10 KiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// dockershim's label, and cri-dockerd's, that tells pause containers (`podsandbox`) from others (`container`).
const TYPE_LABEL: &str = "io.kubernetes.docker.type";

/// An engine that serves Docker's or Podman's API at a unix socket.
///
/// Every request has a connection of its own: on a unix socket it costs less than keeping one, and needs no mending.
pub struct Engine {
    kind: Kind,
    socket: PathBuf,
    timeout: Duration,
}

/// Whose API it is.
#[derive(Clone, Copy)]
enum Kind {
    Docker,
    Podman,
}

impl Engine {
    /// Docker's engine, at `/run/docker.sock`.
    #[must_use]
    pub fn docker(socket: PathBuf) -> Self {
        Self { kind: Kind::Docker, socket, timeout: TIMEOUT }
    }

    /// `podman system service`, at `/run/podman/podman.sock`; Podman 4.0 or newer.
    #[must_use]
    pub fn podman(socket: PathBuf) -> Self {
        Self { kind: Kind::Podman, socket, timeout: TIMEOUT }
    }

    /// Facts of those of `ids` that the engine knows, in the order of `ids`. One request for each.
    ///
    /// A container about which the engine cannot answer, or not in time, does not cost others their facts; a second one that takes
    /// too long does.
    ///
    /// # Errors
    ///
    /// When nobody listens, or when there are no facts and a request failed or took longer than 5 s.
    pub async fn look_up(&mut self, ids: &[ContainerId]) -> Result<Vec<ContainerFacts>, SourceError> {
        let mut facts = Vec::new();
        let mut failure = None;
        for id in ids.iter().filter(|id| is_hex(id)) {
            match self.inspect(id).await {
                Ok(known) => facts.extend(known),
                Err(error @ SourceError::Connect(_)) => return Err(error),
                Err(SourceError::Timeout(_)) if matches!(failure, Some(SourceError::Timeout(_))) => break,
                Err(error) => failure = Some(error),
            }
        }
        if facts.is_empty() { failure.map_or(Ok(facts), Err) } else { Ok(facts) }
    }

    /// `None` when the engine does not know it.
    async fn inspect(&self, id: &ContainerId) -> Result<Option<ContainerFacts>, SourceError> {
        let path = self.kind.path(id);
        let answer = tokio::time::timeout(self.timeout, self.get(&path)).await;
        let Some(body) = answer.map_err(|_| SourceError::Timeout(self.timeout))?? else { return Ok(None) };
        let container: Container = serde_json::from_slice(&body).map_err(|error| SourceError::answer(&path, &error))?;
        Ok(container.into_facts(id, self.kind))
    }

    /// The answer's body; `None` when there is no such thing.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, SourceError> {
        let response = |error: &(dyn std::error::Error + 'static)| SourceError::answer(path, error);
        let stream = UnixStream::connect(&self.socket).await.map_err(SourceError::Connect)?;
        let (mut sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| response(&error))?;
        let _driver = AbortOnDropHandle::new(tokio::spawn(driver));
        let request = Request::get(path).header(HOST, "localhost").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| response(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| response(&error))?;
        match answer.status() {
            StatusCode::OK => collect(answer).await.map(Some).map_err(|error| response(&*error)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(SourceError::Answer(format!("{path}: {status}"))),
        }
    }
}

impl Kind {
    /// Where a container is inspected. The id must be hexadecimal digits.
    fn path(self, id: &str) -> String {
        match self {
            Self::Docker => format!("/containers/{id}/json"),
            Self::Podman => format!("/v4.0.0/libpod/containers/{id}/json"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// What the engines tell of a container: Docker's `ContainerInspect` and Podman's `InspectContainerData`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    /// Docker puts a `/` before it.
    #[serde(default)]
    name: String,
    /// Podman's only.
    #[serde(default)]
    image_name: Option<String>,
    /// Podman's only: whether it holds a pod's namespaces.
    #[serde(default)]
    is_infra: bool,
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    /// As whoever started the container named it.
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
}

impl Container {
    /// `None` when it is another one: engines take names and beginnings of ids for ids.
    fn into_facts(self, id: &ContainerId, kind: Kind) -> Option<ContainerFacts> {
        let Config { image, labels } = self.config.unwrap_or_default();
        let labels = labels.unwrap_or_default();
        let is_sandbox = labels.get(TYPE_LABEL).is_some_and(|kind| kind == "podsandbox");
        let pod = PodFacts::from_labels(&labels);
        let name = match labels.get(CONTAINER_NAME_LABEL).filter(|_| pod.is_some()) {
            _ if is_sandbox => PAUSE_NAME,
            Some(name) => name,
            None => self.name.strip_prefix('/').unwrap_or(&self.name),
        };
        (self.id == **id).then(|| ContainerFacts {
            id: Arc::clone(id),
            name: text(name).unwrap_or_else(|| Arc::clone(id)),
            pod,
            image: self.image_name.or(image).as_deref().and_then(text),
            runtime: kind.name().into(),
            is_pause: is_sandbox || self.is_infra,
        })
    }
}

async fn collect(answer: Response<Incoming>) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await?.to_bytes())
}

/// Only such ids go into paths.
fn is_hex(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
