//! Delivery of incidents: to a log, Alertmanagers, a webhook, and Kubernetes.
//!
//! The sampler uses only [`Alerts::notify`], which never waits. The [`throttle`] decides once for all sinks what is
//! sent. Each sink has an [`outbox`] and a task of its own, so a slow or absent one delays no other.

mod config;
mod description;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod lasting;
mod line;
mod outbox;
mod peers;
mod quota;
mod record;
mod sink;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod throttle;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    config::{
        AlertConfig, AlertValueError, Alertmanagers, ExtraHeader, ExtraLabel, HttpClientConfig, LogTarget, RateLimit,
        Template, Url, WebhookConfig,
    },
    lasting::{LastingDelivery, SavedDelivery},
    outbox::SinkStatus,
    peers::{PeerProblem, check_peers, peer_files},
};
use self::{
    outbox::Outbox,
    sink::Start,
    throttle::{AlertThrottle, ThrottleDecision},
};
use crate::detect::{IncidentNotice, IncidentState};

/// Accepts notices of incidents, and delivers them. The default delivers nothing.
#[derive(Clone, Debug, Default)]
pub struct Alerts(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    throttle: Mutex<AlertThrottle>,
    outboxes: Vec<Arc<Outbox>>,
    /// Set after the last notice: sinks end once their outboxes are empty.
    finished: CancellationToken,
    changes: Arc<Changes>,
}

/// Changes of what outlasts the daemon, and whether they are on disk.
#[derive(Debug, Default)]
pub(super) struct Changes {
    number: AtomicU64,
    changed: Notify,
    stored: Mutex<AlertStoreStatus>,
}

/// State of the alerts on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertStoreStatus {
    /// Whether they are stored; `None` before the first one.
    pub is_up: Option<bool>,
    /// Number of failed reads and writes.
    pub errors: u64,
}

impl Changes {
    /// Notes a change that must not get lost.
    pub(super) fn note(&self) {
        self.number.fetch_add(1, Relaxed);
        self.changed.notify_one();
    }
}

/// How long sinks wait for the last notice after the shutdown began.
const LAST_NOTICE: Duration = Duration::from_secs(1);

/// State of delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertStatus {
    /// State of each sink.
    pub sinks: Vec<SinkStatus>,
    /// New violations that were not sent because their workload and policy had too many.
    pub suppressed: u64,
    /// State of the alerts on disk.
    pub store: AlertStoreStatus,
}

impl Alerts {
    /// Starts delivery, until `shutdown`. `node` is this host's name. `lasting` is what an earlier daemon left.
    #[must_use]
    pub fn start(
        config: &AlertConfig,
        node: &str,
        lasting: LastingDelivery,
        shutdown: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (finished, changes) = (CancellationToken::new(), Arc::default());
        let LastingDelivery { sent, sinks } = lasting;
        let outboxes = sink::start(config, Start { lasting: sinks, changes: &changes, shutdown: &finished, tasks });
        if outboxes.is_empty() {
            return Self::default();
        }
        tasks.spawn(finish_late(shutdown.clone(), finished.clone()));
        let times = (config.repeat_interval, config.incidents.resolve_after);
        let mut throttle = AlertThrottle::new(node.into(), config.rate_limit, times, Instant::now());
        throttle.take_over(sent);
        Self(Some(Arc::new(Shared { throttle: Mutex::new(throttle), outboxes, finished, changes })))
    }

    /// Returns what outlasts the daemon.
    #[must_use]
    pub fn lasting(&self) -> LastingDelivery {
        self.0.as_ref().map_or_else(LastingDelivery::default, |shared| LastingDelivery {
            sent: shared.throttle().lasting(),
            sinks: shared.outboxes.iter().map(|outbox| outbox.lasting()).collect(),
        })
    }

    /// Delivers the records that wait in another daemon's delivery, each by the sink of the same name. Returns how many
    /// there are.
    #[must_use]
    pub fn deliver_too(&self, lasting: LastingDelivery) -> usize {
        let mut number = 0;
        for sink in lasting.sinks {
            let outboxes = self.0.iter().flat_map(|shared| &shared.outboxes);
            let Some(outbox) = outboxes.into_iter().find(|outbox| outbox.sink == sink.sink) else { continue };
            number += sink.records.len();
            sink.records.into_iter().for_each(|record| outbox.requeue(record));
        }
        number
    }

    /// Returns a number that rises with changes of what outlasts the daemon.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.changes.number.load(Relaxed))
    }

    /// Returns after a change that must not get lost; never, if nothing is delivered.
    pub async fn changed(&self) {
        match &self.0 {
            Some(shared) => shared.changes.changed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Sets the state of what outlasts the daemon on disk.
    pub fn set_stored(&self, status: AlertStoreStatus) {
        if let Some(shared) = &self.0 {
            *shared.changes.stored.lock().unwrap_or_else(PoisonError::into_inner) = status;
        }
    }

    /// Says that no notice follows: sinks end once they have delivered what waits.
    pub fn finish(&self) {
        if let Some(shared) = &self.0 {
            shared.finished.cancel();
        }
    }

    /// Returns delivery to one sink that takes nothing.
    #[cfg(test)]
    pub(crate) fn to_nobody(sink: &str) -> Self {
        let times = (Duration::MAX, Duration::MAX);
        let throttle = AlertThrottle::new("node".into(), RateLimit::default(), times, Instant::now());
        let changes = Arc::default();
        let outboxes = vec![Arc::new(Outbox::new(sink.to_owned(), false, None, Arc::clone(&changes)))];
        let finished = CancellationToken::new();
        Self(Some(Arc::new(Shared { throttle: Mutex::new(throttle), outboxes, finished, changes })))
    }

    /// Sends an incident that has changed. Never waits; drops are counted.
    pub fn notify(&self, notice: IncidentNotice) {
        let Some(shared) = &self.0 else { return };
        for ThrottleDecision { record, send } in shared.throttle().note(notice, Instant::now()) {
            let is_news = send || record.state() != IncidentState::Repeated;
            for outbox in shared.outboxes.iter().filter(|outbox| send || outbox.gets_every_repeat) {
                outbox.put(record.clone());
            }
            if is_news {
                shared.changes.note();
            }
        }
    }

    /// Returns the state of delivery.
    #[must_use]
    pub fn status(&self) -> AlertStatus {
        self.0.as_ref().map_or_else(AlertStatus::default, |shared| AlertStatus {
            sinks: shared.outboxes.iter().map(|outbox| outbox.status()).collect(),
            suppressed: shared.throttle().suppressed(),
            store: *shared.changes.stored.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }
}

/// Ends the sinks a little after the shutdown began, in case nobody says which notice is the last.
async fn finish_late(shutdown: CancellationToken, finished: CancellationToken) {
    shutdown.cancelled().await;
    let _ = timeout(LAST_NOTICE, finished.cancelled()).await;
    finished.cancel();
}

impl Shared {
    fn throttle(&self) -> MutexGuard<'_, AlertThrottle> {
        // A thread that panicked while it had the lock left a valid throttle.
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
