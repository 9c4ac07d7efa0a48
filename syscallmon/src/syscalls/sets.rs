//! Sets of system calls with the names and members of systemd's `SystemCallFilter=`, and [`RUNTIME_DEFAULT`].
//!
//! Has no state, and does not depend on an installed systemd. Sets contain calls of all architectures, so some members
//! are in no table here. Some calls are in no set of systemd.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use super::{runtime_default, table::sets::SETS};

/// The systemd release that the sets come from.
pub use super::table::sets::SYSTEMD_VERSION;

/// The set of calls that container runtimes allow by default. systemd has no set with this name.
pub const RUNTIME_DEFAULT: &str = "@runtime-default";

/// A table of (set, members), sorted by set; members that begin with `@` are sets.
type Sets<'a> = &'a [(&'a str, &'a [&'a str])];

/// Returns the calls of a set, including the sets in it, sorted, each once; `None` if there is no such set.
///
/// `set` includes its `@`: `@file-system`. Source: `systemd-analyze syscall-filter`, without systemd's `@known`.
#[must_use]
pub fn members(set: &str) -> Option<Vec<&'static str>> {
    if set == RUNTIME_DEFAULT { Some(runtime_default::ALLOWED.to_vec()) } else { resolve(SETS, set) }
}

/// Returns the names of all sets, with their `@`.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|&(set, _)| set).chain([RUNTIME_DEFAULT])
}

/// Returns the set that represents a call: of systemd's sets with the call, the one with the fewest calls, and of
/// equals the first by name. `None` for calls in no set.
#[must_use]
pub fn smallest_with(call: &str) -> Option<&'static str> {
    static SET_OF_CALL: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
        let sets = SETS.iter().filter_map(|&(set, _)| Some((members(set)?, set)));
        let mut sets: Vec<(Vec<&str>, &str)> = sets.collect();
        // The smallest comes last, and replaces the others.
        sets.sort_by_key(|(calls, set)| Reverse((calls.len(), *set)));
        sets.into_iter().flat_map(|(calls, set)| calls.into_iter().map(move |call| (call, set))).collect()
    });
    SET_OF_CALL.get(call).copied()
}

/// Visits every set once, even if sets contain each other.
fn resolve<'a>(sets: Sets<'a>, set: &str) -> Option<Vec<&'a str>> {
    let mut waiting = direct(sets, set)?.to_vec();
    let mut seen = BTreeSet::new();
    while let Some(member) = waiting.pop() {
        if seen.insert(member) && member.starts_with('@') {
            waiting.extend(direct(sets, member).unwrap_or_default());
        }
    }
    seen.retain(|member| !member.starts_with('@'));
    Some(seen.into_iter().collect())
}

/// Returns the direct members of a set.
fn direct<'a>(sets: Sets<'a>, set: &str) -> Option<&'a [&'a str]> {
    let index = sets.binary_search_by_key(&set, |&(name, _)| name).ok()?;
    Some(sets[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(set: &str, call: &str) -> bool {
        members(set).is_some_and(|calls| calls.contains(&call))
    }

    #[test]
    fn calls_are_in_the_sets_where_systemd_has_them() {
        assert!(has("@file-system", "openat") && !has("@file-system", "read"));
        assert!(has("@basic-io", "read") && !has("@basic-io", "openat"));
        assert!(has("@network-io", "sendmsg"));
        assert!(has("@io-event", "epoll_wait"));
        assert!(has("@process", "clone3"));
    }

    #[test]
    fn sets_in_a_set_are_resolved() {
        let service = members("@system-service").unwrap();
        for nested in ["@file-system", "@network-io", "@default", "@sandbox"] {
            assert!(members(nested).unwrap().iter().all(|call| service.contains(call)), "{nested}");
        }
        assert!(!service.contains(&"swapon"));
        for set in names() {
            let calls = members(set).unwrap();
            assert!(!calls.is_empty() && calls.is_sorted_by(|a, b| a < b), "{set}");
            assert!(calls.iter().all(|call| !call.starts_with('@')), "{set}");
        }
    }

    #[test]
    fn the_smallest_set_stands_for_a_call() {
        for (call, set) in [
            ("close", Some("@basic-io")),
            ("read", Some("@basic-io")),
            ("times", Some("@timer")),
            ("setuid", Some("@setuid")),
            ("pivot_root", Some("@mount")),
            ("seccomp", Some("@sandbox")),
            ("ioctl", Some("@system-service")),
            ("cachestat", None),
            ("no_such_call", None),
        ] {
            assert_eq!(smallest_with(call), set, "{call}");
        }
    }

    #[test]
    fn no_other_set_of_a_call_has_fewer_calls() {
        let size = |set: &str| members(set).unwrap().len();
        for (set, _) in SETS {
            for call in members(set).unwrap() {
                let smallest = smallest_with(call).unwrap();
                assert!(has(smallest, call), "{call}: {smallest}");
                assert!((size(smallest), smallest) <= (size(set), *set), "{call}: {smallest}, not {set}");
            }
        }
    }

    #[test]
    fn unknown_sets_have_no_members() {
        for set in ["@unknown", "@known", "file-system", "openat", "@", ""] {
            assert_eq!(members(set), None, "{set}");
        }
    }

    #[test]
    fn sets_that_contain_each_other_are_resolved() {
        let sets: Sets = &[("@a", &["@b", "read"]), ("@b", &["@a", "@b", "openat", "read"])];
        assert_eq!(resolve(sets, "@a"), Some(vec!["openat", "read"]));
        assert_eq!(resolve(sets, "@b"), Some(vec!["openat", "read"]));
    }

    #[test]
    fn table_is_sorted_and_names_no_set_that_it_lacks() {
        assert!(SETS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(direct(SETS, RUNTIME_DEFAULT), None);
        let nested = SETS.iter().flat_map(|(_, members)| *members).filter(|member| member.starts_with('@'));
        assert!(nested.copied().all(|set| members(set).is_some()));
    }
}
