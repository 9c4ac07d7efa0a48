//! Metadata of this node's pods from the API server: one list, then one watch while the daemon runs.
//!
//! It needs `list` and `watch` of pods and `get` of their controllers, and never writes. It keeps nothing: the caller
//! gets each change.

mod connector;
mod controllers;
mod failure;
mod owner_reference;
mod pod;
#[cfg(test)]
pub(super) mod server;
#[cfg(test)]
mod tests;
mod token;

use std::{env, path::Path, pin::pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use http_body_util::Limited;
use hyper::Response;
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher::{self, DefaultBackoff, Event, watcher},
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tower::{
    limit::RateLimitLayer,
    util::{MapRequestLayer, MapResponseLayer},
};

pub(super) use self::controllers::Controllers;
#[cfg(fuzzing)]
pub use self::controllers::controller_texts;
pub use self::pod::Pod;
use self::{
    failure::{ApiFailure, description},
    pod::PodObject,
    token::Token,
};
use super::ProviderError;
use crate::{
    blocking::{self, BlockingError, FILE_TIMEOUT, Work},
    files,
};

/// Path of the service account's token in a pod. kube reads it at least once a minute, so it may be rotated.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Set in every container of a cluster.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Pods on a page of a long list. Objects in etcd have at most 1.5 MiB.
const PAGE: u32 = 8;

/// A watch of the pods of one node.
pub(super) struct Kubernetes {
    pods: Api<PodObject>,
    node: Box<str>,
    limits: RequestLimits,
    /// Pause after each failure.
    delays: Box<dyn Iterator<Item = Duration> + Send>,
}

/// A change of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodChange {
    /// A list begins. Pods without a change until `Synced` are gone. The list may break off and begin again.
    Restarted,
    /// It is new, or has changed.
    Applied(Pod),
    /// It is gone.
    Deleted {
        /// Its UID, as in the `PodInfo`.
        uid: Arc<str>,
    },
    /// The list is complete.
    Synced,
}

/// Limits of requests to an API server.
#[derive(Clone, Copy, Debug)]
struct RequestLimits {
    /// Maximum bytes of an answer, list or watch. Memory may briefly hold three times as many.
    answer: usize,
    /// Deadline of a page of a list.
    list: Duration,
    /// Maximum time without a byte, for a dead connection.
    silence: Duration,
    /// Maximum requests in each `period`. The watcher restarts a watch at once after a normal end, however short it
    /// was.
    requests: u64,
    period: Duration,
}

impl RequestLimits {
    /// The server ends a watch after 290 s and the watcher after 295 s, so this timeout is longer.
    const DEFAULT: Self = Self {
        answer: 16 << 20,
        list: Duration::from_mins(1),
        silence: Duration::from_mins(5),
        requests: 5,
        period: Duration::from_secs(10),
    };

    /// Limits of the client for controllers, which asks one at a time.
    const CONTROLLERS: Self = Self {
        answer: 1 << 20,
        silence: Duration::from_secs(10),
        requests: 10,
        period: Duration::from_secs(1),
        ..Self::DEFAULT
    };

    /// Limits of the client for answers with one object each.
    const SHORT: Self = Self { answer: 1 << 20, silence: Duration::from_secs(10), requests: 50, ..Self::DEFAULT };
}

impl Kubernetes {
    /// Whether the process is in a pod with a service account.
    #[must_use]
    pub(super) fn is_in_cluster() -> bool {
        env::var_os(SERVICE_HOST).is_some() && Path::new(TOKEN).exists()
    }

