//! Limits the new alerts of one workload, policy and severity, and summarizes those beyond the limit.

use std::time::Duration;

use tokio::time::Instant;

use super::{RateLimit, record::Worst};
use crate::{
    detect::{Reason, Violation},
    syscalls::Call,
};

/// The quota of a workload's violations of one policy and severity.
#[derive(Debug)]
pub(super) struct Quota {
    rate: RateLimit,
    repeat_interval: Duration,
    /// Attempts are free, so they must not use up the room for calls with an effect.
    buckets: Vec<(Class, Bucket)>,
    /// New violations that were suppressed since the quota last had room.
    suppressed: u64,
    worst: Option<(Class, Worst)>,
    summary: Option<Summary>,
}

/// Violations that share a bucket, in rising order of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Seccomp denied them.
    Denied,
    /// Calls of a foreign ABI, which the kernel may lack, or with unknown numbers.
    Foreign(&'static str),
    /// Calls of the architecture's own ABI.
    Native,
}

/// The last summary of suppressed violations.
#[derive(Clone, Copy, Debug)]
struct Summary {
    at: Instant,
    worst: Class,
    suppressed: u64,
}

/// Decision of a quota.
#[derive(Debug)]
pub(super) enum QuotaDecision {
    /// The violation is sent.
    Granted,
    /// The violation is part of a summary.
    Suppressed {
        count: u64,
        worst: Worst,
        /// Whether the summary is sent now, and whether for the first time.
        send: bool,
        first: bool,
    },
}

/// Tokens for new alerts.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Class {
    fn of(violation: &Violation) -> Self {
        match violation {
            Violation { denied: true, .. } => Self::Denied,
            Violation { call: call @ Call { abi, .. }, reason, .. } => {
                if call.is_native() && *reason != Reason::UnknownNumber { Self::Native } else { Self::Foreign(abi) }
            }
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Denied => 0,
            Self::Foreign(_) => 1,
            Self::Native => 2,
        }
    }
}

impl Quota {
    pub(super) fn new(rate: RateLimit, repeat_interval: Duration) -> Self {
        Self { rate, repeat_interval, buckets: Vec::new(), suppressed: 0, worst: None, summary: None }
    }

    /// Decides whether a new violation is sent.
    pub(super) fn ask(&mut self, violation: &Violation, is_new: bool, now: Instant) -> QuotaDecision {
        if self.is_full(now) {
            *self = Self::new(self.rate, self.repeat_interval);
        }
        let class = Class::of(violation);
        if self.bucket(class, now).take() {
            return QuotaDecision::Granted;
        }
        self.suppressed += u64::from(is_new);
        if self.worst.as_ref().is_none_or(|(worst, _)| worst.rank() <= class.rank()) {
            self.worst = Some((class, Worst::of(violation)));
        }
        self.summary(now)
    }

    /// Returns the summary of suppressed violations. It is sent again when a worse one joins it, and at each repeat
    /// interval.
    fn summary(&mut self, now: Instant) -> QuotaDecision {
        let (class, worst) = self.worst.clone().expect("something was suppressed");
        let last = self.summary;
        let is_due = |last: Summary| {
            let age = now.duration_since(last.at);
            let is_more = self.suppressed > last.suppressed && age >= self.rate.period;
            class.rank() > last.worst.rank() || is_more || age >= self.repeat_interval
        };
        let send = last.is_none_or(is_due);
        if send {
            self.summary = Some(Summary { at: now, worst: class, suppressed: self.suppressed });
        }
        QuotaDecision::Suppressed { count: self.suppressed, worst, send, first: last.is_none() }
    }

    fn bucket(&mut self, class: Class, now: Instant) -> &mut Bucket {
        let index = self.buckets.iter().position(|(of, _)| *of == class).unwrap_or_else(|| {
            self.buckets.push((class, Bucket { tokens: f64::from(self.rate.count), at: now }));
            self.buckets.len() - 1
        });
        &mut self.buckets[index].1
    }

    /// Whether the quota is full again.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.buckets.iter_mut().fold(true, |all, (_, bucket)| bucket.refill(self.rate, now) && all)
    }
}

impl Bucket {
    /// Whether it is full.
    fn refill(&mut self, rate: RateLimit, now: Instant) -> bool {
        let (count, elapsed) = (f64::from(rate.count), now.duration_since(self.at));
        self.tokens = (self.tokens + count * elapsed.as_secs_f64() / rate.period.as_secs_f64()).min(count);
        self.at = now;
        self.tokens >= count
    }

    fn take(&mut self) -> bool {
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }
}
