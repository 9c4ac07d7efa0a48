//! How many violations of one source are told for the first time, and what is said of those that are not.

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
    /// Attempts cost nothing, so they must not use up what calls need that did something.
    buckets: Vec<(Class, Bucket)>,
    /// New violations that were not told, since there was room for all.
    suppressed: u64,
    worst: Option<(Class, Worst)>,
    summary: Option<Summary>,
}

/// Violations that share a bucket, the least telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Seccomp denied them.
    Denied,
    /// Of this ABI, which the kernel may not have, or of no number that is known.
    Foreign(&'static str),
    /// Of the architecture's own ABI.
    Native,
}

/// What was last said of what is not told.
#[derive(Clone, Copy, Debug)]
struct Summary {
    at: Instant,
    worst: Class,
    suppressed: u64,
}

/// What a quota answers.
#[derive(Debug)]
pub(super) enum Asked {
    /// The violation is told.
    Granted,
    /// It is one of those of which there is a summary.
    Suppressed {
        count: u64,
        worst: Worst,
        /// Whether the summary is to be told now, and whether for the first time.
        tell: bool,
        first: bool,
    },
}

/// Tokens for what is told for the first time.
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

    /// Asks whether a violation that nobody knows may be told.
    pub(super) fn ask(&mut self, violation: &Violation, is_new: bool, now: Instant) -> Asked {
        if self.is_full(now) {
            *self = Self::new(self.rate, self.repeat_interval);
        }
        let class = Class::of(violation);
        if self.bucket(class, now).take() {
            return Asked::Granted;
        }
        self.suppressed += u64::from(is_new);
        if self.worst.as_ref().is_none_or(|(worst, _)| worst.rank() <= class.rank()) {
            self.worst = Some((class, Worst::of(violation)));
        }
        self.summary(now)
    }

    /// What there is to say of what is not told. It is told again where there is something worse, or more of it after a while.
    fn summary(&mut self, now: Instant) -> Asked {
        let (class, worst) = self.worst.clone().expect("something was suppressed");
        let told = self.summary;
        let is_due = |told: Summary| {
            let age = now.duration_since(told.at);
            let is_more = self.suppressed > told.suppressed && age >= self.rate.period;
            class.rank() > told.worst.rank() || is_more || age >= self.repeat_interval
        };
        let tell = told.is_none_or(is_due);
        if tell {
            self.summary = Some(Summary { at: now, worst: class, suppressed: self.suppressed });
        }
        Asked::Suppressed { count: self.suppressed, worst, tell, first: told.is_none() }
    }

    fn bucket(&mut self, class: Class, now: Instant) -> &mut Bucket {
        let index = self.buckets.iter().position(|(of, _)| *of == class).unwrap_or_else(|| {
            self.buckets.push((class, Bucket { tokens: f64::from(self.rate.count), at: now }));
            self.buckets.len() - 1
        });
        &mut self.buckets[index].1
    }

    /// Whether everything that it may tell may be told.
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
