//! Times as Prometheus and JSON have them, and the clock of the kernel's events.

use std::{
    fs,
    sync::LazyLock,
    time::{Duration, Instant, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};

/// Seconds since 1970, with a fraction.
#[must_use]
pub fn unix_time(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The same, for serde.
///
/// # Errors
///
/// The serializer's.
pub fn unix_seconds<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(unix_time(*time))
}

/// What the time namespace of this process adds to clocks (`time_namespaces(7)`, Linux 5.6).
const OFFSETS: &str = "/proc/self/timens_offsets";

/// The nanoseconds that the time namespace of this process adds to `CLOCK_MONOTONIC`.
static OFFSET: LazyLock<i128> = LazyLock::new(|| offset(&fs::read_to_string(OFFSETS).unwrap_or_default()));

/// `CLOCK_MONOTONIC` of the initial time namespace, the clock of the kernel's events.
#[must_use]
pub fn monotonic_now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let now = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    Duration::from_nanos(u64::try_from(now - *OFFSET).unwrap_or_default())
}

/// Returns the offset of `CLOCK_MONOTONIC` in the text of [`OFFSETS`]; 0 if there is none.
fn offset(text: &str) -> i128 {
    let parse = |line: &str| {
        let mut fields = line.strip_prefix("monotonic")?.split_whitespace().map(str::parse::<i128>);
        Some(fields.next()?.ok()? * 1_000_000_000 + fields.next()?.ok()?)
    };
    text.lines().find_map(parse).unwrap_or_default()
}

/// One moment on two clocks: [`Instant`], which has no number, and `CLOCK_MONOTONIC`. So a moment can be stored for the
/// next daemon of the same boot.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    now: Instant,
    monotonic: Duration,
}

impl BootClock {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        Self { now: Instant::now(), monotonic: monotonic_now() }
    }

    /// Returns the clocks at another moment.
    #[cfg(test)]
    pub(crate) fn at(now: Instant) -> Self {
        Self { now, monotonic: Self::read().since_boot(now) }
    }

    /// Returns the moment of reading.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns the time of a moment since the boot.
    #[must_use]
    pub fn since_boot(&self, moment: Instant) -> Duration {
        let later = moment.saturating_duration_since(self.now);
        (self.monotonic + later).saturating_sub(self.now.saturating_duration_since(moment))
    }

    /// Returns the same in nanoseconds.
    #[must_use]
    pub fn nanoseconds(&self, moment: Instant) -> u64 {
        u64::try_from(self.since_boot(moment).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the moment at a time since the boot; `None` if it is in the future.
    #[must_use]
    pub fn moment(&self, since_boot: Duration) -> Option<Instant> {
        self.now.checked_sub(self.monotonic.checked_sub(since_boot)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_a_time_namespace_is_known() {
        assert_eq!(offset("monotonic           0         0\nboottime            7         0\n"), 0);
        assert_eq!(offset("boottime            7         0\nmonotonic      -86400 500000000\n"), -86_399_500_000_000);
        assert_eq!(offset("monotonic  1\n"), 0);
        assert_eq!(offset(""), 0);
    }

    #[test]
    fn a_moment_is_the_same_after_a_restart() {
        let (before, after) = (BootClock::read(), BootClock::read());
        for age in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(10)] {
            let moment = before.now().checked_sub(age).unwrap();
            let again = after.moment(before.since_boot(moment)).unwrap();
            let difference = again.max(moment) - again.min(moment);
            assert!(difference < Duration::from_secs(1), "{difference:?}");
            assert_eq!(before.moment(Duration::from_nanos(before.nanoseconds(moment))), Some(moment));
        }
        assert_eq!(before.moment(before.since_boot(before.now() + Duration::from_secs(1))), None);
    }
}
