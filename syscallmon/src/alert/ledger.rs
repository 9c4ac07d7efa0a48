//! What was told of which violation, and when: decides whether more is told. Pure: it is told the time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Notice, RateLimit,
    fair::{Fair, Room},
    record::{Content, Record, Subject, Suppressed},
};
use crate::{
    policy::{Severity, Violation},
    workload::Workload,
};

/// Subjects that are remembered.
const ROOM: Room = Room { entries: 16_384, bytes: usize::MAX };
/// Time between two looks for what can be forgotten.
const SWEEP: Duration = Duration::from_mins(1);

/// Who has a limit of its own. A flood of harmless violations must not hide a critical one, so severities are apart.
type Source = (Workload, Arc<str>, Severity);

#[derive(Debug)]
pub(super) struct Ledger {
    node: Arc<str>,
    rate: RateLimit,
    repeat_interval: Duration,
    /// What was told, for as long as it may be told again.
    told: Fair<Subject, Told>,
    buckets: BTreeMap<Source, Bucket>,
    suppressed: u64,
    swept: Instant,
}

/// What is to be done with a notice.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) record: Record,
    /// Whether everybody is to be told; otherwise only those who want to know that it goes on.
    pub(super) tell: bool,
}

#[derive(Debug)]
struct Told {
    told: Instant,
    noticed: Instant,
}

/// Tokens for what is told for the first time.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    suppressed: u64,
}

impl Ledger {
    pub(super) fn new(node: Arc<str>, rate: RateLimit, repeat_interval: Duration, now: Instant) -> Self {
        let (told, buckets) = (Fair::new(ROOM), BTreeMap::new());
        Self { node, rate, repeat_interval, told, buckets, suppressed: 0, swept: now }
    }

    /// Violations that were new and not told.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Takes up a notice.
    pub(super) fn note(&mut self, Notice { violation, is_new }: Notice, now: Instant) -> Verdict {
        self.sweep(now);
        let subject = Subject::of(&violation);
        let is_known = self.told.get_mut(&violation.workload, &subject).is_some();
        let summary = if is_known { None } else { self.suppress(&violation, is_new, now) };
        let (workload, subject, content) = match summary {
            Some(summary) => {
                let subject = Subject::suppressed(&summary.policy, summary.severity);
                (summary.workload.clone(), subject, Content::Suppressed(Arc::new(summary)))
            }
            None => (violation.workload.clone(), subject, Content::Violation(Arc::new(violation))),
        };
        let (tell, first) = self.is_due(&workload, subject, now);
        Verdict { record: Record { node: Arc::clone(&self.node), first, content }, tell }
    }

    /// Takes a token; where there is none, what to say of that.
    fn suppress(&mut self, violation: &Violation, is_new: bool, now: Instant) -> Option<Suppressed> {
        let Violation { workload, policy, severity, .. } = violation;
        let source = (workload.clone(), Arc::clone(policy), *severity);
        let bucket = self.buckets.entry(source).or_insert_with(|| Bucket::full(self.rate, now));
        if bucket.take(self.rate, now) {
            return None;
        }
        self.suppressed += u64::from(is_new);
        bucket.suppressed += u64::from(is_new);
        Some(Suppressed {
            time: violation.last_seen,
            workload: workload.clone(),
            policy: Arc::clone(policy),
            severity: *severity,
            count: bucket.suppressed,
            limit: self.rate,
        })
    }

    /// Whether it is told now, and whether for the first time.
    fn is_due(&mut self, workload: &Workload, subject: Subject, now: Instant) -> (bool, bool) {
        if let Some(known) = self.told.get_mut(workload, &subject) {
            known.noticed = now;
            let is_due = now.duration_since(known.told) >= self.repeat_interval;
            if is_due {
                known.told = now;
            }
            return (is_due, false);
        }
        // Who is forgotten for lack of room may be told again.
        self.told.put(workload, subject, Told { told: now, noticed: now }, 1, |old, new| *old = new);
        (true, true)
    }

    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.told.retain(|told| now.duration_since(told.noticed) < self.repeat_interval);
            self.buckets.retain(|_, bucket| !bucket.is_full(self.rate, now));
        }
    }
}

impl Bucket {
    fn full(rate: RateLimit, now: Instant) -> Self {
        Self { tokens: f64::from(rate.count), at: now, suppressed: 0 }
    }