    /// Prepares a watch of the pods of `node`, with the service account of the pod or a kubeconfig. Does not connect
    /// yet. `answered` is called at each answer, even without a change.
    ///
    /// # Errors
    ///
    /// When the service account or the kubeconfig is not readable or not usable.
    pub(super) async fn connect(
        kubeconfig: Option<&Path>,
        node: &str,
        answered: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Result<Self, ProviderError> {
        let config = configuration(kubeconfig).await?;
        Self::with_limits(config, node, RequestLimits::DEFAULT, DefaultBackoff::default(), answered).await
    }

    async fn with_limits(
        config: Config,
        node: &str,
        limits: RequestLimits,
        delays: impl Iterator<Item = Duration> + Send + 'static,
        answered: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Result<Self, ProviderError> {
        let client = client(config, limits, answered).await?;
        Ok(Self { pods: Api::all(client), node: node.into(), limits, delays: Box::new(delays) })
    }

    /// Watches for ever. `change` gets every change, and `failed` each failure once. After a failure, it continues from
    /// the last position if possible, or otherwise with a new list.
    pub(super) async fn watch(mut self, mut change: impl FnMut(PodChange), mut failed: impl FnMut(ProviderError)) {
        let mut in_pages = false;
        loop {
            let failure = self.watch_until_lost(in_pages, &mut change, &mut failed).await;
            in_pages |= failure.is_too_long();
        }
    }

    /// Lists, and then watches until only a new list helps.
    async fn watch_until_lost(
        &mut self,
        in_pages: bool,
        change: &mut impl FnMut(PodChange),
        failed: &mut impl FnMut(ProviderError),
    ) -> ApiFailure {
        let mut events = pin!(watcher(self.pods.clone(), self.request(in_pages)));
        let (mut is_listing, mut has_changes) = (false, false);
        loop {
            match next(&mut events, is_listing.then_some(self.limits.list)).await {
                Ok(event) => {
                    is_listing = matches!(event, Event::Init | Event::InitApply(_));
                    has_changes = matches!(event, Event::Apply(_) | Event::Delete(_));
                    pod_change(event).into_iter().for_each(&mut *change);
                }
                Err(failure) => {
                    // Many changes make a watch long, too.
                    let is_busy = std::mem::take(&mut has_changes) && failure.is_long_watch();
                    if let Some(error) = failure.to_report().filter(|_| !is_busy) {
                        failed(error);
                        sleep(self.delays.next().unwrap_or_default()).await;
                    }
                    if failure.needs_list() {
                        return failure;
                    }
                }
            }
        }
    }

    /// The parameters of lists and watches.
    ///
    /// Lists come from the API server's cache, which indexes pods by node, as the kubelet's do. A list in pages comes
    /// from etcd: the cache has no pages, and kube requests no cache with pages.
    fn request(&self, in_pages: bool) -> watcher::Config {
        let request = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node));
        if in_pages { request.page_size(PAGE) } else { watcher::Config { page_size: None, ..request.any_semantic() } }
    }
}

/// Returns a client for short requests, with the service account of the pod or a kubeconfig.
///
/// # Errors
///
/// When the service account or the kubeconfig is not readable or not usable.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ProviderError> {
    let config = configuration(kubeconfig).await?;
    client(config, RequestLimits::SHORT, || {}).await
}

/// Requests one pod of `node`, to check whether the API server permits listing them.
///
/// # Errors
///
/// The errors that `run` would report.
pub async fn can_list_pods(kubeconfig: Option<&Path>, node: &str) -> Result<(), ProviderError> {
    let pods: Api<PodObject> = Api::all(connect(kubeconfig).await?);
    let one = ListParams::default().fields(&format!("spec.nodeName={node}")).limit(1);
    let Err(error) = pods.list(&one).await else { return Ok(()) };
    let failure = ApiFailure::from(watcher::Error::InitialListFailed(error));
    Err(failure.to_report().unwrap_or_else(|| ProviderError::Answer("the list has expired".to_owned())))
}

