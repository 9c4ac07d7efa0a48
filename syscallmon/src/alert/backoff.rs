//! How long to wait after failures: longer each time, and not all at the same moment.

use std::time::Duration;

/// The first pause, and the longest; after an outage, alerts come within the longest.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);
/// The longest pause that a server may ask for.
const MOST_ASKED: Duration = Duration::from_mins(5);

/// Pauses after failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure; at least what the server asked for, within limits.
    pub(super) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(LAST);
        self.failures += 1;
        whole.mul_f64(0.5 + fastrand::f64() / 2.0).max(asked.unwrap_or_default().min(MOST_ASKED))
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for expected in [1, 2, 4, 8, 16, 30, 30, 30] {
            let whole = Duration::from_secs(expected);
            let pause = backoff.failed(None);
            assert!((whole / 2..=whole).contains(&pause), "{pause:?} of {whole:?}");
        }
        backoff.succeeded();
        assert!(backoff.failed(None) <= FIRST);
    }

    #[test]
    fn pauses_differ() {
        let pauses: std::collections::BTreeSet<Duration> = (0..20).map(|_| Backoff::default().failed(None)).collect();
        assert!(pauses.len() > 10);
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_within_limits() {
        assert_eq!(Backoff::default().failed(Some(Duration::from_secs(100))), Duration::from_secs(100));
        assert_eq!(Backoff::default().failed(Some(Duration::from_hours(100))), MOST_ASKED);
    }
}
