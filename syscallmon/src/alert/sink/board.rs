//! The alerts that one Alertmanager is told of, and what is to be told when. Pure: it is told the time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::alert::{
    fair::{Fair, Room},
    record::{Content, Record, Subject},
};

/// How often what goes on is told.
const RESEND: Duration = Duration::from_mins(1);
/// Alerts that are remembered.
const ROOM: Room = Room { entries: 4096, bytes: 8 << 20 };
/// Alerts in one request.
const BATCH: usize = 64;

/// The alerts of one Alertmanager.
pub(super) struct Board {
    resolve_after: Duration,
    alerts: Fair<Subject, Alert>,
}

/// An alert: a violation, whether its call ran or was refused.
pub(super) struct Alert {
    pub(super) record: Record,
    pub(super) starts_at: SystemTime,
    /// When it was noticed last, or delivered first: nobody shall miss an alert since it was quiet while nobody listened.
    noticed: Instant,
    next: Instant,
    progress: Progress,
    /// Whether it is on its way, and then whether as resolved.
    sending: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    New,
    Refused,
    Delivered,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Refused,
    Failed,
}

impl Board {
    pub(super) fn new(resolve_after: Duration) -> Self {
        Self { resolve_after, alerts: Fair::new(ROOM) }
    }

    /// Takes up that a violation is new, or goes on. How many alerts had to go for it.
    pub(super) fn take_up(&mut self, record: Record, now: Instant) -> usize {
        let (workload, bytes) = (record.workload().clone(), record.bytes());
        let starts_at = match &record.content {
            Content::Violation(violation) => violation.time,
            Content::Suppressed(suppressed) => suppressed.time,
        };
        let key = record.subject().refused_or_not();
        let alert = Alert { record, starts_at, noticed: now, next: now, progress: Progress::New, sending: None };
        self.alerts.put(&workload, key, alert, bytes, |old, new| {
            (old.record, old.noticed) = (new.record, now);
            old.starts_at = old.starts_at.min(new.starts_at);
        })
    }

    /// When the next alert is to be told.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.alerts.values_mut().map(|alert| alert.next).min()
    }

    /// What is to be told now, and whether each is over. [`Self::settle`] follows.
    pub(super) fn batch(&mut self, now: Instant) -> Vec<(&Alert, bool)> {
        let resolve_after = self.resolve_after;
        let due = self.alerts.values_mut().filter(|alert| alert.next <= now).take(BATCH);
        due.map(|alert| {
            let is_quiet = now.duration_since(alert.noticed) >= resolve_after;
            let is_over = is_quiet && alert.progress != Progress::New;
            alert.sending = Some(is_over);
            (&*alert, is_over)
        })
        .collect()
    }

    /// Notes what became of the batch: how many alerts, or ends of alerts, are known or refused for the first time.
    pub(super) fn settle(&mut self, outcome: Outcome, now: Instant) -> u64 {
        let (mut changes, resolve_after) = (0, self.resolve_after);
        self.alerts.retain(|alert| {
            let Some(is_over) = alert.sending.take().filter(|_| outcome != Outcome::Failed) else { return true };
            let is_new = alert.progress == Progress::New;
            if outcome == Outcome::Delivered {
                changes += u64::from(is_over || alert.progress != Progress::Delivered);
                alert.progress = Progress::Delivered;
            } else if is_new {
                changes += 1;
                alert.progress = Progress::Refused;
            }
            if is_new {
                alert.noticed = now;
            }
            alert.next = (now + RESEND).min((alert.noticed + resolve_after).max(now + Duration::from_secs(1)));
            !is_over
        });
        changes
    }

    /// Alerts that were not delivered.
    pub(super) fn undelivered(&mut self) -> usize {
        self.alerts.values_mut().filter(|alert| alert.progress == Progress::New).count()
    }
}
