//! Times as Prometheus and JSON have them, and the clock of the kernel's events.

use std::time::{Duration, Instant, SystemTime};

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

/// `CLOCK_MONOTONIC`, the clock of the kernel's events.
#[must_use]
pub fn monotonic_now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
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
