//! Values in queries of the API, and their limits.

use std::{
    collections::HashMap,
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};

use serde::Deserialize;

use crate::workload::{Budget, Labels, Selector, SelectorError};

/// Maximum time of a selector for all workloads.
const MAX_MATCHING: Duration = Duration::from_secs(2);

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
        let refused = || SinceError(text.chars().take(100).collect());
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

/// Parses a time with `Z` or an offset. A `+` that was not escaped in the URL arrives as a space.
fn rfc3339(text: &str) -> Option<SystemTime> {
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

/// Why `match=` is not valid.
#[derive(Debug, thiserror::Error)]
pub(in crate::serve) enum MatchError {
    /// It is not a selector, or is too large.
    #[error("match: {0}")]
    Selector(#[from] SelectorError),
    /// Its regular expressions take too long.
    #[error("match: the regular expressions took longer than {} s; use simpler ones", MAX_MATCHING.as_secs())]
    TooSlow,
}

/// The workloads that `match=` selects. They are found before the answer is built.
#[derive(Default)]
pub(in crate::serve) struct Selection(Option<HashMap<Labels, bool>>);

impl Selection {
    /// Selects from these; `known` is called only if there is something to match.
    pub(in crate::serve) fn of(
        selector: Option<&str>,
        known: impl FnOnce() -> Vec<Labels>,
    ) -> Result<Self, MatchError> {
        let Some(text) = selector else { return Ok(Self(None)) };
        let selector = Selector::parse(text, &Budget::of_request())?;
        let (mut selected, started) = (HashMap::new(), Instant::now());
        for metadata in known() {
            if started.elapsed() > MAX_MATCHING {
                return Err(MatchError::TooSlow);
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
        assert!(seconds("-5").abs() < 1e-6 && seconds("9999years").abs() < 1e-6);
        for text in
            ["", "soon", "nan", "inf", "1e300", "2025-11-28", "2025-11-28T07:30:00+99:00", "\u{e9}\u{e9}\u{e9}+1:0"]
        {
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
