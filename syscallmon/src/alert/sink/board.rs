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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::{record, violation};

    const QUIET: Duration = Duration::from_mins(15);
    const MINUTE: Duration = Duration::from_mins(1);

    struct Test {
        board: Board,
        now: Instant,
        told: u64,
    }

    impl Test {
        fn new() -> Self {
            Self { board: Board::new(QUIET), now: Instant::now(), told: 0 }
        }

        fn notice(&mut self) {
            self.board.take_up(record(violation("web", "mount")), self.now);
        }

        /// What is told at this moment: whether each is over.
        fn tell(&mut self, outcome: Outcome) -> Vec<bool> {
            let batch = self.board.batch(self.now).iter().map(|(_, is_over)| *is_over).collect();
            self.told += self.board.settle(outcome, self.now);
            batch
        }
    }

    #[test]
    fn an_alert_is_told_at_once_then_every_minute_until_it_is_resolved() {
        let mut test = Test::new();
        test.notice();
        assert_eq!(test.tell(Outcome::Delivered), [false]);
        for _ in 0..14 {
            assert!(test.tell(Outcome::Delivered).is_empty());
            test.now += MINUTE;
            assert_eq!(test.tell(Outcome::Delivered), [false]);
        }
        assert_eq!(test.told, 1, "it is one alert");
        test.now += MINUTE;
        assert_eq!(test.tell(Outcome::Delivered), [true]);
        assert_eq!((test.told, test.board.due()), (2, None));
    }

    #[test]
    fn an_alert_that_goes_on_is_not_resolved() {
        let mut test = Test::new();
        for _ in 0..60 {
            test.notice();
            assert_eq!(test.tell(Outcome::Delivered), [false]);
            test.now += MINUTE;
        }
        assert_eq!(test.told, 1);
    }

    #[test]
    fn what_was_not_delivered_is_told_though_it_is_over() {
        let mut test = Test::new();
        test.notice();
        for _ in 0..120 {
            assert_eq!(test.tell(Outcome::Failed), [false]);
            test.now += MINUTE;
        }
        assert_eq!(test.board.undelivered(), 1);
        assert_eq!(test.tell(Outcome::Delivered), [false]);
        test.now += QUIET;
        assert_eq!(test.tell(Outcome::Failed), [true]);
        test.now += MINUTE;
        assert_eq!(test.tell(Outcome::Delivered), [true], "so is its end");
        assert_eq!((test.told, test.board.due()), (2, None));
    }

    #[test]
    fn what_begins_again_before_its_end_was_told_goes_on() {
        let mut test = Test::new();
        test.notice();
        test.tell(Outcome::Delivered);
        test.now += QUIET;
        assert_eq!(test.tell(Outcome::Failed), [true]);
        test.notice();
        assert_eq!(test.tell(Outcome::Delivered), [false]);
        assert_eq!(test.told, 1);
    }

    #[test]
    fn what_is_refused_is_counted_once_and_forgotten_in_the_end() {
        let mut test = Test::new();
        test.notice();
        for _ in 0..15 {
            assert_eq!(test.tell(Outcome::Refused), [false]);
            test.now += MINUTE;
        }
        assert_eq!(test.told, 1);
        assert_eq!(test.tell(Outcome::Refused), [true]);
        assert_eq!(test.board.due(), None);
    }
}
