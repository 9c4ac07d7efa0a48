//! Durations of calls: a histogram with a bucket for each power of two of microseconds.

use serde::{Deserialize, Serialize};
use syscallmon_common::{DURATION_BOUNDS, DURATION_BUCKETS};

use super::sorted_counts::Amount;

/// A histogram; not cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// Number of calls by duration: bucket i has those of at most [`Bound`] i that are in no lower bucket. The last has
    /// no bound.
    pub buckets: [u64; DURATION_BUCKETS],
    /// Sum of all durations, in nanoseconds.
    pub sum_ns: u64,
}

impl Durations {
    /// Returns the number of calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the sum of all durations, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Returns the number of calls of at most this duration.
    #[must_use]
    pub fn at_most(&self, bound: Bound) -> u64 {
        self.buckets[..=usize::from(bound.0)].iter().sum()
    }
}

impl Amount for Durations {
    fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(own, other)| *own = own.saturating_add(other));
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (new, before) in since.buckets.iter_mut().zip(before.buckets) {
            let Some(more) = new.checked_sub(before) else { return *self };
            *new = more;
        }
        // The kernel side may have been between its two writes during the read: the sum lags by one call at most.
        since.sum_ns = self.sum_ns.saturating_sub(before.sum_ns);
        since
    }

    fn is_zero(&self) -> bool {
        self.buckets.iter().all(|&count| count == 0) && self.sum_ns == 0
    }
}

/// The upper bound of a bucket: 2^n microseconds, from 1 us to 16 s. Written in units of 1,024, like sizes: `1ms` is
/// 1,024 us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bound(u8);

/// The units for writing bounds, each 1,024 times the one before.
const UNITS: [&str; 3] = ["us", "ms", "s"];
/// Bounds within one unit.
const STEPS: usize = 10;

/// The text is not a bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a bucket bound: expected one of {}", Bound::all().map(|bound| bound.to_string()).collect::<Vec<_>>().join(", "))]
pub struct BoundError {
    text: String,
}

impl Bound {
    /// Returns all bounds, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(DURATION_BOUNDS).map(Self)
    }

    /// Returns every second bound: the exported ones by default.
    pub fn defaults() -> impl Iterator<Item = Self> {
        Self::all().step_by(2)
    }

    /// Returns the bound in seconds: the value of the label `le`.
    #[must_use]
    pub fn seconds(self) -> f64 {
        f64::from(1_u32 << self.0) / 1e6
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let exponent = usize::from(self.0);
        write!(formatter, "{}{}", 1 << (exponent % STEPS), UNITS[exponent / STEPS])
    }
}

impl std::str::FromStr for Bound {
    type Err = BoundError;

    fn from_str(text: &str) -> Result<Self, BoundError> {
        let text = text.trim();
        Self::all().find(|bound| bound.to_string() == text).ok_or_else(|| BoundError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Bound {
    type Error = BoundError;

    fn try_from(text: String) -> Result<Self, BoundError> {
        text.parse()
    }
}

impl From<Bound> for String {
    fn from(bound: Bound) -> Self {
        bound.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers_of_two_and_read_as_they_are_written() {
        let all: Vec<Bound> = Bound::all().collect();
        assert_eq!(
            (all[0].to_string(), all[10].to_string(), all[24].to_string()),
            ("1us".into(), "1ms".into(), "16s".into())
        );
        assert!(all.iter().all(|bound| bound.to_string().parse() == Ok(*bound)));
        assert_eq!((all[0].seconds(), all[10].seconds(), all[24].seconds()), (0.000_001, 0.001_024, 16.777_216));
        assert!("3ms".parse::<Bound>().unwrap_err().to_string().contains("2ms, 4ms"));
    }

    #[test]
    fn what_is_at_most_a_bound_is_in_all_buckets_up_to_it() {
        let mut durations = Durations { sum_ns: 5_000, ..Durations::default() };
        (durations.buckets[0], durations.buckets[2], durations.buckets[25]) = (1, 2, 4);
        let at_most = |text: &str| durations.at_most(text.parse().unwrap());
        assert_eq!((at_most("1us"), at_most("2us"), at_most("4us"), at_most("16s")), (1, 1, 3, 3));
        assert_eq!(durations.count(), 7);
    }

    #[test]
    fn differences_are_by_bucket_and_a_histogram_that_fell_started_anew() {
        let of = |buckets: [u64; 3], sum_ns| {
            let mut durations = Durations { sum_ns, ..Durations::default() };
            durations.buckets[..3].copy_from_slice(&buckets);
            durations
        };
        assert_eq!(of([3, 2, 1], 90).since(&of([1, 2, 0], 50)), of([2, 0, 1], 40));
        assert_eq!(of([3, 0, 9], 90).since(&of([1, 2, 0], 500)), of([3, 0, 9], 90));
    }
}