    fn is_full(&mut self, rate: RateLimit, now: Instant) -> bool {
        let (count, elapsed) = (f64::from(rate.count), now.duration_since(self.at));
        self.tokens = (self.tokens + count * elapsed.as_secs_f64() / rate.period.as_secs_f64()).min(count);
        self.at = now;
        self.tokens >= count
    }

    fn take(&mut self, rate: RateLimit, now: Instant) -> bool {
        if self.is_full(rate, now) {
            self.suppressed = 0;
        }
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::violation;

    const HOUR: Duration = Duration::from_hours(1);

    struct Test {
        ledger: Ledger,
        now: Instant,
    }

    impl Test {
        fn new(rate: &str) -> Self {
            let now = Instant::now();
            Self { ledger: Ledger::new("node-1".into(), rate.parse().unwrap(), HOUR, now), now }
        }

        fn note(&mut self, violation: Violation, is_new: bool) -> Verdict {
            self.ledger.note(Notice { violation, is_new }, self.now)
        }

        /// How many of these violations are told, and how many summaries.
        fn told(&mut self, workload: &str, calls: impl IntoIterator<Item = u32>, severity: Severity) -> (usize, usize) {
            let verdicts = calls.into_iter().map(|call| {
                let call = crate::syscalls::Call {
                    abi: "x86_64",
                    syscall: Box::leak(format!("call-{call}").into_boxed_str()),
                };
                self.note(Violation { call, severity, ..violation(workload, "") }, true)
            });
            let told: Vec<Verdict> = verdicts.filter(|verdict| verdict.tell).collect();
            let summaries = told.iter().filter(|told| matches!(told.record.content, Content::Suppressed(_))).count();
            (told.len() - summaries, summaries)
        }
    }

    #[test]
    fn repeats_are_told_once_an_interval() {
        let mut test = Test::new("1/10m");
        let first = test.note(violation("web", "mount"), true);
        assert!(first.tell && first.record.first);
        for _ in 0..719 {
            test.now += Duration::from_secs(5);
            assert!(!test.note(violation("web", "mount"), false).tell);
        }
        test.now += Duration::from_secs(5);
        let repeated = test.note(Violation { count: 721, ..violation("web", "mount") }, false);
        assert!(repeated.tell && !repeated.record.first);
        assert!(!test.note(violation("web", "mount"), true).tell, "also when it is taken for new");
    }

    #[test]
    fn refused_and_ran_are_told_apart() {
        let mut test = Test::new("20/10m");
        assert!(test.note(violation("web", "mount"), true).tell);
        assert!(test.note(Violation { refused: true, ..violation("web", "mount") }, true).tell);
    }

    #[test]
    fn a_flood_is_told_up_to_its_limit_with_one_summary() {
        let mut test = Test::new("20/10m");
        assert_eq!(test.told("web", 0..400, Severity::Warning), (20, 1));
        assert_eq!(test.ledger.suppressed(), 380);
        let again = test.note(violation("web", "mount"), true);
        assert_eq!((again.tell, again.record.first), (true, true), "a critical one is told all the same");
        assert_eq!(test.told("other", 0..5, Severity::Warning), (5, 0), "and other workloads' are");
    }

    #[test]
    fn what_was_suppressed_is_told_when_there_is_room_again() {
        let mut test = Test::new("2/10m");
        assert_eq!(test.told("web", 0..5, Severity::Warning), (2, 1));
        test.now += Duration::from_mins(5);
        assert_eq!(test.told("web", 0..5, Severity::Warning), (1, 0));
        assert_eq!(test.told("web", 0..2, Severity::Warning), (0, 0), "those that were told are not told again");
    }

    #[test]
    fn a_summary_says_how_many() {
        let mut test = Test::new("1/1h");
        test.note(violation("web", "mount"), true);
        let summary = test.note(violation("web", "bpf"), true);
        assert!(summary.tell);
        assert_eq!(
            summary.record.message(),
            "shop/web-1/web has 1 more violations (critical) of policy runtime-default that are not told: more than 1/1h"
        );
        test.note(violation("web", "bpf"), false);
        assert_eq!(test.ledger.suppressed(), 1, "a repeat is no new one");
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let mut test = Test::new("20/10m");
        assert_eq!(test.told("web", 0..20, Severity::Warning), (20, 0));
        test.now += 2 * HOUR;
        assert!(test.note(violation("other", "mount"), true).tell);
        assert_eq!((test.ledger.told.len(), test.ledger.buckets.len()), (1, 1));
    }
}
