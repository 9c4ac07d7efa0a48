//! Who knows the names of containers: runtimes over their sockets, and Kubernetes.
//!
//! Each source is a task of its own that puts what it learns into the [`Directory`]. A source that is wrong, slow or gone delays
//! nobody else, is asked again with growing pauses, and says so once.

mod choice;
mod cri;
mod engine;
mod error;
mod kubernetes;
mod owners;
mod socket;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

pub use self::{
    choice::{KubernetesChoice, SocketChoice},
    error::SourceError,
    kubernetes::{Pod, PodChange, can_list_pods, connect as connect_kubernetes},
};
use self::{kubernetes::Kubernetes, socket::Socket};
use super::{Directory, runtimes::Api};

/// What `fuzz/` needs and nobody else: the way from bytes to facts, without a socket.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use super::{cri::facts as cri, engine::facts as engine, kubernetes::pod};
}

/// Pauses after failures, the first and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// A source of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceName {
    /// A runtime's CRI.
    Cri,
    /// Docker's API.
    Docker,
    /// Podman's API.
    Podman,
    /// The Kubernetes API, for pods.
    Kubernetes,
    /// The Kubernetes API, for the controllers of pods.
    #[serde(rename = "kubernetes-owners")]
    KubernetesOwners,
}

impl SourceName {
    /// As metrics and logs call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cri => "cri",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
            Self::KubernetesOwners => "kubernetes-owners",
        }
    }

    /// What is missing where it does not answer.
    fn consequence(self) -> &'static str {
        match self {
            Self::Cri | Self::Docker | Self::Podman | Self::Kubernetes => "gives no names of containers",
            Self::KubernetesOwners => "does not tell which Deployment or CronJob a ReplicaSet or Job belongs to",
        }
    }

    /// The source that an API is.
    #[must_use]
    pub fn of(api: Api) -> Self {
        match api {
            Api::Cri => Self::Cri,
            Api::Docker => Self::Docker,
            Api::Podman => Self::Podman,
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Whom to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// A runtime with a CRI.
    pub cri: SocketChoice,
    /// Docker.
    pub docker: SocketChoice,
    /// Podman.
    pub podman: SocketChoice,
    /// The Kubernetes API.
    pub kubernetes: KubernetesChoice,
    /// How to reach it, where that is not as pods do.
    pub kubeconfig: Option<PathBuf>,
}

impl Sources {
    /// The runtimes, and how each is found.
    #[must_use]
    pub fn sockets(&self) -> [(Api, &SocketChoice); 3] {
        [(Api::Cri, &self.cri), (Api::Docker, &self.docker), (Api::Podman, &self.podman)]
    }

    /// Whether the Kubernetes API is asked.
    #[must_use]
    pub fn asks_kubernetes(&self) -> bool {
        match self.kubernetes {
            KubernetesChoice::Auto => self.kubeconfig.is_some() || Kubernetes::is_in_cluster(),
            KubernetesChoice::On => true,
            KubernetesChoice::Off => false,
        }
    }

    /// Notes who is there to be asked: until they answer, containers wait for their names.
    pub fn expect(&self, directory: &Directory) {
        for (api, choice) in self.sockets() {
            if choice.socket(api).is_some() {
                directory.expect(SourceName::of(api));
            }
        }
        if self.asks_kubernetes() {
            directory.expect(SourceName::Kubernetes);
        }
    }

    /// Starts to ask, until `shutdown`. `node` is the name that Kubernetes has for this host.
    pub fn start(&self, directory: &Directory, node: &str, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) {
        for (api, choice) in self.sockets() {
            if *choice != SocketChoice::Off {
                let socket = Socket::new(api, choice.clone(), directory.clone());
                tasks.spawn(until(shutdown.clone(), socket.run()));
            }
        }
        if self.asks_kubernetes() {
            let watch = watch_pods(self.kubeconfig.clone(), node.to_owned(), directory.clone());
            tasks.spawn(until(shutdown.clone(), watch));
            let owners = owners::keep(self.kubeconfig.clone(), directory.clone());
            tasks.spawn(until(shutdown.clone(), owners));
        }
    }
}

/// Runs until somebody else says that it is enough.
async fn until(shutdown: CancellationToken, work: impl Future<Output = ()>) {
    shutdown.run_until_cancelled(work).await;
}

/// Keeps the pods of this node in the directory.
async fn watch_pods(kubeconfig: Option<PathBuf>, node: String, directory: Directory) {
    let report = Arc::new(Report::new(SourceName::Kubernetes, directory.clone()));
    let answered = {
        let report = Arc::clone(&report);
        move || report.answered()
    };
    let mut pause = FIRST_PAUSE;
    let kubernetes = loop {
        match Kubernetes::connect(kubeconfig.as_deref(), &node, answered.clone()).await {
            Ok(kubernetes) => break kubernetes,
            Err(error) => report.failed(&error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    };
    kubernetes.watch(|change| directory.pod_changed(change), |error| report.failed(&error)).await;
}

/// Tells the world how a source fares: a status, and a line in the log when it changes.
struct Report {
    source: SourceName,
    directory: Directory,
}

impl Report {
    fn new(source: SourceName, directory: Directory) -> Self {
        Self { source, directory }
    }

    fn answered(&self) {
        if self.directory.set_status(self.source, None) {
            tracing::info!(source = self.source.name(), "source of names is up");
        }
    }

    fn failed(&self, error: &SourceError) {
        let problem = chain(error);
        if self.directory.set_status(self.source, Some(problem.clone())) {
            tracing::warn!(source = self.source.name(), "{}; is tried again: {problem}", self.source.consequence());
        }
    }
}

/// An error with its reasons.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let reasons = std::iter::successors(error.source(), |error| error.source());
    std::iter::once(error.to_string()).chain(reasons.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}
