//! Asks a runtime over its socket about requested containers.

use std::{
    io,
    marker::PhantomData,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::UnixStream,
    time::{Instant, sleep, sleep_until},
};

use super::{Context, Provider, ProviderError, ProviderName, ProviderSettings, Report, SocketChoice};
use crate::{
    blocking::{self, FILE_TIMEOUT, Work},
    retry::Backoff,
    workload::{ContainerId, ContainerInfo, MetadataCache, runtimes::Api},
};

/// Minimum time between requests. Containers that are requested meanwhile share the next one.
const PAUSE: Duration = Duration::from_millis(50);

/// Minimum time until a known container is asked about again, because it may have been renamed.
const RECHECK: Duration = Duration::from_secs(30);

/// Interval of checks whether a missing runtime was installed.
const RESCAN: Duration = Duration::from_secs(10);

/// A container runtime's API at a socket.
pub(super) trait RuntimeClient: Send + Sized + 'static {
    /// The API.
    const API: Api;

    /// Maximum containers in one request.
    const MAX_CONTAINERS: usize;

    /// Number of known containers in one request, because they may have been renamed, and the interval of such
    /// requests. `None` if containers cannot be renamed.
    const RECHECKS: Option<(usize, Duration)>;

    /// Whether a connection starts it. Then it is connected to only for requests.
    const IS_STARTED_BY_CONNECTING: bool;

    /// Setting of its socket.
    fn choice(sources: &ProviderSettings) -> &SocketChoice;

    /// Returns a client, which connects at the first request.
    fn new(socket: PathBuf) -> Self;

    /// Whether it is there.
    fn check(&mut self) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// Returns metadata of those `ids` that it knows.
    fn look_up(
        &mut self,
        ids: &[ContainerId],
    ) -> impl Future<Output = Result<Vec<ContainerInfo>, ProviderError>> + Send;
}

/// A provider at a socket.
pub(super) struct Socket<R> {
    choice: SocketChoice,
    cache: MetadataCache,
    report: Report,
    runtime: PhantomData<fn() -> R>,
}

impl<R: RuntimeClient> Provider for Socket<R> {
    const NAME: ProviderName = ProviderName::of(R::API);

    fn configured(context: &Context<'_>) -> Option<Self> {
        let (choice, cache) = (R::choice(context.sources), context.cache.clone());
        let report = Report::new(Self::NAME, cache.clone());
        let socket = || Self { choice: choice.clone(), cache, report, runtime: PhantomData };
        (*choice != SocketChoice::Off).then(socket)
    }

    fn is_awaited(sources: &ProviderSettings) -> bool {
        R::choice(sources).socket(R::API).is_some()
    }

    fn socket(sources: &ProviderSettings) -> Option<(Api, &SocketChoice)> {
        Some((R::API, R::choice(sources)))
    }

    async fn run(self) {
        loop {
            if let Some(socket) = self.find_socket().await {
                self.ask_over(&socket).await;
            }
            // Not installed, or another program's socket: no problem.
            self.cache.remove_status(Self::NAME);
            sleep(RESCAN).await;
        }
    }
}

impl<R: RuntimeClient> Socket<R> {
    /// Returns the socket to connect to, if one exists now.
    async fn find_socket(&self) -> Option<PathBuf> {
        let choice = self.choice.clone();
        blocking::run(Work::Socket, Self::NAME.name(), FILE_TIMEOUT, move || choice.socket(R::API))
            .await
            .unwrap_or_default()
    }

    /// Asks about containers. They are asked about again later, whatever the answer.
    async fn look_up(&self, runtime: &mut R, ids: &[ContainerId]) -> Result<(), ProviderError> {
        let answer = runtime.look_up(ids).await;
        let (facts, result) = match answer {
            Ok(facts) => (facts, Ok(())),
            // Others may come first the next time.
            Err(error @ ProviderError::Timeout(_)) => (Vec::new(), Err(error)),
            Err(error) => return Err(error),
        };
        self.cache.answered(Self::NAME, ids, facts);
        result
    }

    /// Returns known containers to ask about now. `next` is when there may be more.
    fn stale(&self, next: &mut Instant) -> Vec<ContainerId> {
        let Some((most, pause)) = R::RECHECKS else { return Vec::new() };
        if *next > Instant::now() {
            return Vec::new();
        }
        *next = Instant::now() + pause;
        self.cache.stale(R::API, RECHECK, most)
    }

    /// Sends requests over this socket while it is the configured one.
    async fn ask_over(&self, socket: &PathBuf) {
        let mut wanted = self.cache.wanted();
        let mut runtime = R::new(socket.clone());
        let mut backoff = Backoff::default();
        let mut is_known_to_be_there = R::IS_STARTED_BY_CONNECTING;
        let mut next_recheck = Instant::now();
        while self.find_socket().await.as_ref() == Some(socket) {
            // A few at a time, also while unknown containers arrive without end.
            let mut ids = if is_known_to_be_there { self.stale(&mut next_recheck) } else { Vec::new() };
            let next = match self.cache.due(R::API, R::MAX_CONTAINERS) {
                Ok(due) => {
                    ids.extend(due);
                    None
                }
                Err(next) => next,
            };
            let answer = if !ids.is_empty() {
                self.look_up(&mut runtime, &ids).await
            } else if !is_known_to_be_there {
                runtime.check().await
            } else {
                let next = next.map_or_else(|| Instant::now() + RESCAN, Instant::from_std);
                let next = if R::RECHECKS.is_some() { next.min(next_recheck) } else { next };
                tokio::select! {
                    () = wanted.changed() => {}
                    () = sleep_until(next) => {}
                }
                continue;
            };
            is_known_to_be_there = answer.is_ok();
            match answer {
                Ok(()) => {
                    self.report.answered();
                    backoff.succeeded();
                    sleep(PAUSE).await;
                }
                // For example containerd as part of Docker.
                Err(ProviderError::Absent(_)) if self.choice == SocketChoice::Auto => return,
                Err(error) => {
                    self.report.failed(&error);
                    sleep(backoff.failed(None)).await;
                }
            }
        }
    }
}

/// Connects in a thread, because a path can be on a file system that hangs.
pub(super) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let path = socket.to_owned();
    let connect = move || std::os::unix::net::UnixStream::connect(path);
    let stream = blocking::file(Work::Socket, &socket.to_string_lossy(), connect).await?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
