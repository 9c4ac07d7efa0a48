//! How sure it is that evidence has every call: an estimate of the calls that were not seen yet.
//!
//! The estimate is the jackknife of second order (Burnham and Overton 1979, for samples Smith and van Belle 1984) with
//! the extrapolation of Colwell et al. (2012, "Models and estimators linking individual-based and sample-based
//! rarefaction, extrapolation and comparison of assemblages", equation 18). The sampling unit is a time window of one
//! replica, because a call is either made in a window or not, while the number of calls says little: a server that
//! makes a million reads is not better known. Calls of start-up do not count as rare, because every start makes them.
//!
//! `docs/profiles.md` compares estimators with held-out runs of servers. Chao2 grows with the square of the number of
//! rare calls. It errs more, because one rare operation brings several calls at once.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Evidence;
use crate::syscalls::IO_URING;

/// Fewer time windows say nothing.
const MIN_WINDOWS: u64 = 20;

/// Estimates from less time are half of the truth or less, mostly.
const MIN_TIME: Duration = Duration::from_mins(5);

/// The time that `new_call_within_hour` is for.
const HOUR: Duration = Duration::from_hours(1);

/// How sure it is that evidence has every call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Confidence {
    /// Seconds between the first observation of the newest call and the end of observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_since_new_call: Option<u64>,
    /// Estimated number of calls that the workload makes and that were not seen, if there are enough time windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_calls: Option<f64>,
    /// Estimated probability that one replica makes a call that was not seen yet within the next hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_call_within_hour: Option<f64>,
    /// Number of time windows of all replicas.
    pub windows: u64,
    /// Seconds of all windows together.
    pub observed_seconds: u64,
}

impl Confidence {
    /// Estimates from evidence.
    #[must_use]
    pub fn new(evidence: &Evidence, now: SystemTime) -> Self {
        let calls = || evidence.calls.iter().filter(|(call, seen)| call.abi != IO_URING && seen.count > 0);
        let newest = calls().filter_map(|(_, seen)| seen.first).max();
        let end = evidence.replicas.iter().filter_map(|replica| replica.to).max().unwrap_or(now);
        let windows = evidence.replicas.iter().map(|replica| u64::from(replica.windows)).sum();
        let seen_in = |times: u32| calls().filter(|(_, seen)| !seen.in_startup && seen.windows == times).count() as f64;
        let unseen = (windows >= MIN_WINDOWS).then(|| jackknife(windows as f64, seen_in(1), seen_in(2)));
        let window = evidence.replicas.iter().find(|replica| replica.windows > 0).map(|replica| replica.window);
        let hour = window.filter(|window| !window.is_zero()).map(|window| HOUR.as_secs_f64() / window.as_secs_f64());
        let expected = unseen.zip(hour).map(|(unseen, hour)| expected_new(windows as f64, seen_in(1), unseen, hour));
        let observed = evidence.replicas.iter().map(|replica| replica.window.saturating_mul(replica.windows));
        Self {
            observed_seconds: observed.fold(Duration::ZERO, Duration::saturating_add).as_secs(),
            seconds_since_new_call: newest.map(|time| end.duration_since(time).unwrap_or_default().as_secs()),
            unseen_calls: unseen.map(rounded),
            new_call_within_hour: expected.map(|expected| rounded(1.0 - (-expected).exp())),
            windows,
        }
    }

    /// Returns why it is too early to enforce a profile, if it is.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Self { unseen_calls, new_call_within_hour, windows, observed_seconds, .. } = *self;
        match (unseen_calls, new_call_within_hour) {
            (None, _) if windows == 0 => {
                let newest = self.seconds_since_new_call.map_or_else(String::new, |seconds| {
                    let ago = humantime::format_duration(Duration::from_secs(seconds));
                    format!("; the newest call was new {ago} before the end")
                });
                Some(format!(
                    "how many calls are missing is not known, because this source has no time windows (recordings and \
                     Prometheus have){newest}"
                ))
            }
            (None, _) => Some(format!(
                "too early to enforce: {observed_seconds} s were observed after start-up, in {windows} time windows; an \
                 estimate of what is missing needs {MIN_WINDOWS}"
            )),
            (Some(unseen), Some(probability)) if unseen >= 0.5 && probability >= 0.05 => Some(format!(
                "too early to enforce: about {unseen:.1} calls were not seen yet, and the next hour brings one with a \
                 probability of {:.0} %",
                100.0 * probability
            )),
            _ if observed_seconds < MIN_TIME.as_secs() => Some(format!(
                "too early to enforce: {observed_seconds} s were observed after start-up, and rare calls come later"
            )),
            _ => None,
        }
    }
}

