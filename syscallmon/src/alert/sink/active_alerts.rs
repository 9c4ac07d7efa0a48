//! Active alerts of one Alertmanager, and when each is sent. Pure: the caller passes the time.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    alert::record::{AlertSubject, Content, Record},
    detect::{IncidentState, Severity},
    fair_share::{Capacity, FairShare, Priority, Tenant},
    workload::Workload,
};

/// Interval of sending an active alert again.
const RESEND: Duration = Duration::from_mins(1);
/// Maximum alerts that are kept.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 8 << 20 };
/// Maximum alerts in one request.
const BATCH: usize = 64;

/// Everything that changes the labels of an alert. An incident with a higher severity, or of a renamed workload, is
/// another alert, and the earlier one ends.
type Key = (AlertSubject, Workload, Severity);

/// The alerts of one Alertmanager.
#[derive(Debug)]
pub(super) struct ActiveAlerts {
    resolve_after: Duration,
    alerts: FairShare<Key, Alert>,
    /// The alert of each subject.
    current: HashMap<AlertSubject, Key>,
}

/// The alerts of one Alertmanager, shared with what saves them.
#[derive(Clone, Debug)]
pub(in crate::alert) struct SharedActiveAlerts(Arc<Mutex<ActiveAlerts>>);

/// An alert: an incident, or a summary.
#[derive(Clone, Debug)]
pub(in crate::alert) struct Alert {
    pub(in crate::alert) record: Record,
    pub(in crate::alert) starts_at: SystemTime,
    /// When it was last noticed, or first delivered. So an alert that became quiet during an outage is still seen.
    pub(in crate::alert) noticed: Instant,
    pub(in crate::alert) next: Instant,
    pub(in crate::alert) state: AlertState,
    /// Whether the subject has another alert.
    pub(in crate::alert) is_superseded: bool,
    /// Whether it is being sent, and then whether as resolved.
    pub(in crate::alert) sending: Option<bool>,
}

/// What the Alertmanager has answered about an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::alert) enum AlertState {
    /// Nothing so far.
    New,
    Refused,
    Delivered,
}

/// Result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestOutcome {
    Delivered,
    Refused,
    Failed,
}

