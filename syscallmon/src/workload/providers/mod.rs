//! Metadata providers: container runtimes over their sockets, and the Kubernetes API.
//!
//! Each provider is a task that puts metadata into the [`MetadataCache`]. A provider that is broken, slow or gone
//! delays no other. It is asked again with growing pauses, and logs one message.

mod choice;
mod cri;
mod engine;
mod error;
mod kubernetes;
mod owners;
mod pods;
mod socket;

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::{
    choice::{KubernetesChoice, SocketChoice},
    error::ProviderError,
    kubernetes::{Pod, PodChange, can_list_pods, connect as connect_kubernetes},
};
use self::{
    cri::Cri,
    engine::{Docker, Podman},
    kubernetes::Kubernetes,
    owners::Owners,
    pods::Pods,
    socket::Socket,
};
use super::{MetadataCache, runtimes::Api};
use crate::error_report::chain;

/// Interface for fuzz targets: from bytes to metadata, without a socket.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use super::{
        cri::facts as cri,
        engine::facts as engine,
        kubernetes::{controller_texts, pod},
    };
}

/// A metadata provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderName {
    /// A runtime's CRI.
    Cri,
    /// Docker's API.
    Docker,
    /// Podman's API.
    Podman,
    /// The Kubernetes API, for pods.
    Kubernetes,
    /// The Kubernetes API, for the controllers of pods.
    KubernetesOwners,
}

impl ProviderName {
    /// Returns its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// Returns its name in `syscallmon check`.
    #[must_use]
    pub fn finding(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Cri => ("cri", "names cri"),
            Self::Docker => ("docker", "names docker"),
            Self::Podman => ("podman", "names podman"),
            Self::Kubernetes => ("kubernetes", "kubernetes"),
            Self::KubernetesOwners => ("kubernetes-owners", "kubernetes owners"),
        }
    }

    /// Returns the provider of an API.
    #[must_use]
    pub const fn of(api: Api) -> Self {
        match api {
            Api::Cri => Self::Cri,
            Api::Docker => Self::Docker,
            Api::Podman => Self::Podman,
        }
    }
}

impl Serialize for ProviderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Settings of all providers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderSettings {
    /// A runtime with a CRI.
    pub cri: SocketChoice,
    /// Docker.
    pub docker: SocketChoice,
    /// Podman.
    pub podman: SocketChoice,
    /// The Kubernetes API.
    pub kubernetes: KubernetesChoice,
    /// The kubeconfig, if the service account is not used.
    pub kubeconfig: Option<PathBuf>,
}

impl ProviderSettings {
    /// Returns the runtimes with a socket, and the setting of each.
    pub fn sockets(&self) -> impl Iterator<Item = (Api, &SocketChoice)> {
        PROVIDERS.iter().filter_map(|provider| (provider.socket)(self))
    }

    /// Whether the Kubernetes API is used.
    #[must_use]
    pub fn asks_kubernetes(&self) -> bool {
        match self.kubernetes {
            KubernetesChoice::Auto => self.kubeconfig.is_some() || Kubernetes::is_in_cluster(),
            KubernetesChoice::On => true,
            KubernetesChoice::Off => false,
        }
    }

    /// Adds the providers that exist. Until they answer, containers wait for their names.
    pub fn expect(&self, cache: &MetadataCache) {
        for provider in PROVIDERS.iter().filter(|provider| (provider.is_awaited)(self)) {
            cache.expect(provider.name);
        }
    }

    /// Starts all providers, until `shutdown`. `node` is the name of this host in Kubernetes.
    pub fn start(&self, cache: &MetadataCache, node: &str, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) {
        let context = Context { sources: self, cache, node };
        for provider in PROVIDERS {
            (provider.start)(&context, shutdown, tasks);
        }
    }
}

/// Every provider. A new one is a file that implements [`Provider`], and a row here. A container runtime with an API of
/// its own implements [`socket::RuntimeClient`], and is a [`Socket`].
const PROVIDERS: &[ProviderRow] = &[
    ProviderRow::of::<Socket<Cri>>(),
    ProviderRow::of::<Socket<Docker>>(),
    ProviderRow::of::<Socket<Podman>>(),
    ProviderRow::of::<Pods>(),
    ProviderRow::of::<Owners>(),
];

/// A task that puts metadata into the cache.
trait Provider: Send + Sized + 'static {
    /// Its name in metrics and logs.
    const NAME: ProviderName;

    /// Returns the provider, if the configuration has it.
    fn configured(context: &Context<'_>) -> Option<Self>;

    /// Whether containers wait for its first answer: it is configured and exists.
    fn is_awaited(sources: &ProviderSettings) -> bool;

    /// Returns its API and the setting of its socket, if it has one.
    fn socket(_sources: &ProviderSettings) -> Option<(Api, &SocketChoice)> {
        None
    }

    /// Provides metadata for ever.
    fn run(self) -> impl Future<Output = ()> + Send;
}

/// Parts of a provider.
struct Context<'a> {
    sources: &'a ProviderSettings,
    cache: &'a MetadataCache,
    /// The name of this host in Kubernetes.
    node: &'a str,
}

/// A row of [`PROVIDERS`].
struct ProviderRow {
    name: ProviderName,
    is_awaited: fn(&ProviderSettings) -> bool,
    socket: fn(&ProviderSettings) -> Option<(Api, &SocketChoice)>,
    start: fn(&Context<'_>, &CancellationToken, &mut JoinSet<()>),
}

impl ProviderRow {
    const fn of<P: Provider>() -> Self {
        Self { name: P::NAME, is_awaited: P::is_awaited, socket: P::socket, start: start::<P> }
    }
}

fn start<P: Provider>(context: &Context<'_>, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) {
    if let Some(provider) = P::configured(context) {
        tasks.spawn(until(shutdown.clone(), provider.run()));
    }
}

/// Runs until the task is cancelled.
async fn until(shutdown: CancellationToken, work: impl Future<Output = ()>) {
    shutdown.run_until_cancelled(work).await;
}

/// Reports the state of a provider: a status, and a log message when it changes.
struct Report {
    source: ProviderName,
    /// The missing metadata, if it does not answer.
    failed_action: &'static str,
    cache: MetadataCache,
}

impl Report {
    /// Returns the reporter for a provider of names.
    fn new(source: ProviderName, cache: MetadataCache) -> Self {
        Self { source, failed_action: "cannot read container names", cache }
    }

    fn answered(&self) {
        if self.cache.set_status(self.source, None) {
            tracing::info!(source = self.source.name(), "metadata provider is up");
        }
    }

    fn failed(&self, error: &ProviderError) {
        let problem = chain(error);
        if self.cache.set_status(self.source, Some(problem.clone())) {
            tracing::warn!(source = self.source.name(), "{}; retrying: {problem}", self.failed_action);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::RUNTIMES;

    #[test]
    fn every_api_of_a_runtime_has_a_provider_and_every_provider_one_row() {
        let asked: Vec<Api> = ProviderSettings::default().sockets().map(|(api, _)| api).collect();
        for runtime in RUNTIMES {
            assert!(runtime.api.is_none_or(|api| asked.contains(&api)), "{}", runtime.name);
        }
        for (index, provider) in PROVIDERS.iter().enumerate() {
            assert!(PROVIDERS[..index].iter().all(|other| other.name != provider.name), "{}", provider.name);
        }
    }
}
