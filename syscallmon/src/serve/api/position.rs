//! Lists whose entries are in the order of their last call, the newest first, and places in them.

use std::{cmp::Reverse, str::FromStr, sync::Arc, time::SystemTime};

use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::{json::ListAnswer, query::Limit};
use crate::stable_id::StableId;

/// Default and maximum number of entries in an answer.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 5000;

/// Fields of an answer besides the entries.
#[derive(Serialize)]
struct Head {
    /// Number of matches, on all pages together.
    total: usize,
}

/// Answers with a page of these entries, which follow `cursor`. The answer has them as `key`.
pub(super) fn newest_page<'a, E: Serialize + 'a>(
    key: &str,
    entries: impl Iterator<Item = (Position, &'a Arc<E>)>,
    cursor: Option<Position>,
    limit: Option<Limit>,
) -> Response {
    let mut entries: Vec<(Position, &Arc<E>)> = entries.collect();
    let head = Head { total: entries.len() };
    entries.retain(|(position, _)| cursor.is_none_or(|cursor| *position > cursor));
    entries.sort_unstable_by_key(|(position, _)| *position);
    let limit = Limit::within(limit, DEFAULT_LIMIT, MAX_LIMIT);
    let next = |(position, _): &(Position, _)| Some(position.to_string());
    ListAnswer::new(&head, key).page(&entries, limit, |(_, entry)| Arc::clone(entry), next)
}

/// The place of an entry. One that is seen again moves to the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct Position {
    /// When it was last seen, in nanoseconds since 1970, the newest first.
    last_seen: Reverse<u128>,
    id: StableId,
}

impl Position {
    pub(super) fn new(last_seen: SystemTime, id: StableId) -> Self {
        let since_epoch = last_seen.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { last_seen: Reverse(since_epoch.as_nanos()), id }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.last_seen.0, self.id)
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let position = || {
            let (last_seen, id) = text.split_once('-')?;
            Some(Self { last_seen: Reverse(last_seen.parse().ok()?), id: id.parse().ok()? })
        };
        position().ok_or("cursor: not a cursor; use the value of next in the answer before")
    }
}

impl TryFrom<String> for Position {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