impl SharedActiveAlerts {
    pub(super) fn new(resolve_after: Duration) -> Self {
        Self(Arc::new(Mutex::new(ActiveAlerts::new(resolve_after))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ActiveAlerts> {
        // A thread that panicked while it had the lock left valid alerts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what outlasts the daemon.
    pub(in crate::alert) fn lasting(&self) -> Vec<Alert> {
        self.lock().alerts.iter().map(|(_, alert)| alert.clone()).collect()
    }

    /// Takes over alerts of an earlier daemon. They are sent at once, because the Alertmanager forgets them otherwise.
    pub(in crate::alert) fn take_over(&self, alerts: Vec<Alert>) {
        let mut active = self.lock();
        for alert in alerts {
            active.take_over(alert);
        }
    }
}

impl ActiveAlerts {
    fn take_over(&mut self, alert: Alert) {
        let key = key_of(&alert.record);
        if !alert.is_superseded {
            self.current.insert(key.0.clone(), key.clone());
        }
        let ((tenant, priority), bytes) = (alert.record.share(), alert.record.bytes());
        self.alerts.put(tenant, priority, key, alert, bytes);
    }

    pub(super) fn new(resolve_after: Duration) -> Self {
        Self { resolve_after, alerts: FairShare::new(CAPACITY), current: HashMap::new() }
    }

    /// Adds or updates an alert; growth is sent at once. Returns the number of evicted alerts.
    ///
    /// The end of an incident is ignored: an alert is resolved when it was quiet since its delivery.
    pub(super) fn upsert(&mut self, record: Record, now: Instant) -> usize {
        let (starts_at, has_grown) = match &record.content {
            Content::Incident(incident) => (incident.started, incident.state < IncidentState::Repeated),
            Content::Suppressed(suppressed) => (suppressed.last_seen, false),
        };
        if record.state() == IncidentState::Resolved {
            return 0;
        }
        let key = key_of(&record);
        self.supersede(&key, now);
        let ((tenant, priority), bytes) = (record.share(), record.bytes());
        let gone = if let Some(alert) = self.alerts.get_mut(&key) {
            (alert.record, alert.noticed, alert.is_superseded) = (record, now, false);
            alert.starts_at = alert.starts_at.min(starts_at);
            if has_grown {
                alert.next = alert.next.min(now);
            }
            self.alerts.resize(&key, bytes)
        } else {
            let (state, is_superseded) = (AlertState::New, false);
            let alert = Alert { record, starts_at, noticed: now, next: now, state, is_superseded, sending: None };
            self.alerts.put(tenant, priority, key, alert, bytes)
        };
        gone.len()
    }

    /// Ends the alert of the same subject with other labels. One that was not delivered is removed.
    fn supersede(&mut self, key: &Key, now: Instant) {
        let Some(before) = self.current.insert(key.0.clone(), key.clone()).filter(|before| before != key) else {
            return;
        };
        match self.alerts.get_mut(&before) {
            Some(alert) if alert.state == AlertState::New => drop(self.alerts.remove(&before)),
            Some(alert) => (alert.is_superseded, alert.next) = (true, now),
            None => {}
        }
    }

    /// Returns when the next alert is due.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.alerts.values_mut().map(|alert| alert.next).min()
    }

    /// Returns the alerts to send now, and whether each is resolved. [`Self::complete_batch`] must follow.
    pub(super) fn batch(&mut self, now: Instant) -> Vec<(&Alert, bool)> {
        let resolve_after = self.resolve_after;
        for key in self.turns(now) {
            let Some(alert) = self.alerts.get_mut(&key) else { continue };
            let is_quiet = now.duration_since(alert.noticed) >= resolve_after;
            alert.sending = Some(alert.is_superseded || (is_quiet && alert.state != AlertState::New));
        }
        let alerts = self.alerts.iter().map(|(_, alert)| alert);
        alerts.filter_map(|alert| Some((alert, alert.sending?))).collect()
    }

    /// Returns the due alerts, tenants in turn; of a tenant, new ones and those that have waited longest first. So a
    /// tenant with many alerts delays no other, even if requests take long.
    fn turns(&self, now: Instant) -> Vec<Key> {
        let due = self.alerts.iter().filter(|(_, alert)| alert.next <= now);
        let mut due: Vec<(&Key, &Alert, (Tenant, Priority))> =
            due.map(|(key, alert)| (key, alert, alert.record.share())).collect();
        due.sort_by_key(|(_, alert, (_, priority))| {
            let is_change = alert.state == AlertState::New || alert.is_superseded;
            (!is_change, Reverse(*priority), alert.next)
        });
        let mut turns: HashMap<Arc<str>, usize> = HashMap::new();
        let mut in_turn: Vec<(usize, &Key)> = due
            .into_iter()
            .map(|(key, _, (tenant, _))| {
                let turn = turns.entry(Arc::clone(tenant.group())).or_default();
                *turn += 1;
                (*turn, key)
            })
            .collect();
        in_turn.sort_by_key(|(turn, _)| *turn);
        in_turn.into_iter().take(BATCH).map(|(_, key)| key.clone()).collect()
    }

    /// Applies the result of a batch. Returns how many alerts, or ends of alerts, were delivered or rejected for the
    /// first time.
    pub(super) fn complete_batch(&mut self, outcome: RequestOutcome, now: Instant) -> u64 {
        let (mut changes, resolve_after) = (0, self.resolve_after);
        self.alerts.retain(|_, alert| {
            let Some(is_over) = alert.sending.take().filter(|_| outcome != RequestOutcome::Failed) else { return true };
            let is_new = alert.state == AlertState::New;
            if outcome == RequestOutcome::Delivered {
                changes += u64::from(is_over || alert.state != AlertState::Delivered);
                alert.state = AlertState::Delivered;
            } else if is_new {
                changes += 1;
                alert.state = AlertState::Refused;
            }
            if is_new {
                alert.noticed = now;
            }
            alert.next = (now + RESEND).min((alert.noticed + resolve_after).max(now + Duration::from_secs(1)));
            !is_over
        });
        let alerts = &self.alerts;
        self.current.retain(|_, key| alerts.contains(key));
        changes
    }

    /// Returns the number of undelivered alerts.
    pub(super) fn undelivered(&mut self) -> usize {
        self.alerts.values_mut().filter(|alert| alert.state == AlertState::New).count()
    }
}

fn key_of(record: &Record) -> Key {
    (record.subject(), record.workload().clone(), record.severity())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alert::tests::{record, record_of, violation},
        detect::{Incident, Violation},
        workload::Labels,
    };

    const QUIET: Duration = Duration::from_mins(15);
    const MINUTE: Duration = Duration::from_mins(1);

    struct Test {
        active_alerts: ActiveAlerts,
        now: Instant,
        sent: u64,
    }

    impl Test {
        fn new() -> Self {
            Self { active_alerts: ActiveAlerts::new(QUIET), now: Instant::now(), sent: 0 }
        }

        fn notice(&mut self) {
            self.active_alerts.upsert(record(violation("web", "mount")), self.now);
        }

        /// Returns the alerts that are sent at this moment, and whether each is resolved.
        fn send(&mut self, outcome: RequestOutcome) -> Vec<bool> {
            let batch = self.active_alerts.batch(self.now).iter().map(|(_, is_over)| *is_over).collect();
            self.sent += self.active_alerts.complete_batch(outcome, self.now);
            batch
        }
    }

    #[test]
    fn an_alert_is_sent_at_once_then_every_minute_until_it_is_resolved() {
        let mut test = Test::new();
        test.notice();
        assert_eq!(test.send(RequestOutcome::Delivered), [false]);
        for _ in 0..14 {
            assert!(test.send(RequestOutcome::Delivered).is_empty());
            test.now += MINUTE;
            assert_eq!(test.send(RequestOutcome::Delivered), [false]);
        }
        assert_eq!(test.sent, 1, "it is one alert");
        test.now += MINUTE;
        assert_eq!(test.send(RequestOutcome::Delivered), [true]);
        assert_eq!((test.sent, test.active_alerts.due()), (2, None));
    }

    #[test]
    fn an_alert_that_goes_on_is_not_resolved() {
        let mut test = Test::new();
        for _ in 0..60 {
            test.notice();
            assert_eq!(test.send(RequestOutcome::Delivered), [false]);
            test.now += MINUTE;
        }
        assert_eq!(test.sent, 1);
    }

    #[test]
    fn an_alert_that_was_not_delivered_is_sent_although_it_has_ended() {
        let mut test = Test::new();
        test.notice();
        for _ in 0..120 {
            assert_eq!(test.send(RequestOutcome::Failed), [false]);
            test.now += MINUTE;
        }
        assert_eq!(test.active_alerts.undelivered(), 1);
        assert_eq!(test.send(RequestOutcome::Delivered), [false]);
        test.now += QUIET;
        assert_eq!(test.send(RequestOutcome::Failed), [true]);
        test.now += MINUTE;
        assert_eq!(test.send(RequestOutcome::Delivered), [true], "so is its end");
        assert_eq!((test.sent, test.active_alerts.due()), (2, None));
    }

    #[test]
    fn an_alert_that_begins_again_before_its_end_was_sent_continues() {
        let mut test = Test::new();
        test.notice();
        test.send(RequestOutcome::Delivered);
        test.now += QUIET;
        assert_eq!(test.send(RequestOutcome::Failed), [true]);
        test.notice();
        assert_eq!(test.send(RequestOutcome::Delivered), [false]);
        assert_eq!(test.sent, 1);
    }

    #[test]
    fn a_flood_delays_no_other_s_alerts() {
        let mut test = Test::new();
        for call in 0..1000 {
            let call =
                crate::syscalls::Call { abi: "x32", syscall: Box::leak(format!("call-{call}").into_boxed_str()) };
            test.active_alerts.upsert(record(Violation { call, ..violation("web", "") }), test.now);
        }
        test.send(RequestOutcome::Delivered);
        test.now += Duration::from_secs(1);
        let other = Violation {
            workload: Workload::cgroup("/zzz".into()),
            metadata: Labels::default(),
            ..violation("", "bpf")
        };
        test.active_alerts.upsert(record(other), test.now);
        let batch = test.active_alerts.batch(test.now);
        assert_eq!(batch.len(), BATCH);
        assert!(batch.iter().any(|(alert, _)| *alert.record.workload() == Workload::cgroup("/zzz".into())));
        test.send(RequestOutcome::Delivered);
        // Each request takes a minute, so all known alerts are due again.
        let mut known = std::collections::HashSet::new();
        for _ in 0..20 {
            test.now += MINUTE;
            known.extend(test.active_alerts.batch(test.now).iter().map(|(alert, _)| alert.record.message()));
            test.send(RequestOutcome::Delivered);
        }
        assert!(known.len() > 990, "{} of 1000 were sent", known.len());
    }

    #[test]
    fn what_is_refused_is_counted_once_and_forgotten_in_the_end() {
        let mut test = Test::new();
        test.notice();
        for _ in 0..15 {
            assert_eq!(test.send(RequestOutcome::Refused), [false]);
            test.now += MINUTE;
        }
        assert_eq!(test.sent, 1);
        assert_eq!(test.send(RequestOutcome::Refused), [true]);
        assert_eq!(test.active_alerts.due(), None);
    }

    /// An incident with this severity and state.
    fn incident(severity: Severity, state: IncidentState) -> Record {
        let incident = crate::alert::tests::incident([Violation { severity, ..violation("web", "mount") }]);
        record_of(Incident { state, ..incident })
    }

    /// Severities of the alerts that are sent, and whether each is resolved.
    fn sent(test: &mut Test, outcome: RequestOutcome) -> Vec<(Severity, bool)> {
        let batch = test.active_alerts.batch(test.now);
        let batch = batch.iter().map(|(alert, is_over)| (alert.record.severity(), *is_over)).collect();
        test.sent += test.active_alerts.complete_batch(outcome, test.now);
        batch
    }

    #[test]
    fn an_incident_that_grows_is_sent_at_once_and_stays_one_alert() {
        let mut test = Test::new();
        test.active_alerts.upsert(incident(Severity::Critical, IncidentState::New), test.now);
        assert_eq!(sent(&mut test, RequestOutcome::Delivered), [(Severity::Critical, false)]);
        test.now += Duration::from_secs(1);
        test.active_alerts.upsert(incident(Severity::Critical, IncidentState::Repeated), test.now);
        assert_eq!(sent(&mut test, RequestOutcome::Delivered), []);
        test.active_alerts.upsert(incident(Severity::Critical, IncidentState::Grown), test.now);
        assert_eq!(sent(&mut test, RequestOutcome::Delivered), [(Severity::Critical, false)]);
        test.active_alerts.upsert(incident(Severity::Critical, IncidentState::Resolved), test.now);
        assert_eq!((sent(&mut test, RequestOutcome::Delivered), test.sent), (vec![], 1));
    }

    #[test]
    fn a_higher_severity_is_another_alert_and_ends_the_earlier_one() {
        use Severity::{Critical, Warning};
        let mut test = Test::new();
        test.active_alerts.upsert(incident(Warning, IncidentState::New), test.now);
        assert_eq!(sent(&mut test, RequestOutcome::Delivered), [(Warning, false)]);
        test.active_alerts.upsert(incident(Critical, IncidentState::Grown), test.now);
        let mut both = sent(&mut test, RequestOutcome::Failed);
        both.sort();
        assert_eq!(both, [(Warning, true), (Critical, false)]);
        let mut again = sent(&mut test, RequestOutcome::Delivered);
        again.sort();
        assert_eq!(again, both, "neither is lost");
        test.now += MINUTE;
        assert_eq!(sent(&mut test, RequestOutcome::Delivered), [(Critical, false)]);
        assert_eq!(test.sent, 3, "two beginnings and an end");
        // One that nobody knows of needs no end.
        let mut test = Test::new();
        test.active_alerts.upsert(incident(Warning, IncidentState::New), test.now);
        test.active_alerts.upsert(incident(Critical, IncidentState::Grown), test.now);
        assert_eq!(sent(&mut test, RequestOutcome::Delivered), [(Critical, false)]);
    }
}
