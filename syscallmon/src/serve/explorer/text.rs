//! Texts of the pages. Every text that a workload can choose becomes a [`Name`], which alone writes HTML.

use std::{
    fmt::{self, Write as _},
    time::{Duration, SystemTime},
};

use askama::filters::{Html, HtmlSafe, escape};

use crate::process::{printable, short_ids};

/// Maximum characters of a name in a list, and on the page of its own.
const SHORT: usize = 80;
const HEADING: usize = 160;
const SENTENCE: usize = 400;
const LONG: usize = 4096;

/// A text from outside, as HTML: printable, isolated from the direction of the text around it, and cut visibly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    shown: String,
    /// The whole, if it is cut.
    whole: Option<String>,
}

impl Name {
    /// Returns a text for a list: its end is cut, and ids are short.
    pub(super) fn short(text: &str) -> Self {
        let whole = cut(text, LONG);
        let shown = cut(&short_ids(text), SHORT);
        Self { whole: Some(whole).filter(|whole| *whole != shown), shown }
    }

    /// Returns a sentence: ids are short.
    pub(super) fn sentence(text: &str) -> Self {
        Self { shown: cut(&short_ids(text), SENTENCE), whole: None }
    }

    /// Returns a text for the page that is about it: only the longest are cut.
    pub(super) fn whole(text: &str) -> Self {
        Self { shown: cut(text, LONG), whole: None }
    }

    /// Returns a text for a heading: a long one is cut, since the page has it elsewhere.
    pub(super) fn heading(text: &str) -> Self {
        if text.chars().nth(HEADING).is_some() { Self::short(text) } else { Self::whole(text) }
    }

    /// Returns the text without HTML, for titles.
    pub(super) fn plain(&self) -> &str {
        &self.shown
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |text| escape(text, Html).map_err(|_| fmt::Error);
        match &self.whole {
            Some(whole) => write!(formatter, "<bdi title=\"{}\">{}</bdi>", escaped(whole)?, escaped(&self.shown)?),
            None => write!(formatter, "<bdi>{}</bdi>", escaped(&self.shown)?),
        }
    }
}

impl HtmlSafe for Name {}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => printable(&text[..end]) + "\u{2026}",
        None => printable(text),
    }
}

/// A moment, as its distance from the time of the page, with the time itself on demand.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    time: SystemTime,
    ago: Duration,
}

impl Moment {
    /// Returns a moment for a page of this time.
    pub(super) fn new(time: SystemTime, now: SystemTime) -> Self {
        Self { time, ago: now.duration_since(time).unwrap_or_default() }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = rfc3339(self.time);
        write!(formatter, "<time datetime=\"{time}\" title=\"{time}\">{} ago</time>", span(self.ago))
    }
}

impl HtmlSafe for Moment {}

/// Returns a time to the second. Times that the format lacks are those of 1970.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let mut text = String::new();
    if write!(text, "{}", humantime::format_rfc3339_seconds(time)).is_err() {
        return rfc3339(SystemTime::UNIX_EPOCH);
    }
    text
}

/// Returns a duration in its largest unit.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

/// Returns a duration in words, in a unit that has a whole number of them: `20 minutes`.
pub(super) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (size, unit) = match seconds {
        172_800.. if seconds.is_multiple_of(86400) => (86400, "day"),
        1.. if seconds.is_multiple_of(3600) => (3600, "hour"),
        1.. if seconds.is_multiple_of(60) => (60, "minute"),
        _ => (1, "second"),
    };
    counted(seconds / size, unit, &format!("{unit}s"))
}

/// Returns a number with its noun.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// Returns a mean duration of calls.
pub(super) fn latency(duration: Duration) -> String {
    let ns = duration.as_nanos() as f64;
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "\u{b5}s"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// Returns a number with thousands separators.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join("\u{202f}")
}

/// Returns a number of times.
pub(super) fn times(number: u64) -> String {
    if number == 1 { "once".to_owned() } else { thousands(number) + " times" }
}

