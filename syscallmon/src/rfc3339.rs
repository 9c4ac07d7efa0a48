//! Timestamps in RFC 3339, in any time zone, because people and other programs do not all write UTC.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, de::Error};

/// Parses a timestamp, for serde.
///
/// # Errors
///
/// When the text is not a timestamp.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text)
        .ok_or_else(|| D::Error::custom(format!("{text:?} is not a time: expected the form 2026-01-31T12:00:00Z")))
}

/// Parses an optional timestamp, for serde.
///
/// # Errors
///
/// When there is a text that is not a timestamp.
pub fn deserialize_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    #[derive(Deserialize)]
    struct Time(#[serde(deserialize_with = "deserialize")] SystemTime);
    Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
}

/// The last second of the range: of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Parses a timestamp from 1970 to 9999; `None` for other texts. With an offset, other years could be parsed, but not
/// written again.
#[must_use]
pub fn parse(text: &str) -> Option<SystemTime> {
    let can_be_written = |time: &SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() <= LAST_SECOND)
    };
    parse_any(text).filter(can_be_written)
}

fn parse_any(text: &str) -> Option<SystemTime> {
    let text = text.to_ascii_uppercase();
    if text.ends_with('Z') {
        return humantime::parse_rfc3339(&text).ok();
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |digits: &str, limit: u64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<u64>().ok()).flatten().filter(|number| *number < limit)
    };
    let offset = Duration::from_secs(60 * (60 * number(hours, 24)? + number(minutes, 60)?));
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    match zone.chars().next()? {
        // With a positive offset, UTC is earlier.
        '+' => local.checked_sub(offset),
        '-' => local.checked_add(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utc(text: &str) -> Option<String> {
        parse(text).map(|time| humantime::format_rfc3339_seconds(time).to_string())
    }

    #[test]
    fn every_zone_is_understood() {
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00z",
            "2026-01-31T14:00:00+02:00",
            "2026-01-31T06:30:00-05:30",
            "2026-01-31T12:00:00.250-00:00",
            "2026-02-01T01:45:00+13:45",
        ] {
            assert_eq!(utc(text).as_deref(), Some("2026-01-31T12:00:00Z"), "{text}");
        }
        for zone in ["", "+2:00", "+24:00", "+00:60", "*02:00", "+-1:00"] {
            assert_eq!(utc(&format!("2026-01-31T12:00:00{zone}")), None, "{zone}");
        }
    }

    #[test]
    fn only_times_that_can_be_written_are_read() {
        for text in ["1970-01-01T01:00:00+02:00", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(utc(text), None, "{text}");
        }
        assert_eq!(utc("1970-01-01T02:00:00+02:00").as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(utc("9999-12-31T23:58:59.9-00:01").as_deref(), Some("9999-12-31T23:59:59Z"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
