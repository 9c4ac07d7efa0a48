//! Ids that stay the same over restarts, because they are computed from the identity of a thing.

use std::{fmt, str::FromStr};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The first 64 bits of a SHA-256 hash, written as 16 hex digits. The hash includes the kind of thing, so ids of
/// different kinds differ.
///
/// A container can choose its names, but a search for two things with one id takes about 2^32 names. Code that looks up
/// an id therefore treats an ambiguous id as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StableId(u64);

/// A text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 16 hex digits, such as 0123456789abcdef")]
pub struct StableIdError;

/// Digits of an id.
const DIGITS: usize = 16;

impl StableId {
    /// Returns the id of the thing of this kind that has these parts. Each part is hashed with its length, so the
    /// boundaries between parts count.
    #[must_use]
    pub fn of<'a>(kind: &'static str, parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in std::iter::once(kind).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let hash = context.finish();
        Self(hash.as_ref().iter().take(size_of::<u64>()).fold(0, |id, &byte| id << 8 | u64::from(byte)))
    }
}

impl fmt::Display for StableId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:0DIGITS$x}", self.0)
    }
}

impl FromStr for StableId {
    type Err = StableIdError;

    /// Parses exactly 16 hex digits, of either case.
    fn from_str(text: &str) -> Result<Self, StableIdError> {
        let is_id = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or(StableIdError)
    }
}

impl Serialize for StableId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StableId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_does_not_change_between_versions() {
        // printf '\0\0\0\0\0\0\0\5thing\0\0\0\0\0\0\0\1a\0\0\0\0\0\0\0\2bc' | sha256sum | cut -c -16
        assert_eq!(StableId::of("thing", ["a", "bc"]).to_string(), "f62a9471b6e5a182");
    }

    #[test]
    fn only_16_hex_digits_are_an_id() {
        assert_eq!("0123456789ABCDEF".parse(), Ok(StableId(0x0123_4567_89ab_cdef)));
        for text in
            ["", "0123456789abcde", "0123456789abcdef0", "+123456789abcdef", "0123456789abcdeg", "0x23456789abcdef"]
        {
            assert_eq!(text.parse::<StableId>(), Err(StableIdError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ids_are_read_as_they_are_written(id in any::<u64>()) {
            prop_assert_eq!(StableId(id).to_string().parse(), Ok(StableId(id)));
        }

        #[test]
        fn boundaries_of_parts_count(parts in prop::collection::vec("[ab]{0,3}", 0..4),
                                     others in prop::collection::vec("[ab]{0,3}", 0..4)) {
            let id = |parts: &[String]| StableId::of("thing", parts.iter().map(String::as_str));
            prop_assert_eq!(id(&parts) == id(&others), parts == others);
            prop_assert_ne!(id(&parts), StableId::of("other", parts.iter().map(String::as_str)));
        }
    }
}
