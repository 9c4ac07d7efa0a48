//! One Alertmanager, by its API v2: an active alert is sent every minute, and a quiet one is resolved.
//!
//! An Alertmanager identifies alerts by their labels. So an alert that is sent again is not a new one, and several
//! Alertmanagers of a cluster notify once. Alerts from an outage are sent after it, in their newest state.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    DeliveryState, Peer, Sink,
    active_alerts::{Alert, RequestOutcome, SharedActiveAlerts},
};
use crate::alert::{
    AlertConfig, Alertmanagers, ExtraLabel, Url,
    description::description,
    http::{DeliveryError, Http},
    outbox::Outbox,
    record::{Content, Record},
};

/// How long an Alertmanager keeps an alert that is not sent again. A few requests may get lost.
const VALID: Duration = Duration::from_mins(5);
/// Maximum bytes of a description.
const DESCRIPTION: usize = 8 << 10;

pub(super) struct Alertmanager {
    http: Http,
    labels: Vec<ExtraLabel>,
    active_alerts: SharedActiveAlerts,
}

impl Alertmanager {
    fn new(url: &Url, config: &Alertmanagers) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let http = Http::new(url.below("/api/v2/alerts"), config.client_config.clone(), headers);
        Self { http, labels: config.labels.clone(), active_alerts: SharedActiveAlerts::new(config.resolve_after) }
    }

    fn upsert(&mut self, record: Record, outbox: &Outbox) {
        let dropped = self.active_alerts.lock().upsert(record, Instant::now());
        outbox.queue_full.fetch_add(dropped as u64, Relaxed);
        outbox.settle();
    }

    /// Returns the request for the due alerts.
    fn body(&self) -> String {
        let mut active = self.active_alerts.lock();
        let batch = active.batch(Instant::now());
        let alerts: Vec<Value> = batch.iter().map(|(alert, is_over)| post(alert, *is_over, &self.labels)).collect();
        Value::Array(alerts).to_string()
    }

    /// Sends the due alerts. Returns how long to wait before the next request.
    async fn send(&mut self, outbox: &Outbox, state: &mut DeliveryState<'_>) -> Duration {
        let body = self.body();
        let sent = self.http.post(body).await;
        let outcome = match &sent {
            Ok(()) => RequestOutcome::Delivered,
            Err(DeliveryError::Refused(_)) => RequestOutcome::Refused,
            Err(DeliveryError::Retry { .. }) => RequestOutcome::Failed,
        };
        let changes = self.active_alerts.lock().complete_batch(outcome, Instant::now());
        match sent {
            Ok(()) => {
                outbox.delivered(changes);
                state.succeeded();
                Duration::ZERO
            }
            Err(failure) => {
                outbox.rejected(changes);
                state.failed(&failure)
            }
        }
    }
}

impl Sink for Alertmanager {
    const NAME: &'static str = "alertmanager";
    const GETS_EVERY_REPEAT: bool = true;

    fn configured(config: &AlertConfig) -> Vec<Self> {
        config.alertmanager.urls.iter().map(|url| Self::new(url, &config.alertmanager)).collect()
    }

    fn active_alerts(&self) -> Option<SharedActiveAlerts> {
        Some(self.active_alerts.clone())
    }

    async fn run(mut self, outbox: Arc<Outbox>, shutdown: CancellationToken) {
        let mut state = DeliveryState::new(&outbox);
        let mut blocked_until = Instant::now();
        loop {
            // All waiting records are put into one request.
            while let Some(record) = outbox.take() {
                self.upsert(record, &outbox);
            }
            outbox.held.store(self.active_alerts.lock().undelivered() as u64, Relaxed);
            let wake = self.active_alerts.lock().due().map(|due| due.max(blocked_until));
            if wake.is_some_and(|wake| wake <= Instant::now()) {
                let pause = self.send(&outbox, &mut state).await;
                blocked_until = Instant::now() + pause;
                continue;
            }
            tokio::select! {
                biased;
                record = outbox.next() => self.upsert(record, &outbox),
                () = shutdown.cancelled() => return,
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn peers(config: &AlertConfig) -> Vec<Peer<'_>> {
        let Alertmanagers { urls, client_config, .. } = &config.alertmanager;
        let peer = |url: &Url| Peer { uri: url.below("/-/ready"), client_config, has_readiness_page: true };
        urls.iter().map(peer).collect()
    }
}

/// An alert in the form of the API.
fn post(alert: &Alert, is_over: bool, extra: &[ExtraLabel]) -> Value {
    let record = &alert.record;
    let (starts_at, ends_at) = span(alert.starts_at, SystemTime::now(), is_over);
    let time = |time| humantime::format_rfc3339_millis(time).to_string();
    json!({
        "labels": labels(record, extra),
        "annotations": {
            "summary": record.message(),
            "description": description(record, DESCRIPTION),
            "runbook_url": record.runbook(),
        },
        "generatorURL": record.runbook(),
        "startsAt": time(starts_at),
        "endsAt": time(ends_at),
    })
}

/// Returns its start and end, as known so far. If the clock was set back, the start is now, because an end before the
/// start is rejected.
fn span(starts_at: SystemTime, now: SystemTime, is_over: bool) -> (SystemTime, SystemTime) {
    (starts_at.min(now), if is_over { now } else { now + VALID })
}

/// Returns the labels that identify the alert: the same in every request. An incident with a higher severity than
/// before is another alert, so routes by severity work.
fn labels<'a>(record: &'a Record, extra: &'a [ExtraLabel]) -> BTreeMap<&'a str, Cow<'a, str>> {
    let mut labels: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    labels.extend(record.workload().labels().map(|(name, value)| (name, Cow::from(value))));
    labels.extend(extra.iter().map(|label| (label.name.as_str(), Cow::from(label.value.as_str()))));
    let name = match &record.content {
        Content::Incident(incident) => {
            labels.insert("incident", incident.id.to_string().into());
            "UnexpectedSyscall"
        }
        Content::Suppressed(suppressed) => {
            labels.insert("policy", suppressed.policy.as_ref().into());
            "UnexpectedSyscallsSuppressed"
        }
    };
    let severity = record.severity().name();
    labels.extend([("node", record.node.as_ref().into()), ("alertname", name.into()), ("severity", severity.into())]);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alert_ends_before_it_began_whatever_the_clock_does() {
        let at = |hours| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
        for (began, now) in [(100, 101), (100, 99), (100, 1), (100, 126)] {
            for is_over in [true, false] {
                let (starts_at, ends_at) = span(at(began), at(now), is_over);
                assert!(starts_at <= ends_at && starts_at <= at(now), "{began} {now}");
                assert!(ends_at >= at(now), "it lives on until it is over");
            }
        }
    }
}
