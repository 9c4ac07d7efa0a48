//! An item of a list of calls: `openat`, `@file-system`, `ia32:*`, `io_uring:openat`.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use crate::syscalls::{Call, IO_URING, UNKNOWN, names, sets};

/// Members of each set. Items share them, since a file can have many items.
static SETS: LazyLock<HashMap<&'static str, Arc<[&'static str]>>> =
    LazyLock::new(|| sets::names().filter_map(|set| Some((set, sets::members(set)?.into()))).collect());

/// Stands for every call, or every ABI.
const EVERYTHING: &str = "*";

/// The calls that an item names.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicyEntry {
    text: String,
    abi: Prefix,
    calls: NamedCalls,
}

/// The ABI of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    None,
    Every,
    One(&'static str),
}

/// Calls of an item, in any ABI.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NamedCalls {
    Everything,
    /// Sorted.
    Set(Arc<[&'static str]>),
    One(&'static str),
}

/// Meaning of an item without an ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprefixed {
    /// Only the architecture's own ABI: for lists that allow.
    Native,
    /// Every ABI, and operations of io_uring: a denied call has no other way.
    Every,
}

/// Why an item names no calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyEntryError {
    /// The text before the colon is not an ABI.
    #[error(
        "{entry:?}: {abi:?} is not an ABI{}: expected one of {}, or * for all",
        names::suggestion(abi, names::ABIS),
        names::ABIS.join(", ")
    )]
    Abi {
        /// The whole text.
        entry: String,
        /// The supposed ABI.
        abi: String,
    },
    /// There is no such set.
    #[error("{entry:?}: unknown set of system calls{suggestion}: expected one of {}", sets::names().collect::<Vec<_>>().join(", "))]
    Set {
        /// The whole text.
        entry: String,
        /// A similar name.
        suggestion: String,
    },
    /// No architecture has the call.
    #[error("{entry:?}: unknown system call{suggestion}")]
    SystemCall {
        /// The whole text.
        entry: String,
        /// A similar name.
        suggestion: String,
    },
    /// io_uring does not have the operation.
    #[error("{entry:?}: unknown io_uring operation{suggestion}")]
    Operation {
        /// The whole text.
        entry: String,
        /// A similar name.
        suggestion: String,
    },
}

impl PolicyEntry {
    /// Whether it names this call, on an architecture with `native` as its own ABI.
    #[must_use]
    pub fn names(&self, call: Call, native: &str, unprefixed: Unprefixed) -> bool {
        let of_abi = match self.abi {
            Prefix::Every => true,
            Prefix::One(abi) => call.abi == abi,
            Prefix::None => unprefixed == Unprefixed::Every || call.abi == native,
        };
        of_abi
            && match &self.calls {
                NamedCalls::Everything => true,
                NamedCalls::Set(names) => names.binary_search(&call.syscall).is_ok(),
                NamedCalls::One(name) => call.syscall == *name,
            }
    }

