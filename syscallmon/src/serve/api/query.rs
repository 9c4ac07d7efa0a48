//! Parameters of the API: names, values, and their limits.

use std::{
    collections::HashMap,
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    extract::{MatchedPath, Query, Request, rejection::QueryRejection},
    http::{StatusCode, Uri},
    middleware::Next,
    response::Response,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{json::failure, openapi};
use crate::{
    syscalls::names::suggestion,
    workload::{Budget, Labels, Selector, SelectorError},
};

/// Maximum time of a selector for all workloads.
const MAX_MATCHING: Duration = Duration::from_secs(2);

/// Maximum characters of a parameter that an error repeats.
const MAX_QUOTED: usize = 100;

/// Answers 400 to a request with a parameter that its path does not have.
pub(in crate::serve) async fn check_parameters(path: MatchedPath, request: Request, next: Next) -> Response {
    match unknown_parameter(path.as_str(), request.uri()) {
        Some(problem) => failure(StatusCode::BAD_REQUEST, problem),
        None => next.run(request).await,
    }
}

/// Describes the first parameter that the path does not have.
fn unknown_parameter(path: &str, uri: &Uri) -> Option<String> {
    let known = openapi::parameters(path);
    let Ok(Query(given)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Some("the query cannot be parsed: percent-encode it, as curl -G --data-urlencode does".to_owned());
    };
    let (name, _) = given.into_iter().find(|(name, _)| !known.contains(&name.as_str()))?;
    let has = if known.is_empty() { "has no parameters".to_owned() } else { format!("has {}", known.join(", ")) };
    let guess = suggestion(&name, known.iter().copied());
    Some(format!("unknown parameter {:?}{guess}: {path} {has}", quoted(&name)))
}

/// Parses the query of a request. The text of an error is for the client.
pub(in crate::serve) fn parsed<Q: DeserializeOwned>(
    query: Result<Query<Q>, QueryRejection>,
) -> Result<Q, Box<Response>> {
    query.map(|Query(query)| query).map_err(|rejection| {
        let text = rejection.body_text();
        let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Box::new(failure(StatusCode::BAD_REQUEST, reason.to_owned()))
    })
}

fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}

/// Maximum number of entries of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct Limit(u32);

impl Limit {
    /// Returns the limit of a query, which may have none, within the bounds of the path.
    pub(in crate::serve) fn within(limit: Option<Self>, default: usize, most: usize) -> usize {
        limit.map_or(default, |Self(limit)| usize::try_from(limit).unwrap_or(most)).min(most)
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse().ok()).flatten();
        number.map(Self).ok_or_else(|| format!("{:?} is not a number from 0 to {}", quoted(&text), u32::MAX))
    }
}

/// A point in time: a duration before now (`10m`), RFC 3339, or seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Since(pub SystemTime);

/// A text that is not a point in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not a time: expected a duration such as 10m, a time such as 2026-11-28T09:30:00Z, or seconds since 1970"
)]
pub struct SinceError(String);

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        let refused = || SinceError(quoted(text));
        if let Ok(seconds) = text.parse::<f64>() {
            let since_epoch = Duration::try_from_secs_f64(seconds.max(0.0)).ok().filter(|_| seconds.is_finite());
            return since_epoch.and_then(|time| SystemTime::UNIX_EPOCH.checked_add(time)).map(Self).ok_or_else(refused);
        }
        if let Ok(age) = humantime::parse_duration(text) {
            let time = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
            return Ok(Self(time.max(SystemTime::UNIX_EPOCH)));
        }
        rfc3339(text).map(Self).ok_or_else(refused)
    }
}

impl TryFrom<String> for Since {
    type Error = SinceError;

    fn try_from(text: String) -> Result<Self, SinceError> {
        text.parse()
    }
}