/// Reads a kubeconfig, or otherwise the service account.
async fn configuration(kubeconfig: Option<&Path>) -> Result<Config, ProviderError> {
    let (path, runtime) = (kubeconfig.map(Path::to_owned), Handle::current());
    let key = path.as_ref().map_or_else(|| "service account".into(), |path| path.to_string_lossy().into_owned());
    let read = move || {
        let Some(path) = path else {
            return Config::incluster().map_err(|error| ProviderError::Answer(description(&error)));
        };
        let options = KubeConfigOptions::default();
        let unreadable = |error: std::io::Error| ProviderError::Answer(format!("{}: {error}", path.display()));
        // Excludes pipes and endless files. kube reads it and the files in it again.
        files::read(&path).map_err(unreadable)?;
        let file = Kubeconfig::read_from(&path);
        let config = file.and_then(|file| runtime.block_on(Config::from_custom_kubeconfig(file, &options)));
        config.map_err(|error| ProviderError::Answer(description(&error)))
    };
    blocking::run(Work::Kubeconfig, &key, FILE_TIMEOUT, read).await.map_err(|error| hangs(&error))?
}

fn hangs(error: &BlockingError) -> ProviderError {
    ProviderError::Answer(format!("cannot read the kubeconfig or its files: {error}"))
}

/// Returns the next event. A list has a deadline. A watch may be silent, and kube requests it again every 290 s.
async fn next(
    events: &mut (impl Stream<Item = watcher::Result<Event<PodObject>>> + Unpin),
    within: Option<Duration>,
) -> Result<Event<PodObject>, ApiFailure> {
    let event = match within {
        Some(time) => timeout(time, events.next()).await.map_err(|_| ApiFailure::Slow(time))?,
        None => events.next().await,
    };
    event.unwrap_or(Err(watcher::Error::NoResourceVersion)).map_err(ApiFailure::from)
}

/// Returns a client with limits. Files with certificates are read, and a kubeconfig's command is run, in a thread with
/// a deadline.
async fn client(
    mut config: Config,
    limits: RequestLimits,
    answered: impl Fn() + Clone + Send + Sync + 'static,
) -> Result<Client, ProviderError> {
    config.read_timeout = Some(limits.silence);
    config.reset_reader_on_write = true;
    // Failures are reported here, and pauses are made here.
    config.default_retry = false;
    let token = match config.auth_info.token_file.take().filter(|_| config.auth_info.token.is_none()) {
        Some(file) => Some(Token::watch(file.into()).await.map_err(ProviderError::Answer)?),
        None => None,
    };
    let runtime = Handle::current();
    let key = config.cluster_url.to_string();
    let build = move || {
        let _in_runtime = runtime.enter();
        let builder = connector::builder(config)?;
        let builder = builder.with_layer(&MapResponseLayer::new(move |response: Response<_>| {
            if response.status().is_success() {
                answered();
            }
            response.map(|body| Limited::new(body, limits.answer))
        }));
        let add_token = move |request| match &token {
            Some(token) => token.add_to(request),
            None => request,
        };
        let builder = builder.with_layer(&MapRequestLayer::new(add_token));
        Ok(builder.with_layer(&RateLimitLayer::new(limits.requests, limits.period)).build())
    };
    let client = blocking::run(Work::Kubeconfig, &key, FILE_TIMEOUT, build).await.map_err(|error| hangs(&error))?;
    client.map_err(|error: kube::Error| ProviderError::Answer(description(&error)))
}

/// Returns `None` for a pod without a UID, which no API server sends.
fn pod_change(event: Event<PodObject>) -> Option<PodChange> {
    match event {
        Event::Init => Some(PodChange::Restarted),
        Event::InitApply(object) | Event::Apply(object) => object.pod.map(PodChange::Applied),
        Event::Delete(object) => object.pod.map(|pod| PodChange::Deleted { uid: pod.facts.uid }),
        Event::InitDone => Some(PodChange::Synced),
    }
}

/// Interface for fuzz targets: a line of a watch, or a pod of a list.
#[cfg(fuzzing)]
pub fn pod(json: &[u8]) -> Option<Pod> {
    use kube::core::WatchEvent::{self, Added, Deleted, Modified};
    let object = match serde_json::from_slice::<WatchEvent<PodObject>>(json) {
        Ok(Added(object) | Modified(object) | Deleted(object)) => object,
        Ok(WatchEvent::Bookmark(_) | WatchEvent::Error(_)) => return None,
        Err(_) => serde_json::from_slice(json).ok()?,
    };
    object.pod
}
