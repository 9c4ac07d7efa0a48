//! Sets of system calls, with the names and the meaning that they have in systemd's `SystemCallFilter=`, and [`RUNTIME_DEFAULT`].
//!
//! Owns no state and never asks an installed systemd. A set names calls of all architectures, so some of its members
//! are in no table here; calls that systemd left out of all sets are in none.

use std::collections::BTreeSet;

use super::{runtime_default, table::sets::SETS};

/// The systemd release that the sets come from.
pub use super::table::sets::SYSTEMD_VERSION;

/// The set of what container runtimes allow by default; systemd has none of this name.
pub const RUNTIME_DEFAULT: &str = "@runtime-default";

/// A table of (set, members), sorted by set; members that begin with `@` are sets.
type Sets<'a> = &'a [(&'a str, &'a [&'a str])];

/// The calls of a set and of the sets in it, sorted, each once; `None` if there is no such set.
///
/// `set` is with its `@`: `@file-system`. Source: `systemd-analyze syscall-filter`; systemd's `@known` is left out.
#[must_use]
pub fn members(set: &str) -> Option<Vec<&'static str>> {
    if set == RUNTIME_DEFAULT { Some(runtime_default::ALLOWED.to_vec()) } else { resolve(SETS, set) }
}

/// Names of all sets, with their `@`.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|&(set, _)| set).chain([RUNTIME_DEFAULT])
}

/// Goes through every set once, also where sets contain each other.
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

/// The members that a set has itself.
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