/// Estimates the number of unseen calls from the number of windows and of calls that were seen in exactly one or two.
/// It is at least half a call if there is a rare one, because a call that was made in one window only could have been
/// missed as well.
fn jackknife(windows: f64, one: f64, two: f64) -> f64 {
    let second = two * (windows - 2.0).powi(2) / (windows * (windows - 1.0));
    let estimate = one * (2.0 * windows - 3.0) / windows - second;
    if one > 0.0 { estimate.max(0.5) } else { 0.0 }
}

/// Estimates how many new calls further windows bring.
fn expected_new(windows: f64, one: f64, unseen: f64, further: f64) -> f64 {
    if unseen <= 0.0 {
        return 0.0;
    }
    unseen * (1.0 - (1.0 - one / (windows * unseen + one)).powf(further))
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Observation, Replica, SourceKind};

    /// Evidence of one replica; each call with the number of windows that it was made in.
    fn evidence(windows: u32, calls: &[(&str, u32, bool)]) -> Evidence {
        let start = SystemTime::UNIX_EPOCH;
        let mut evidence = Evidence::new(SourceKind::Recording, "web");
        evidence
            .add_replica(Replica {
                name: "web".to_owned(),
                image: None,
                from: Some(start),
                to: Some(start + Duration::from_secs(u64::from(windows))),
                saw_start: true,
                lost: 0,
                windows,
                window: Duration::from_secs(10),
            })
            .unwrap();
        for &(name, windows, in_startup) in calls {
            let seen = Observation { count: 1, windows, in_startup, first: Some(start), ..Observation::default() };
            evidence.add("x86_64", name, &seen);
        }
        evidence
    }

    fn confidence(windows: u32, calls: &[(&str, u32, bool)]) -> Confidence {
        Confidence::new(&evidence(windows, calls), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn rare_calls_make_more_calls_likely() {
        let steady = confidence(100, &[("read", 100, false), ("write", 90, false)]);
        assert_eq!((steady.unseen_calls, steady.new_call_within_hour), (Some(0.0), Some(0.0)));
        assert_eq!(steady.warning(), None);
        let rare = confidence(100, &[("read", 1, false), ("kill", 1, false), ("flock", 1, false), ("link", 2, false)]);
        // 3 * 197 / 100 - 98 * 98 / (100 * 99)
        assert_eq!(rare.unseen_calls, Some(4.94));
        assert!(rare.new_call_within_hour.unwrap() > 0.7 && rare.warning().unwrap().contains("too early"));
    }

    #[test]
    fn a_rare_call_is_at_least_half_a_call_that_was_not_seen() {
        let calls = [("read", 100, false), ("kill", 1, false), ("flock", 2, false), ("link", 2, false)];
        let one = confidence(100, &calls);
        assert_eq!(one.unseen_calls, Some(0.5));
        assert!((0.3..0.5).contains(&one.new_call_within_hour.unwrap()));
    }

    #[test]
    fn a_short_time_is_too_early_even_if_nothing_is_rare() {
        let early = confidence(25, &[("read", 25, false)]);
        assert_eq!((early.unseen_calls, early.observed_seconds), (Some(0.0), 250));
        assert!(early.warning().unwrap().contains("250 s were observed"));
        assert_eq!(confidence(30, &[("read", 30, false)]).warning(), None);
    }

    #[test]
    fn calls_of_the_start_are_not_rare() {
        let started = confidence(100, &[("read", 1, true), ("kill", 1, true), ("flock", 0, true)]);
        assert_eq!(started.unseen_calls, Some(0.0));
    }

    #[test]
    fn too_few_windows_give_no_estimate_but_a_warning() {
        let early = confidence(5, &[("read", 5, false)]);
        assert_eq!((early.unseen_calls, early.new_call_within_hour, early.windows), (None, None, 5));
        assert!(early.warning().unwrap().contains("5 time windows"));
    }

    #[test]
    fn the_time_since_the_newest_call_ends_with_the_observation() {
        assert_eq!(confidence(100, &[("read", 1, false)]).seconds_since_new_call, Some(100));
    }

    #[test]
    fn more_time_brings_no_more_calls_than_there_are() {
        for further in [1.0, 60.0, 3600.0, 1e9] {
            let new = expected_new(100.0, 3.0, 1.5, further);
            assert!((0.0..=1.5).contains(&new), "{new}");
        }
    }
}
