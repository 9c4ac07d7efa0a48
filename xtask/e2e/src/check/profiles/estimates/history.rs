//! Which calls a server made in which time window.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use serde::Serialize;
use syscallmon::profile::{Evidence, Observation, Replica, SourceKind};

use super::estimators::Sample;

/// A time window. Recordings and daemons have the same.
const WINDOW: Duration = Duration::from_secs(1);
/// Number of windows at the begin that belong to the start.
const STARTUP: u32 = 10;

/// The calls of a container.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct History(BTreeMap<String, CallHistory>);

#[derive(Clone, Debug, Default, Serialize)]
struct CallHistory {
    /// Number of calls until now.
    total: u64,
    /// The windows with calls, and the numbers of calls in them.
    windows: Vec<(u32, u64)>,
}

impl CallHistory {
    fn is_of_the_start(&self) -> bool {
        self.windows.first().is_some_and(|(window, _)| *window < STARTUP)
    }

    fn within<'a>(&'a self, windows: &'a Range<u32>) -> impl Iterator<Item = u64> + 'a {
        self.windows.iter().filter(|(window, _)| windows.contains(window)).map(|(_, count)| *count)
    }
}

/// Returns the parts of this length after the start, up to this window.
pub(super) fn parts(length: u32, end: u32) -> impl Iterator<Item = Range<u32>> {
    let count = end.saturating_sub(STARTUP).checked_div(length).unwrap_or(0);
    (0..count).map(move |number| STARTUP + number * length..STARTUP + (number + 1) * length)
}

impl History {
    /// Adds the totals at the end of a window.
    pub(super) fn add(&mut self, window: u32, totals: BTreeMap<String, u64>) {
        for (call, total) in totals {
            let history = self.0.entry(call).or_default();
            let new = total.saturating_sub(history.total);
            if new > 0 {
                history.total = total;
                match history.windows.last_mut() {
                    Some((last, count)) if *last == window => *count += new,
                    _ => history.windows.push((window, new)),
                }
            }
        }
    }

    /// Returns the names of all calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns what is known after the start and these windows.
    pub(super) fn evidence(&self, windows: &Range<u32>) -> Result<Evidence> {
        let mut evidence = Evidence::new(SourceKind::Daemon, "estimates");
        let begin = SystemTime::UNIX_EPOCH;
        let replica = evidence.add_replica(Replica {
            name: "server".to_owned(),
            image: None,
            from: Some(begin),
            to: Some(begin + WINDOW * windows.end),
            saw_start: true,
            lost: 0,
            windows: windows.end - windows.start,
            window: WINDOW,
        })?;
        for (call, history) in &self.0 {
            let (in_startup, seen) = (history.is_of_the_start(), history.within(windows).count());
            if !in_startup && seen == 0 {
                continue;
            }
            let observation = Observation {
                count: 1,
                replicas: [replica].into(),
                in_startup,
                windows: u32::try_from(seen)?,
                ..Observation::default()
            };
            evidence.add("x86_64", call, &observation);
        }
        Ok(evidence)
    }

    /// Returns how often calls were made that are not of the start.
    pub(super) fn sample(&self, windows: &Range<u32>) -> Sample {
        let mut sample = Sample { windows: f64::from(windows.end - windows.start), ..Sample::default() };
        for history in self.0.values().filter(|history| !history.is_of_the_start()) {
            let made = history.within(windows);
            let (incidences, calls) = made.fold((0, 0), |(windows, calls), count| (windows + 1, calls + count));
            if incidences > 0 {
                sample.incidences.push(incidences);
                sample.calls.push(calls);
            }
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let mut history = History::default();
        for (window, reads, forks) in [(0, 5, 0), (30, 9, 1), (30, 9, 2), (70, 9, 4)] {
            history.add(window, [("read".to_owned(), reads), ("vfork".to_owned(), forks)].into());
        }
        history
    }

    #[test]
    fn evidence_of_a_part_has_the_start_and_the_part() {
        let windows = |part| -> Vec<(bool, u32)> {
            let evidence = history().evidence(&part).unwrap();
            evidence.calls.values().map(|seen| (seen.in_startup, seen.windows)).collect()
        };
        assert_eq!(windows(10..20), [(true, 0)]);
        assert_eq!(windows(20..60), [(true, 1), (false, 1)]);
        assert_eq!(windows(20..100), [(true, 1), (false, 2)]);
        let sample = history().sample(&(20..100));
        assert_eq!((sample.incidences, sample.calls), (vec![2], vec![4]));
    }

    #[test]
    fn parts_follow_one_another_after_the_start() {
        assert_eq!(parts(60, 135).collect::<Vec<_>>(), [10..70, 70..130]);
        assert_eq!(parts(126, 135).count(), 0);
    }
}
