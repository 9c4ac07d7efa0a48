//! Pauses between attempts to reach another server: longer after each failure, and different for each client.

use std::time::Duration;

/// The first and the maximum pause. After an outage, waiting requests are sent within the maximum.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const LAST_PAUSE: Duration = Duration::from_secs(30);
/// Maximum pause that a server may request.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Pauses after failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    failures: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::starting_with(FIRST_PAUSE)
    }
}

impl Backoff {
    /// Maximum of the first pause.
    pub(crate) fn starting_with(first: Duration) -> Self {
        Self { first, failures: 0 }
    }

    /// Returns the pause after one more failure: at least the server's request, within limits.
    pub(crate) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(10)).min(LAST_PAUSE);
        self.failures += 1;
        whole.mul_f64(0.5 + fastrand::f64() / 2.0).max(asked.unwrap_or_default().min(MAX_RETRY_AFTER))
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
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
        assert!(backoff.failed(None) <= FIRST_PAUSE);
    }

    #[test]
    fn pauses_differ() {
        let pauses: std::collections::BTreeSet<Duration> = (0..20).map(|_| Backoff::default().failed(None)).collect();
        assert!(pauses.len() > 10);
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_within_limits() {
        assert_eq!(Backoff::default().failed(Some(Duration::from_secs(100))), Duration::from_secs(100));
        assert_eq!(Backoff::default().failed(Some(Duration::from_hours(100))), MAX_RETRY_AFTER);
    }
}
