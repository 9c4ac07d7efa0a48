//! When a workload made each of its calls first and last, to the second.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    snapshot::{Amount, SortedCounts},
    syscalls::CallId,
};

/// The times of the snapshots that counted a call first and last, in seconds since the first snapshot of the model. 8
/// bytes for each call of each workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub(super) struct Seen {
    first: u32,
    last: u32,
}

/// The times of calls.
pub(super) type CallTimes = SortedCounts<CallId, Seen>;

/// The beginning of the times. Not set before the first snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin(pub(super) Option<Instant>);

impl From<(u32, u32)> for Seen {
    fn from((first, last): (u32, u32)) -> Self {
        Self { first, last }
    }
}

impl From<Seen> for (u32, u32) {
    fn from(Seen { first, last }: Seen) -> Self {
        (first, last)
    }
}

impl Amount for Seen {
    /// The earlier first time, and the later last one.
    fn add(&mut self, other: &Self) {
        *self = Self { first: self.first.min(other.first), last: self.last.max(other.last) };
    }

    fn since(&self, _before: &Self) -> Self {
        *self
    }

    fn is_zero(&self) -> bool {
        false
    }
}

impl Origin {
    /// Returns the times of calls that a snapshot has counted just now.
    pub(super) fn times(&mut self, calls: &SortedCounts<CallId>, now: Instant) -> CallTimes {
        let age = now.saturating_duration_since(*self.0.get_or_insert(now));
        let second = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        calls.iter().map(|(call, _)| (call, Seen { first: second, last: second })).collect()
    }

    /// Returns the first and the last time.
    pub(super) fn moments(self, seen: Seen) -> Option<(Instant, Instant)> {
        let moment = |second: u32| self.0?.checked_add(Duration::from_secs(second.into()));
        moment(seen.first).zip(moment(seen.last))
    }
}
