//! Calls of container runtimes that a seccomp profile must allow beside those of the program.
//!
//! A runtime loads the filter and makes more calls before the program's first instruction. These are the calls that
//! `cargo xtask runtime-bases` measured with the runtimes of Debian. With `no_new_privs`, a runtime loads the filter
//! late and makes few calls. This module does no I/O.

mod table;

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::danger;

/// The day of the measurement, as `2026-11-29`.
pub const MEASURED_ON: &str = table::MEASURED_ON;

/// The calls of one version of a runtime on x86_64, with one value of `no_new_privs`.
///
/// *Needed* calls are those without which starts failed with EPERM, each denied alone. *Made* calls are all calls under
/// the filter. `exec` is the start of another program in a running container.
struct Measured {
    runtime: &'static str,
    version: &'static str,
    no_new_privileges: bool,
    needed: &'static [&'static str],
    made: &'static [&'static str],
    exec_needed: &'static [&'static str],
    exec_made: &'static [&'static str],
}

/// A measured runtime, and optionally its version: `runc`, `runc-1.3` or `runc-1.3.6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    name: &'static str,
    /// The newest measured version that the text stands for; `None` for all versions.
    version: Option<&'static str>,
}

/// A text that names no measured runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a measured container runtime: use one of {}", known().join(", "))]
pub struct UnknownRuntime {
    text: String,
}

impl FromStr for Runtime {
    type Err = UnknownRuntime;

    /// Parses a name, optionally with a version or its first numbers. Of several versions, the newest counts.
    fn from_str(text: &str) -> Result<Self, UnknownRuntime> {
        let unknown = || UnknownRuntime { text: text.chars().take(64).collect() };
        let (name, version) = text.split_once('-').map_or((text, None), |(name, version)| (name, Some(version)));
        let rows = table::BASES.iter().filter(|row| row.runtime == name);
        let Some(version) = version else {
            return rows.map(|row| Self { name: row.runtime, version: None }).next().ok_or_else(unknown);
        };
        let matching = rows.filter(|row| begins_with(row.version, version));
        let newest = matching.max_by_key(|row| numbers(row.version)).ok_or_else(unknown)?;
        Ok(Self { name: newest.runtime, version: Some(newest.version) })
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(formatter, "{}-{version}", self.name),
            None => formatter.write_str(self.name),
        }
    }
}

/// Returns the names of all measured runtimes with their versions, and without: `runc`, `runc-1.1.5`.
#[must_use]
pub fn known() -> Vec<String> {
    let versions = table::BASES.iter().map(|row| format!("{}-{}", row.runtime, row.version));
    let names: BTreeSet<String> = table::BASES.iter().map(|row| row.runtime.to_owned()).chain(versions).collect();
    names.into_iter().collect()
}

/// Returns the calls that runtimes make under the filter, to start a container or another program in it.
///
/// `None` stands for every runtime, or for both values of `no_new_privs`. Dangerous calls are left out if runtimes
/// survive a refusal: runc 1.3 tries `fsopen` and `open_tree` when it starts another program, and then works without.
#[must_use]
pub fn base(runtime: Option<Runtime>, no_new_privileges: Option<bool>) -> BTreeSet<&'static str> {
    let needed = needed(runtime, no_new_privileges);
    let mut made = union(runtime, no_new_privileges, |row| [row.made, row.exec_made]);
    made.retain(|name| danger::of(name).is_none() || needed.contains(name));
    made
}

/// Returns the calls without which these runtimes do not start a container, or another program in it.
///
/// A profile that lacks one of them fails with a runtime that needs it. A profile that has them all can still fail: a
/// runtime can need one of two calls. Without openat2, runc 1.3 needs fcntl.
#[must_use]
pub fn needed(runtime: Option<Runtime>, no_new_privileges: Option<bool>) -> BTreeSet<&'static str> {
    union(runtime, no_new_privileges, |row| [row.needed, row.exec_needed])
}

