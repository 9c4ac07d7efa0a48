//! Limits the new alerts of one workload, policy and severity, and summarizes those beyond the limit.

use std::time::Duration;

use tokio::time::Instant;

use super::{RateLimit, record::Worst};
use crate::detect::{CallClass, Violation};

/// The quota of a workload's violations of one policy and severity.
#[derive(Debug)]
pub(super) struct Quota {
    rate: RateLimit,
    repeat_interval: Duration,
    /// Attempts are free, so they must not use up the room for calls with an effect.
    buckets: Vec<(CallClass, Bucket)>,
    /// New violations that were suppressed since the quota last had room.
    suppressed: u64,
    worst: Option<(CallClass, Worst)>,
    summary: Option<Summary>,
}

/// The last summary of suppressed violations.
#[derive(Clone, Copy, Debug)]
struct Summary {
    at: Instant,
    worst: CallClass,
    suppressed: u64,
}

/// A summary of suppressed violations.
#[derive(Debug)]
pub(super) struct QuotaSummary {
    pub(super) count: u64,
    pub(super) worst: Worst,
    /// Whether it is sent now, and whether for the first time.
    pub(super) send: bool,
    pub(super) first: bool,
}

/// Tokens for new alerts.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Quota {
    pub(super) fn new(rate: RateLimit, repeat_interval: Duration) -> Self {
        Self { rate, repeat_interval, buckets: Vec::new(), suppressed: 0, worst: None, summary: None }
    }

    /// Takes the room for one alert because of calls of this class. Returns whether there was room.
    pub(super) fn take(&mut self, class: CallClass, now: Instant) -> bool {
        if self.is_full(now) {
            *self = Self::new(self.rate, self.repeat_interval);
        }
        self.bucket(class, now).take()
    }

    /// Counts a violation that was not sent.
    pub(super) fn suppress(&mut self, violation: &Violation, is_new: bool) {
        let class = violation.class();
        self.suppressed += u64::from(is_new);
        if self.worst.as_ref().is_none_or(|(worst, _)| worst.rank() <= class.rank()) {
            self.worst = Some((class, Worst::of(violation)));
        }
    }

    /// Returns the summary of suppressed violations, if there are any. It is sent again when a worse one joins it, and
    /// at each repeat interval.
    pub(super) fn summary(&mut self, now: Instant) -> Option<QuotaSummary> {
        let (class, worst) = self.worst.clone()?;
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
        Some(QuotaSummary { count: self.suppressed, worst, send, first: last.is_none() })
    }

    fn bucket(&mut self, class: CallClass, now: Instant) -> &mut Bucket {
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
