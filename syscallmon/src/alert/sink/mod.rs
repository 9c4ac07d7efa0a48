//! Sinks: one file, and one row of a table, for each kind.

mod active_alerts;
mod alertmanager;
mod kubernetes_events;
mod log;
mod webhook;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::Uri;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

pub(super) use self::active_alerts::{Alert, AlertState, SharedActiveAlerts};
use self::{alertmanager::Alertmanager, kubernetes_events::KubernetesEvents, log::Log, webhook::WebhookSink};
use super::{
    AlertConfig, Changes, HttpClientConfig, http::DeliveryError, lasting::LastingSink, outbox::Outbox, record::Record,
};
use crate::retry::Backoff;

/// How long the end of the daemon waits for requests in progress.
const GRACE: Duration = Duration::from_secs(3);

/// Every kind of sink, in the order of `check`. A new one is a file that implements [`Sink`], and a line here.
const SINKS: &[SinkRow] = &[
    SinkRow::of::<Log>(),
    SinkRow::of::<Alertmanager>(),
    SinkRow::of::<WebhookSink>(),
    SinkRow::of::<KubernetesEvents>(),
];

/// A kind of sink: a destination and a protocol.
trait Sink: Send + Sized + 'static {
    /// Its name in metrics and logs. The second sink of a kind is `NAME-2`.
    const NAME: &'static str;

    /// Whether it gets every change of an incident, not only those that the throttle sends.
    const GETS_EVERY_REPEAT: bool = false;

    /// Returns the configured sinks, in the order of the configuration.
    fn configured(config: &AlertConfig) -> Vec<Self>;

    /// Returns the alerts that it sends again and again, which outlast the daemon.
    fn active_alerts(&self) -> Option<SharedActiveAlerts> {
        None
    }

    /// Delivers records from the outbox until `shutdown`. A sink that delivers one at a time calls
    /// [`deliver_one_by_one`].
    fn run(self, outbox: Arc<Outbox>, shutdown: CancellationToken) -> impl Future<Output = ()> + Send;

    /// Returns the servers that `syscallmon check` connects to.
    fn peers(_config: &AlertConfig) -> Vec<Peer<'_>> {
        Vec::new()
    }
}

/// A sink that delivers one record at a time.
trait DeliverOne: Send {
    fn deliver(&mut self, record: &Record) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

/// A server of a sink.
pub(super) struct Peer<'a> {
    /// Its URL; for a server with a readiness page, the URL of that page.
    pub(super) uri: Uri,
    /// Credentials, and CA certificates to verify the server by.
    pub(super) client_config: &'a HttpClientConfig,
    /// Whether it has a readiness page.
    pub(super) has_readiness_page: bool,
}

/// A row of [`SINKS`].
struct SinkRow {
    name: &'static str,
    start: fn(&AlertConfig, &mut Start<'_>) -> Vec<Arc<Outbox>>,
    peers: fn(&AlertConfig) -> Vec<Peer<'_>>,
}

impl SinkRow {
    const fn of<S: Sink>() -> Self {
        Self { name: S::NAME, start: start_all::<S>, peers: S::peers }
    }
}

/// What sinks are started with.
pub(super) struct Start<'a> {
    /// What earlier sinks did not deliver.
    pub(super) lasting: Vec<LastingSink>,
    pub(super) changes: &'a Arc<Changes>,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) tasks: &'a mut JoinSet<()>,
}

/// Starts all configured sinks. They deliver the records in their outboxes.
pub(super) fn start(config: &AlertConfig, mut start: Start<'_>) -> Vec<Arc<Outbox>> {
    let outboxes = SINKS.iter().flat_map(|row| (row.start)(config, &mut start)).collect();
    for LastingSink { sink, records, .. } in start.lasting.iter().filter(|lasting| !lasting.records.is_empty()) {
        let alerts = records.len();
        tracing::warn!(sink, alerts, "dropped undelivered alerts: the sink is not configured any longer");
    }
    outboxes
}

/// Returns the servers of all sinks, each with the name of the kind.
pub(super) fn peers(config: &AlertConfig) -> impl Iterator<Item = (&'static str, Peer<'_>)> {
    SINKS.iter().flat_map(|row| (row.peers)(config).into_iter().map(|peer| (row.name, peer)))
}

/// Starts the configured sinks of a kind.
fn start_all<S: Sink>(config: &AlertConfig, start: &mut Start<'_>) -> Vec<Arc<Outbox>> {
    let Start { lasting, changes, shutdown, tasks } = start;
    let start = |(index, sink): (usize, S)| {
        let name = if index == 0 { S::NAME.to_owned() } else { format!("{}-{}", S::NAME, index + 1) };
        let earlier = lasting.iter().position(|lasting| lasting.sink == name).map(|at| lasting.swap_remove(at));
        let outbox = Outbox::new(name, S::GETS_EVERY_REPEAT, sink.active_alerts(), Arc::clone(changes));
        let outbox = Arc::new(outbox);
        if let Some(earlier) = earlier {
            outbox.take_over(earlier);
        }
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
async fn deliver_one_by_one(outbox: Arc<Outbox>, mut sink: impl DeliverOne, shutdown: CancellationToken) {
    let mut state = DeliveryState::new(&outbox);
    loop {
        let record = tokio::select! {
            biased;
            record = outbox.next() => record,
            () = shutdown.cancelled() => return,
        };
        match sink.deliver(&record).await {
            Ok(()) => {
                outbox.delivered(1);
                state.succeeded();
            }
            Err(failure @ DeliveryError::Refused(_)) => {
                state.failed(&failure);
                outbox.rejected(1);
            }
            Err(failure) => {
                let pause = state.failed(&failure);
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
struct DeliveryState<'a> {
    outbox: &'a Outbox,
    backoff: Backoff,
    /// Whether the last answer was a rejection.
    is_refused: bool,
}

impl<'a> DeliveryState<'a> {
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