/// Parses a time with `Z` or an offset. A `+` that was not escaped in the URL arrives as a space. All times before 1970
/// are the same.
fn rfc3339(text: &str) -> Option<SystemTime> {
    let (year, rest) = text.split_at_checked(4)?;
    let is_before = year < "1970" && year.bytes().all(|byte| byte.is_ascii_digit());
    // A leap year, like some of those before.
    if is_before { with_offset(&format!("2000{rest}")).map(|_| SystemTime::UNIX_EPOCH) } else { with_offset(text) }
}

fn with_offset(text: &str) -> Option<SystemTime> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Some(time);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset_time = Duration::from_secs(hours * 3600 + minutes * 60);
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    match offset.as_bytes()[0] {
        b'+' | b' ' => time.checked_sub(offset_time),
        b'-' => time.checked_add(offset_time),
        _ => None,
    }
}

/// Why a query is not valid.
#[derive(Debug, thiserror::Error)]
pub(in crate::serve) enum QueryError {
    /// It is not a selector, or is too large.
    #[error("match: {0}")]
    Selector(#[from] SelectorError),
    /// Its regular expressions take too long.
    #[error("match: the regular expressions took longer than {} s; use simpler ones", MAX_MATCHING.as_secs())]
    TooSlow,
    /// Pages need an order that does not change.
    #[error("cursor: only sort=id has pages; for the busiest, use sort=calls and limit")]
    Cursor,
}

impl QueryError {
    /// Returns the status of the answer.
    pub(in crate::serve) fn status(&self) -> StatusCode {
        match self {
            Self::Selector(_) | Self::TooSlow => StatusCode::BAD_REQUEST,
            // Each of the two parameters is valid.
            Self::Cursor => StatusCode::CONFLICT,
        }
    }
}

/// The workloads that `match=` selects. They are found before the answer is built.
#[derive(Default)]
pub(in crate::serve) struct Selection(Option<HashMap<Labels, bool>>);

impl Selection {
    /// Selects from these; `known` is called only if there is something to match.
    pub(in crate::serve) fn of(
        selector: Option<&str>,
        known: impl FnOnce() -> Vec<Labels>,
    ) -> Result<Self, QueryError> {
        let Some(text) = selector else { return Ok(Self(None)) };
        let selector = Selector::parse(text, &Budget::of_request())?;
        let (mut selected, started) = (HashMap::new(), Instant::now());
        for metadata in known() {
            if started.elapsed() > MAX_MATCHING {
                return Err(QueryError::TooSlow);
            }
            selected.entry(metadata).or_insert_with_key(|metadata| selector.matches(metadata));
        }
        Ok(Self(Some(selected)))
    }

    /// Whether these labels are selected. Labels that appeared later are not.
    pub(in crate::serve) fn has(&self, metadata: &Labels) -> bool {
        self.0.as_ref().is_none_or(|selected| selected.get(metadata).copied().unwrap_or(false))
    }
}

/// For fuzz targets.
#[cfg(fuzzing)]
pub(in crate::serve) mod fuzzing {
    use axum::{extract::Query, http::Uri};

    use super::{
        super::{violations::ViolationsQuery, workloads::WorkloadsQuery},
        Selection,
    };
    use crate::workload::Labels;

