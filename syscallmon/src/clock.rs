//! Times as Prometheus and JSON have them, and the clock of the kernel's events.

use std::time::{Duration, SystemTime};

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