    /// Whether it names one call, and not a set or all calls.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(self.calls, NamedCalls::One(_))
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PolicyEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for PolicyEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for PolicyEntry {
    type Err = PolicyEntryError;

    fn from_str(text: &str) -> Result<Self, PolicyEntryError> {
        let entry = text.trim();
        let (abi, name) = match entry.split_once(':') {
            None => (Prefix::None, entry),
            Some((EVERYTHING, name)) => (Prefix::Every, name),
            Some((abi, name)) => {
                let known = names::ABIS.into_iter().find(|&known| known == abi);
                let unknown = || PolicyEntryError::Abi { entry: entry.to_owned(), abi: abi.to_owned() };
                (Prefix::One(known.ok_or_else(unknown)?), name)
            }
        };
        Ok(Self { text: entry.to_owned(), abi, calls: named(entry, abi, name)? })
    }
}

/// Returns the calls of a name, in all ABIs that have it.
fn named(entry: &str, abi: Prefix, name: &str) -> Result<NamedCalls, PolicyEntryError> {
    let entry = || entry.to_owned();
    if name == EVERYTHING {
        return Ok(NamedCalls::Everything);
    }
    if name.starts_with('@') {
        let members = SETS.get(name).cloned();
        let error = || PolicyEntryError::Set { entry: entry(), suggestion: names::suggestion(name, sets::names()) };
        return members.map(NamedCalls::Set).ok_or_else(error);
    }
    if name == UNKNOWN {
        return Ok(NamedCalls::One(UNKNOWN));
    }
    let calls = names::system_calls();
    let operations = names::operations();
    let known = match abi {
        Prefix::One(IO_URING) => operations.get(name),
        Prefix::One(_) => calls.get(name),
        Prefix::None | Prefix::Every => calls.get(name).or_else(|| operations.get(name)),
    };
    match known {
        // An operation that is not a system call requires the prefix `io_uring:`.
        Some(name) if abi != Prefix::None || calls.contains(name) => Ok(NamedCalls::One(name)),
        Some(name) => Err(PolicyEntryError::SystemCall {
            entry: entry(),
            suggestion: format!(" (did you mean {IO_URING}:{name}?)"),
        }),
        None if abi == Prefix::One(IO_URING) => {
            let suggestion = names::suggestion(name, operations.iter().copied());
            Err(PolicyEntryError::Operation { entry: entry(), suggestion })
        }
        None => {
            let suggestion = names::suggestion(name, calls.iter().copied());
            Err(PolicyEntryError::SystemCall { entry: entry(), suggestion })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syscalls::CallTable;

    /// Returns the calls of an entry on x86_64, as `abi:name`.
    fn calls(entry: &str, unprefixed: Unprefixed) -> Vec<String> {
        let (table, entry) = (CallTable::x86_64(), entry.parse::<PolicyEntry>().unwrap());
        let named = table.iter().filter(|&(_, call)| entry.names(call, table.native_abi(), unprefixed));
        named.map(|(_, call)| format!("{}:{}", call.abi, call.syscall)).collect()
    }

    fn error(entry: &str) -> String {
        entry.parse::<PolicyEntry>().unwrap_err().to_string()
    }

    #[test]
    fn a_name_without_an_abi_is_the_native_one_where_calls_are_allowed() {
        assert_eq!(calls("openat", Unprefixed::Native), ["x86_64:openat"]);
        assert_eq!(calls("ia32:openat", Unprefixed::Native), ["ia32:openat"]);
        assert_eq!(calls("io_uring:openat", Unprefixed::Native), ["io_uring:openat"]);
    }

    #[test]
    fn a_name_without_an_abi_is_every_one_where_calls_are_denied() {
        let every = ["x86_64:openat", "ia32:openat", "x32:openat", "io_uring:openat"];
        assert_eq!(calls("openat", Unprefixed::Every), every);
        assert_eq!(calls("*:openat", Unprefixed::Native), every);
        assert_eq!(calls("ia32:openat", Unprefixed::Every), ["ia32:openat"]);
    }

    #[test]
    fn a_set_in_io_uring_is_its_names_that_are_operations() {
        let operations = calls("io_uring:@file-system", Unprefixed::Native);
        assert!(operations.contains(&"io_uring:openat".to_owned()), "{operations:?}");
        assert!(operations.iter().all(|call| call.starts_with("io_uring:")), "{operations:?}");
    }

    #[test]
    fn everything_has_the_unknown_numbers_of_its_abi() {
        assert!(calls("*", Unprefixed::Native).contains(&"x86_64:unknown".to_owned()));
        assert!(!calls("*", Unprefixed::Native).contains(&"ia32:unknown".to_owned()));
        assert_eq!(calls("ia32:unknown", Unprefixed::Native), ["ia32:unknown"]);
        assert!(!calls("@system-service", Unprefixed::Native).contains(&"x86_64:unknown".to_owned()));
    }

    #[test]
    fn what_only_another_architecture_has_names_nothing_and_is_no_mistake() {
        for entry in ["aarch32:*", "aarch64:openat", "arm_fadvise64_64"] {
            assert_eq!(calls(entry, Unprefixed::Native), [""; 0], "{entry}");
        }
    }

    #[test]
    fn what_names_nothing_anywhere_is_refused_with_what_may_have_been_meant() {
        assert_eq!(error("opennat"), "\"opennat\": unknown system call (did you mean openat?)");
        assert!(error("io_uring:opennat").ends_with("unknown io_uring operation (did you mean openat?)"));
        assert!(error("read_fixed").ends_with("(did you mean io_uring:read_fixed?)"));
        assert!(error("@filesystem").contains("(did you mean @file-system?)"));
        assert!(error("i386:openat").contains("\"i386\" is not an ABI: expected one of x86_64, ia32"));
        for entry in ["", ":", "ia32:", "@", "open at", "ia32:ia32:open", "**", "@*"] {
            assert!(entry.parse::<PolicyEntry>().is_err(), "{entry}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            let _ = text.parse::<PolicyEntry>();
        }
    }
}