    /// Takes a URI for one of both pages with a query, and matches these labels with its selector. Returns the text of
    /// an error.
    pub fn queries(uri: &Uri, known: &Labels) -> Vec<String> {
        let workloads = Query::<WorkloadsQuery>::try_from_uri(uri).map(|Query(query)| query.selector);
        let violations = Query::<ViolationsQuery>::try_from_uri(uri).map(|Query(query)| query.selector);
        let of = |query: Result<Option<String>, axum::extract::rejection::QueryRejection>| match query {
            Ok(selector) => {
                Selection::of(selector.as_deref(), || vec![known.clone()]).err().map(|error| error.to_string())
            }
            Err(rejection) => Some(rejection.body_text()),
        };
        [of(workloads), of(violations)].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workload::Label;

    #[test]
    fn a_mistyped_parameter_has_a_suggestion() {
        let unknown = |text: &str| unknown_parameter("/api/v1/violations", &text.parse().unwrap());
        assert_eq!(unknown("/api/v1/violations?since=10m&limit=5"), None);
        assert_eq!(unknown("/api/v1/violations"), None);
        let said = unknown("/api/v1/violations?limt=5").unwrap();
        assert!(said.starts_with("unknown parameter \"limt\" (did you mean limit?)"), "{said}");
        let said = unknown("/api/v1/violations?%1b%5b2J%22=1").unwrap();
        assert!(said.contains(r#"unknown parameter "\u{1b}[2J\"""#) && said.contains("has match, "), "{said}");
        let said = unknown(&format!("/api/v1/violations?{}=1", "x".repeat(5000))).unwrap();
        assert!(said.len() < 400, "{said}");
        let said = unknown_parameter("/api/v1/policies", &"/api/v1/policies?a".parse().unwrap()).unwrap();
        assert!(said.ends_with("/api/v1/policies has no parameters"), "{said}");
    }

    #[test]
    fn a_limit_is_a_number_within_bounds() {
        let limit = |text: &str| Limit::try_from(text.to_owned()).map(|limit| Limit::within(Some(limit), 100, 5000));
        assert_eq!((limit("0"), limit("7"), limit("4294967295")), (Ok(0), Ok(7), Ok(5000)));
        assert_eq!(Limit::within(None, 100, 5000), 100);
        for text in ["", "many", "-1", "+1", "1.5", "4294967296", " 1"] {
            assert!(limit(text).unwrap_err().contains("from 0 to 4294967295"), "{text}");
        }
    }

    #[test]
    fn times_are_durations_dates_and_seconds() {
        let seconds = |text: &str| {
            let Since(time) = text.parse().unwrap();
            time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
        };
        assert!((seconds("1764315000.5") - 1_764_315_000.5).abs() < 1e-6);
        let date = seconds("2025-11-28T07:30:00Z");
        for same in [
            "2025-11-28T07:30:00.000Z",
            "2025-11-28T09:30:00+02:00",
            "2025-11-28T09:30:00 02:00",
            "2025-11-28T02:00:00-05:30",
        ] {
            assert!((seconds(same) - date).abs() < 1e-6, "{same}");
        }
        let ago = SystemTime::now().duration_since("10m".parse::<Since>().unwrap().0).unwrap();
        assert!((590..660).contains(&ago.as_secs()), "{ago:?}");
        assert!(seconds("0107-04-01T02:48:48.8Z").abs() < 1e-6 && seconds("1904-02-29T23:00:00-01:00").abs() < 1e-6);
        assert!(seconds("-5").abs() < 1e-6 && seconds("9999years").abs() < 1e-6);
        for text in [
            "",
            "soon",
            "nan",
            "inf",
            "1e300",
            "2025-11-28",
            "2025-11-28T07:30:00+99:00",
            "0107-13-01T02:48:48Z",
            "\u{e9}\u{e9}\u{e9}+1:0",
        ] {
            let error = text.parse::<Since>().unwrap_err().to_string();
            assert!(error.contains("10m") && error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn a_selection_knows_what_was_there() {
        let labels = |pod: &str| Labels::new([(Label::Pod, pod.into())]);
        let selection = Selection::of(Some(r#"pod=~"web-.*""#), || vec![labels("web-1"), labels("db")]).unwrap();
        assert!(selection.has(&labels("web-1")) && !selection.has(&labels("db")) && !selection.has(&labels("web-2")));
        assert!(Selection::of(None, || unreachable!()).unwrap().has(&labels("db")));
        assert!(Selection::of(Some("pod"), || unreachable!()).is_err());
    }

    proptest! {
        #[test]
        fn no_time_is_too_much(text in "\\PC{0,30}") {
            let _ = text.parse::<Since>();
        }
    }
}
