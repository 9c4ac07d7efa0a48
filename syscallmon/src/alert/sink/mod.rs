//! Sinks: one file, and one row of a table, for each kind.

mod active_alerts;
mod alertmanager;
mod events;
mod log;
mod webhook;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::Uri;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{alertmanager::Alertmanager, events::Events, log::Log, webhook::Webhook};
use super::{Access, AlertConfig, http::DeliveryError, outbox::Outbox, record::Record};
use crate::retry::Backoff;

/// How long the end of the daemon waits for requests in progress.
const GRACE: Duration = Duration::from_secs(3);

/// Every kind of sink, in the order of `check`. A new one is a file that implements [`Sink`], and a line here.
const SINKS: &[Kind] = &[Kind::of::<Log>(), Kind::of::<Alertmanager>(), Kind::of::<Webhook>(), Kind::of::<Events>()];

/// A kind of sink: a destination and a protocol.
trait Sink: Send + Sized + 'static {
    /// Its name in metrics and logs. The second sink of a kind is `NAME-2`.
    const NAME: &'static str;

    /// Whether it gets every repeat of a violation, not only those that the throttle sends.
    const WANTS_UPDATES: bool = false;

    /// Returns the configured sinks, in the order of the configuration.
    fn configured(config: &AlertConfig) -> Vec<Self>;

    /// Delivers records from the outbox until `shutdown`. A sink that delivers one at a time calls [`carry`].
    fn run(self, outbox: Arc<Outbox>, shutdown: CancellationToken) -> impl Future<Output = ()> + Send;

    /// Returns the servers that `syscallmon check` connects to.
    fn peers(_config: &AlertConfig) -> Vec<Peer<'_>> {
        Vec::new()
    }
}

/// A sink that delivers one record at a time.
trait Deliver: Send {
    fn deliver(&mut self, record: &Record) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

/// A server of a sink.
pub(super) struct Peer<'a> {
    /// Its URL; for a server with a readiness page, the URL of that page.
    pub(super) uri: Uri,
    /// Credentials and trust.
    pub(super) access: &'a Access,
    /// Whether it has a readiness page.
    pub(super) is_asked: bool,
}

/// A row of [`SINKS`].
struct Kind {
    name: &'static str,
    start: fn(&AlertConfig, &CancellationToken, &mut JoinSet<()>) -> Vec<Arc<Outbox>>,
    peers: fn(&AlertConfig) -> Vec<Peer<'_>>,
}

impl Kind {
    const fn of<S: Sink>() -> Self {
        Self { name: S::NAME, start: start_kind::<S>, peers: S::peers }
    }
}

/// Starts all configured sinks. They deliver the records in their outboxes.
pub(super) fn start(config: &AlertConfig, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) -> Vec<Arc<Outbox>> {
    SINKS.iter().flat_map(|kind| (kind.start)(config, shutdown, tasks)).collect()
}

/// Returns the servers of all sinks, each with the name of the kind.
pub(super) fn peers(config: &AlertConfig) -> impl Iterator<Item = (&'static str, Peer<'_>)> {
    SINKS.iter().flat_map(|kind| (kind.peers)(config).into_iter().map(|peer| (kind.name, peer)))
}

fn start_kind<S: Sink>(
    config: &AlertConfig,
    shutdown: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Vec<Arc<Outbox>> {
    let start = |(index, sink): (usize, S)| {
        let name = if index == 0 { S::NAME.to_owned() } else { format!("{}-{}", S::NAME, index + 1) };
        let outbox = Arc::new(Outbox::new(name, S::WANTS_UPDATES));
        tasks.spawn(ending(shutdown.clone(), sink.run(Arc::clone(&outbox), shutdown.clone())));
        outbox
    };
    S::configured(config).into_iter().enumerate().map(start).collect()
}

/// Gives work a short time to finish after the shutdown began.
async fn ending(shutdown: CancellationToken, work: impl Future<Output = ()>) {
    let too_late = async {
        shutdown.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        () = work => {}
        () = too_late => {}
    }
}

/// Delivers one record at a time, each until it is accepted or rejected. At the end, it tries once more.
async fn carry(outbox: Arc<Outbox>, mut sink: impl Deliver, shutdown: CancellationToken) {
    let mut progress = Progress::new(&outbox);
    loop {
        let record = tokio::select! {
            biased;
            record = outbox.next() => record,
            () = shutdown.cancelled() => return,
        };
        match sink.deliver(&record).await {
            Ok(()) => {
                outbox.delivered(1);
                progress.succeeded();
            }
            Err(failure @ DeliveryError::Refused(_)) => {
                progress.failed(&failure);
                outbox.refused.fetch_add(1, Relaxed);
            }
            Err(failure) => {
                let pause = progress.failed(&failure);
                outbox.requeue(record);
                if shutdown.is_cancelled() {
                    return;
                }
                shutdown.run_until_cancelled(sleep(pause)).await;
            }
        }
    }
}

/// State of deliveries to one sink. Counts failures, and logs changes.
struct Progress<'a> {
    outbox: &'a Outbox,
    backoff: Backoff,
    /// Whether the last answer was a rejection.
    is_refused: bool,
}

impl<'a> Progress<'a> {
    fn new(outbox: &'a Outbox) -> Self {
        Self { outbox, backoff: Backoff::default(), is_refused: false }
    }

    fn succeeded(&mut self) {
        if self.backoff.is_failing() || self.is_refused {
            tracing::info!(sink = self.outbox.sink, "alerts are delivered again");
        }
        self.backoff.succeeded();
        self.is_refused = false;
    }

    /// Returns the pause until the next attempt.
    fn failed(&mut self, failure: &DeliveryError) -> Duration {
        self.outbox.failed.fetch_add(1, Relaxed);
        let sink = self.outbox.sink.as_str();
        match failure {
            DeliveryError::Refused(why) => {
                if !self.is_refused {
                    tracing::error!(sink, "the receiver rejected alerts; they are dropped: {why}");
                }
                self.is_refused = true;
                self.backoff.succeeded();
                Duration::ZERO
            }
            DeliveryError::Retry { why, after } => {
                if !self.backoff.is_failing() {
                    tracing::warn!(sink, "cannot deliver alerts; retrying: {why}");
                }
                self.is_refused = false;
                self.backoff.failed(*after)
            }
        }
    }
}
