//! Where records are delivered: one file and one row of a table for each kind of sink.

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

/// How long the end of the daemon waits for what is on its way.
const GRACE: Duration = Duration::from_secs(3);

/// Every kind of sink, in the order in which `check` shows them. A new one is a file that implements [`Sink`], and
/// a line here.
const SINKS: &[Kind] = &[Kind::of::<Log>(), Kind::of::<Alertmanager>(), Kind::of::<Webhook>(), Kind::of::<Events>()];

/// A kind of sink: all that is delivered to one place, in one way.
trait Sink: Send + Sized + 'static {
    /// As metrics and logs call it; the second one of a kind is `NAME-2`.
    const NAME: &'static str;

    /// Whether it gets a record whenever a violation goes on, not only when the throttle lets it be sent again.
    const WANTS_UPDATES: bool = false;

    /// Those that are configured, in the order of the configuration.
    fn configured(config: &AlertConfig) -> Vec<Self>;

    /// Delivers what comes into the outbox until `shutdown`. One that delivers record by record hands
    /// this to [`carry`].
    fn run(self, outbox: Arc<Outbox>, shutdown: CancellationToken) -> impl Future<Output = ()> + Send;

    /// Servers that `syscallmon check` connects to.
    fn peers(_config: &AlertConfig) -> Vec<Peer<'_>> {
        Vec::new()
    }
}

/// A sink that takes one record after the other.
trait Deliver: Send {
    fn deliver(&mut self, record: &Record) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

/// A server that takes records.
pub(super) struct Peer<'a> {
    /// Where it is connected to; for one that answers without taking a record, whom to ask whether it is ready.
    pub(super) uri: Uri,
    /// How to be let in.
    pub(super) access: &'a Access,
    /// Whether that is to be asked.
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

/// Starts all that are configured; what is put into the outboxes reaches them.
pub(super) fn start(config: &AlertConfig, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) -> Vec<Arc<Outbox>> {
    SINKS.iter().flat_map(|kind| (kind.start)(config, shutdown, tasks)).collect()
}

/// The servers that take records, each with the name of its kind of sink.
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

/// Gives work a short time to end after the shutdown began.
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

/// Delivers one record after the other, each until it is taken or refused. At the end it tries once more what is left.
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

/// How deliveries to one sink go: counts failures, and logs when that changes.
struct Progress<'a> {
    outbox: &'a Outbox,
    backoff: Backoff,
    /// Whether the last answer was a refusal.
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

    /// The pause until the next attempt.
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