fn union(
    runtime: Option<Runtime>,
    no_new_privileges: Option<bool>,
    calls: impl Fn(&Measured) -> [&'static [&'static str]; 2],
) -> BTreeSet<&'static str> {
    let is_of = |row: &Measured, runtime: Runtime| {
        row.runtime == runtime.name && runtime.version.is_none_or(|version| version == row.version)
    };
    let rows = table::BASES
        .iter()
        .filter(|row| runtime.is_none_or(|runtime| is_of(row, runtime)))
        .filter(|row| no_new_privileges.is_none_or(|value| value == row.no_new_privileges));
    rows.flat_map(calls).flatten().copied().collect()
}

/// Whether a version begins with these numbers: 1.3.6 with 1.3, but 1.15 not with 1.1.
fn begins_with(version: &str, beginning: &str) -> bool {
    version.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::names;

    fn runtime(text: &str) -> Runtime {
        text.parse().unwrap()
    }

    #[test]
    fn dangerous_calls_that_runtimes_can_do_without_are_left_out() {
        let all = base(None, None);
        assert!(union(None, None, |row| [row.made, row.exec_made]).contains("fsopen"));
        assert!(!all.contains("fsopen") && !all.contains("open_tree") && !all.contains("mount"));
        assert!(needed(None, None).is_subset(&all));
    }

    #[test]
    fn every_name_is_a_call_and_the_lists_are_sorted() {
        for row in table::BASES {
            for list in [row.needed, row.made, row.exec_needed, row.exec_made] {
                assert!(list.is_sorted() && list.iter().all(|name| names::system_calls().contains(name)), "{list:?}");
            }
            for (needed, made) in [(row.needed, row.made), (row.exec_needed, row.exec_made)] {
                assert!(needed.iter().all(|name| made.contains(name)), "{} {}", row.runtime, row.version);
                assert!(needed.contains(&"execve"), "{} {}", row.runtime, row.version);
            }
        }
        assert_eq!(table::BASES.len() % 2, 0, "a row for each value of no_new_privs");
    }

    #[test]
    fn late_filter_needs_no_other_calls_than_an_early_one() {
        for text in known() {
            let of = |no_new_privileges| needed(Some(runtime(&text)), Some(no_new_privileges));
            assert!(of(true).is_subset(&of(false)), "{text}");
            assert!(of(true).len() < of(false).len(), "{text}");
        }
    }

    #[test]
    fn newer_runc_makes_newer_calls() {
        let [old, new] = ["runc-1.1", "runc-1.3"].map(|text| base(Some(runtime(text)), Some(true)));
        for call in ["openat2", "statx"] {
            assert!(!old.contains(call) && new.contains(call), "{call}");
        }
    }

    #[test]
    fn union_of_everything_is_the_default() {
        let all = base(None, None);
        for text in known() {
            for no_new_privileges in [None, Some(true), Some(false)] {
                let part = base(Some(runtime(&text)), no_new_privileges);
                assert!(part.is_subset(&all) && part.len() < all.len(), "{text}");
                assert!(needed(Some(runtime(&text)), no_new_privileges).is_subset(&part), "{text}");
            }
        }
    }

    #[test]
    fn runtime_is_chosen_by_the_beginning_of_its_version() {
        assert_eq!(runtime("runc").to_string(), "runc");
        for text in known() {
            assert_eq!(runtime(&text).to_string(), text);
        }
        let newest = runtime("runc-1");
        assert!(known().contains(&newest.to_string()));
        assert!(numbers(newest.version.unwrap()) >= [1, 3].to_vec(), "{newest}");
        assert!(begins_with("1.3.6", "1.3") && begins_with("1.21", "1.21"));
        assert!(!begins_with("1.21", "1.2") && !begins_with("1.3.6", "1.3.60"));
    }

    #[test]
    fn error_lists_the_known_runtimes() {
        for text in ["", "runc-", "runc-9", "youki", "runc-1.1.5-x"] {
            let error = text.parse::<Runtime>().unwrap_err().to_string();
            assert!(error.contains("is not a measured container runtime: use one of crun, crun-1."), "{error}");
        }
    }
}
