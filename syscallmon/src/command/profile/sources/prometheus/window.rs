//! Windows of time: a long range is asked for in parts, and each part is a unit of the estimate.

use std::time::Duration;

/// Minimum number of windows of a range, for the estimate of what was not seen.
const MIN_WINDOWS: u64 = 12;

/// Minimum and maximum length of a window, in seconds.
const LENGTHS: (u64, u64) = (600, 86_400);

/// Maximum pause between the evaluations of a subquery, in seconds.
const MAX_STEP: u64 = 30;

/// A time from `begin` to `end`, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl Window {
    /// Splits a range into windows of equal length; the first may be shorter.
    pub(super) fn of_range(end: u64, range: Duration) -> Vec<Self> {
        let begin = end.saturating_sub(range.as_secs().max(1));
        let length = Self::length(range);
        let ends = std::iter::successors(Some(end), |end| end.checked_sub(length)).take_while(|end| *end > begin);
        let mut windows: Vec<_> = ends.map(|end| Self { begin: begin.max(end.saturating_sub(length)), end }).collect();
        windows.reverse();
        windows
    }

    /// Returns the length of the windows of a range, in seconds.
    pub(super) fn length(range: Duration) -> u64 {
        (range.as_secs() / MIN_WINDOWS).clamp(LENGTHS.0, LENGTHS.1)
    }

    /// Returns its length.
    pub(super) fn seconds(self) -> u64 {
        self.end - self.begin
    }

    /// Returns the pause between the evaluations of a subquery, in seconds.
    pub(super) fn step(self) -> u64 {
        (self.seconds() / 10).clamp(1, MAX_STEP)
    }

    /// Returns its halves, if they are at least this long.
    pub(super) fn halves(self, min_seconds: u64) -> Option<[Self; 2]> {
        let middle = self.begin + self.seconds() / 2;
        let halves = [Self { begin: self.begin, end: middle }, Self { begin: middle, end: self.end }];
        (self.seconds() / 2 >= min_seconds).then_some(halves)
    }

    /// Whether it overlaps a time from `begin` to `end`. A sample at the end of a window belongs to that window.
    pub(super) fn overlaps(self, begin: f64, end: f64) -> bool {
        (self.begin as f64) < end && begin <= self.end as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_range_without_gaps() {
        let now = 1_800_000_000;
        for (range, number, length) in [
            ("30s", 1, 30),
            ("1h", 6, 600),
            ("1d", 12, 7200),
            ("7d", 12, 50_400),
            ("30d", 30, 86_400),
            ("25h", 12, 7500),
        ] {
            let range = humantime::parse_duration(range).unwrap();
            let windows = Window::of_range(now, range);
            assert_eq!((windows.len(), windows[0].seconds()), (number, length), "{range:?}");
            assert_eq!((windows[0].begin, windows[number - 1].end), (now - range.as_secs(), now));
            assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].begin));
        }
        let all = Window::of_range(now, Duration::MAX);
        assert_eq!((all[0].begin, all[all.len() - 1].end), (0, now));
    }

    #[test]
    fn a_window_is_halved_until_it_is_short() {
        let window = Window { begin: 100, end: 1101 };
        assert_eq!(window.halves(500), Some([Window { begin: 100, end: 600 }, Window { begin: 600, end: 1101 }]));
        assert_eq!(window.halves(501), None);
    }
}
