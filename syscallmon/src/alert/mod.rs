//! Delivery of incidents: to a log, Alertmanagers, a webhook, and Kubernetes.
//!
//! The sampler uses only [`Alerts::notify`], which never waits. The [`throttle`] decides once for all sinks what is
//! sent. Each sink has an [`outbox`] and a task of its own, so a slow or absent one delays no other.

mod config;
mod description;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod line;
mod outbox;
mod peers;
mod quota;
mod record;
mod sink;
mod template;
#[cfg(test)]
mod tests;
mod throttle;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    config::{
        AlertConfig, AlertValueError, Alertmanagers, ExtraHeader, ExtraLabel, HttpClientConfig, LogTarget, RateLimit,
        Template, Url, WebhookConfig,
    },
    outbox::SinkStatus,
    peers::{PeerProblem, check_peers, peer_files},
};
use self::{
    outbox::Outbox,
    throttle::{AlertThrottle, ThrottleDecision},
};
use crate::detect::IncidentNotice;

/// Accepts notices of incidents, and delivers them. The default delivers nothing.
#[derive(Clone, Debug, Default)]
pub struct Alerts(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    throttle: Mutex<AlertThrottle>,
    outboxes: Vec<Arc<Outbox>>,
    /// Set after the last notice: sinks end once their outboxes are empty.
    finished: CancellationToken,
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
}

impl Alerts {
    /// Starts delivery, until `shutdown`. `node` is this host's name.
    #[must_use]
    pub fn start(config: &AlertConfig, node: &str, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) -> Self {
        let finished = CancellationToken::new();
        let outboxes = sink::start(config, &finished, tasks);
        if outboxes.is_empty() {
            return Self::default();
        }
        tasks.spawn(finish_late(shutdown.clone(), finished.clone()));
        let times = (config.repeat_interval, config.incidents.resolve_after);
        let throttle = AlertThrottle::new(node.into(), config.rate_limit, times, Instant::now());
        Self(Some(Arc::new(Shared { throttle: Mutex::new(throttle), outboxes, finished })))
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
        let outboxes = vec![Arc::new(Outbox::new(sink.to_owned(), false))];
        Self(Some(Arc::new(Shared { throttle: Mutex::new(throttle), outboxes, finished: CancellationToken::new() })))
    }

    /// Sends an incident that has changed. Never waits; drops are counted.
    pub fn notify(&self, notice: IncidentNotice) {
        let Some(shared) = &self.0 else { return };
        for ThrottleDecision { record, send } in shared.throttle().note(notice, Instant::now()) {
            for outbox in shared.outboxes.iter().filter(|outbox| send || outbox.gets_every_repeat) {
                outbox.put(record.clone());
            }
        }
    }

    /// Returns the state of delivery.
    #[must_use]
    pub fn status(&self) -> AlertStatus {
        self.0.as_ref().map_or_else(AlertStatus::default, |shared| AlertStatus {
            sinks: shared.outboxes.iter().map(|outbox| outbox.status()).collect(),
            suppressed: shared.throttle().suppressed(),
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
