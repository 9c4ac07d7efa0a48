//! Those who are told: one file each, started here.

mod alertmanager;
mod board;
mod events;
mod log;
mod webhook;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{alertmanager::Alertmanager, events::Events, log::Log, webhook::Webhook};
use super::{AlertConfig, LogTarget, backoff::Backoff, http::Failure, outbox::Outbox, record::Record};

/// How long the end of the daemon waits for what is on its way.
const GRACE: Duration = Duration::from_secs(3);

/// Somebody who is told each record once.
trait Deliver: Send {
    fn deliver(&mut self, record: &Record) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Starts all that are configured; what is put into the outboxes reaches them.
pub(super) fn start(config: &AlertConfig, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) -> Vec<Arc<Outbox>> {
    let mut outboxes = Vec::new();
    let mut outbox = |sink: String, follows| {
        let outbox = Arc::new(Outbox::new(sink, follows));
        outboxes.push(Arc::clone(&outbox));
        outbox
    };
    if config.log != LogTarget::Off {
        let log = Log::new(config.log.clone());
        tasks.spawn(ending(shutdown.clone(), carry(outbox("log".to_owned(), false), log, shutdown.clone())));
    }
    for (index, url) in config.alertmanager.urls.iter().enumerate() {
        let name = if index == 0 { "alertmanager".to_owned() } else { format!("alertmanager-{}", index + 1) };
        let alertmanager = Alertmanager::new(url, &config.alertmanager, outbox(name, true));
        tasks.spawn(ending(shutdown.clone(), alertmanager.run(shutdown.clone())));
    }
    if let Some(webhook) = &config.webhook {
        let outbox = outbox("webhook".to_owned(), false);
        tasks.spawn(ending(shutdown.clone(), carry(outbox, Webhook::new(webhook), shutdown.clone())));
    }
    if config.kubernetes_events {
        let outbox = outbox("kubernetes_events".to_owned(), false);
        let events = Events::new(config.kubeconfig.clone());
        tasks.spawn(ending(shutdown.clone(), carry(outbox, events, shutdown.clone())));
    }
    outboxes
}

/// Lets work end by itself, for a while.
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
            Err(failure @ Failure::Refused(_)) => {
                progress.failed(&failure);
                outbox.refused.fetch_add(1, Relaxed);
            }
            Err(failure) => {
                let pause = progress.failed(&failure);
                outbox.put_back(record);
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
    fn failed(&mut self, failure: &Failure) -> Duration {
        self.outbox.failed.fetch_add(1, Relaxed);
        let sink = self.outbox.sink.as_str();
        match failure {
            Failure::Refused(why) => {
                if !self.is_refused {
                    tracing::error!(sink, "alerts are refused and dropped: {why}");
                }
                self.is_refused = true;
                self.backoff.succeeded();
                Duration::ZERO
            }
            Failure::Retry { why, after } => {
                if !self.backoff.is_failing() {
                    tracing::warn!(sink, "alerts cannot be delivered, are kept and tried again: {why}");
                }
                self.is_refused = false;
                self.backoff.failed(*after)
            }
        }
    }
}
