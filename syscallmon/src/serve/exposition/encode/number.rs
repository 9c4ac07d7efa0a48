//! Numbers in the notation of the formats.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use super::Format;

/// Up to here, all integers are exact as 64-bit floats, the type of Prometheus' values.
const MAX_EXACT: u64 = 1 << f64::MANTISSA_DIGITS;

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// A count. Above 2^53 it is written as the nearest float.
    Integer(u64),
    /// Any other value.
    Float(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl Number {
    /// Writes finite numbers in full, without an exponent, as the prometheus crate does.
    pub(super) fn write(self, format: Format, out: &mut Vec<u8>) {
        match self {
            Self::Integer(value) if value <= MAX_EXACT => write_integer(value, out),
            Self::Integer(value) => write_float(value as f64, format, out),
            Self::Float(value) => write_float(value, format, out),
        }
    }
}

fn write_integer(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_float(value: f64, format: Format, out: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what was cut off is compared below")]
    let integer = value as u64;
    // By bits, because -0.0 keeps its sign.
    if integer <= MAX_EXACT && (integer as f64).to_bits() == value.to_bits() {
        write_integer(integer, out);
    } else if value.is_infinite() && format == Format::OpenMetrics {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        write_display(value, out);
    }
}

fn write_display(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "{value}").expect("writing to a Vec cannot fail");
}

/// Writes the value of `le` for an upper bound.
///
/// In `OpenMetrics` it is the canonical form, as Go's `%g` with `.0` after integers: `1e-06`,
/// `0.000256`, `1.0`, `1e+06`.
pub(super) fn bound(bound: f64, format: Format) -> String {
    if format == Format::Text {
        // Like the prometheus crate: only the last bucket, where it adds it, is `+Inf`.
        return bound.to_string();
    }
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{bound:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ (..-4 | 6..)) => {
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
        }
        _ if bound.fract() == 0.0 => format!("{bound}.0"),
        _ => bound.to_string(),
    }
}

/// When a series began to count, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    /// Since 1970.
    millis: u64,
}

impl Timestamp {
    /// Writes it in seconds since 1970.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        write_integer(self.millis / 1000, out);
        let millis = u16::try_from(self.millis % 1000).unwrap_or_default();
        out.push(b'.');
        for digit in [millis / 100, millis / 10 % 10, millis % 10] {
            out.push(b'0' + u8::try_from(digit).unwrap_or_default());
        }
    }
}

impl From<SystemTime> for Timestamp {
    /// Times before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: impl Into<Number>, format: Format) -> String {
        let mut out = Vec::new();
        number.into().write(format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_as_the_standard_library_prints_them() {
        let big = [9_007_199_254_740_991.0, 9_007_199_254_740_992.0, 9_007_199_254_740_994.0, 1e300, u64::MAX as f64];
        let others = [0.0, 1.0, 0.1, 1e-300, 1e16, 1.5e10, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY];
        for value in big.into_iter().chain(others).flat_map(|value| [value, -value]) {
            assert_eq!(text(value, Format::Text), value.to_string());
        }
    }

    #[test]
    fn openmetrics_has_signed_infinities() {
        let om = |value: f64| text(value, Format::OpenMetrics);
        assert_eq!(
            (om(f64::INFINITY), om(f64::NEG_INFINITY), om(f64::NAN)),
            ("+Inf".into(), "-Inf".into(), "NaN".into())
        );
        assert_eq!((om(3.0), om(-0.5)), ("3".into(), "-0.5".into()));
    }

    /// Values from Go's `strconv.FormatFloat(bound, 'g', -1, 64)`, and the specification's list.
    #[test]
    fn bounds_of_openmetrics_are_canonical() {
        let bounds = [
            1e-10,
            1e-6,
            1.6e-5,
            1e-4,
            0.000_256,
            0.5,
            0.0,
            1.0,
            -1.0,
            10.0,
            16.777_216,
            123.0,
            100_000.0,
            1e6,
            16_777_216.0,
        ];
        let texts = [
            "1e-10",
            "1e-06",
            "1.6e-05",
            "0.0001",
            "0.000256",
            "0.5",
            "0.0",
            "1.0",
            "-1.0",
            "10.0",
            "16.777216",
            "123.0",
            "100000.0",
            "1e+06",
            "1.6777216e+07",
        ];
        for (value, text) in bounds.into_iter().zip(texts) {
            assert_eq!(bound(value, Format::OpenMetrics), text);
        }
        assert_eq!(bound(f64::INFINITY, Format::OpenMetrics), "+Inf");
        assert_eq!(bound(f64::MAX, Format::OpenMetrics), "1.7976931348623157e+308");
        assert_eq!(bound(1e-6, Format::Text), "0.000001");
    }

    #[test]
    fn timestamps_are_seconds_with_three_digits() {
        let text = |millis| {
            let mut out = Vec::new();
            Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).write(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!((text(0), text(1_700_000_000_012)), ("0.000".into(), "1700000000.012".into()));
        assert_eq!(Timestamp::from(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).millis, 0);
    }

    proptest! {
        #[test]
        fn any_float_and_any_integer_look_as_the_float(
            bits in any::<u64>(),
            integer in any::<u64>(),
            shift in 0_u32..64,
        ) {
            let float = f64::from_bits(bits);
            prop_assert_eq!(text(float, Format::Text), float.to_string());
            let integer = integer >> shift;
            prop_assert_eq!(text(integer, Format::Text), (integer as f64).to_string());
            prop_assert_eq!(text(integer as f64, Format::OpenMetrics), text(integer, Format::OpenMetrics));
        }
    }
}