/// Returns a rate per second with three digits: `0.10`, `12.3`, `4.56k`.
pub(super) fn rate(rate: f32) -> String {
    let rate = f64::from(rate);
    match rate {
        rate if rate <= 0.0 || !rate.is_finite() => "0".to_owned(),
        rate if rate < 0.005 => "<0.01".to_owned(),
        rate if rate < 999.5 => three_digits(rate),
        rate if rate < 999.5e3 => three_digits(rate / 1e3) + "k",
        rate if rate < 999.5e6 => three_digits(rate / 1e6) + "M",
        rate => three_digits(rate / 1e9) + "G",
    }
}

fn three_digits(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// Returns a text for the value of a query parameter.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use axum::{extract::Query, http::Uri};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_text_whatever_is_in_it() {
        let name = Name::short("<b onclick=\"x\">'&\u{202e}\u{1b}[2J\n");
        let html = name.to_string();
        assert!(html.starts_with("<bdi>") && html.ends_with("</bdi>"), "{html}");
        let inside = html.strip_prefix("<bdi>").unwrap().strip_suffix("</bdi>").unwrap();
        assert!(!inside.contains(['<', '>', '"', '\'', '\u{202e}', '\u{1b}', '\n']), "{inside}");
        assert!(inside.contains("\\u{202e}") && inside.contains("onclick"), "{inside}");
    }

    #[test]
    fn a_long_name_is_cut_and_has_the_whole_on_demand() {
        let html = Name::short(&"x".repeat(1024)).to_string();
        assert!(html.contains(&format!("title=\"{}\"", "x".repeat(1024))), "{html}");
        assert!(html.contains(&format!(">{}\u{2026}</bdi>", "x".repeat(SHORT))), "{html}");
        assert!(Name::whole(&"\u{e9}".repeat(1 << 20)).to_string().len() < 3 * LONG);
    }

    #[test]
    fn numbers_are_short_and_thousands_apart() {
        assert_eq!(
            [0, 999, 1_234_567].map(thousands),
            ["0", "999", "1 234 567"].map(|text| text.replace(' ', "\u{202f}"))
        );
        assert_eq!(
            [0.0, 0.001, 0.1, 9.999, 99.99, 999.9, 1234.0, 2.5e6, 3e9].map(rate),
            ["0", "<0.01", "0.10", "10.0", "100", "1.00k", "1.23k", "2.50M", "3.00G"]
        );
        assert_eq!(
            [90, 600, 90_000, 900_000].map(|s| span(Duration::from_secs(s))),
            ["90 s", "10 min", "25 h", "10 d"]
        );
        assert_eq!(
            [0, 1, 90, 600, 3600, 86_400, 172_800].map(|s| in_words(Duration::from_secs(s))),
            ["0 seconds", "1 second", "90 seconds", "10 minutes", "1 hour", "24 hours", "2 days"]
        );
        assert_eq!(
            [900, 1500, 2_000_000].map(|ns| latency(Duration::from_nanos(ns))),
            ["900 ns", "1.50 \u{b5}s", "2.00 ms"]
        );
    }

    #[test]
    fn a_time_beyond_the_format_is_no_panic() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert_eq!(rfc3339(far), "1970-01-01T00:00:00Z");
        assert!(Moment::new(far, SystemTime::UNIX_EPOCH).to_string().contains(">0 s ago<"));
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_element(text in "\\PC*|[<>\"'&\\\\\u{0}-\u{1f}\u{7f}-\u{9f}\u{202a}-\u{202e}0-9a-f]{0,200}") {
            for name in [Name::short(&text), Name::whole(&text), Name::sentence(&text)] {
                let html = name.to_string();
                prop_assert_eq!(html.matches('<').count(), 2, "{}", &html);
                prop_assert_eq!(html.matches('>').count(), 2, "{}", &html);
                prop_assert!(!html.chars().any(crate::process::is_obeyed), "{}", &html);
            }
        }

        #[test]
        fn encoded_text_is_plain_and_comes_back(text in "\\PC*") {
            let encoded = percent_encoded(&text);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            let uri: Uri = format!("/?q={encoded}").parse().unwrap();
            let Query(back) = Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap();
            prop_assert_eq!(&back, &[("q".to_owned(), text)]);
        }
    }
}
