//! An item of a list of calls: `openat`, `@file-system`, `ia32:*`, `io_uring:openat`.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use crate::syscalls::{Call, IO_URING, UNKNOWN, names, runtime_default, sets, split_argument};

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
    /// Classes of a call's arguments: those with this argument, and those that begin with it and a comma. All have the
    /// name of the call.
    Classes(&'static str, Arc<str>),
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
    /// The call has no classes of arguments.
    #[error("{entry:?}: arguments of {call} are not distinguished{suggestion}")]
    NoClasses {
        /// The whole text.
        entry: String,
        /// The call.
        call: String,
        /// A similar name.
        suggestion: String,
    },
    /// The call has no such class of arguments.
    #[error("{entry:?}: unknown argument of {call}{suggestion}: expected one of {known}")]
    Class {
        /// The whole text.
        entry: String,
        /// The call.
        call: String,
        /// A similar name.
        suggestion: String,
        /// The names of its classes.
        known: String,
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
                NamedCalls::Set(names) => names.binary_search(&call.name()).is_ok() && self.has_class(call),
                NamedCalls::One(name) => call.name() == *name,
                NamedCalls::Classes(name, argument) => call.name() == *name && is_part(call.argument(), argument),
            }
    }

    /// Whether it names a class of a call's arguments, and this is that call.
    #[must_use]
    pub fn names_class_of(&self, call: Call, native: &str, unprefixed: Unprefixed) -> bool {
        let NamedCalls::Classes(name, _) = &self.calls else { return false };
        call.argument().is_empty()
            && call.name() == *name
            && Self { calls: NamedCalls::Everything, ..self.clone() }.names(call, native, unprefixed)
    }

    /// Whether a set has the class of a call's arguments.
    fn has_class(&self, call: Call) -> bool {
        !self.text.ends_with(sets::RUNTIME_DEFAULT) || runtime_default::allows(call.syscall)
    }

    /// Whether it names one call, and not a set or all calls.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(self.calls, NamedCalls::One(_) | NamedCalls::Classes(..))
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

/// Whether an argument is this one, or a part of it: `AF_NETLINK,NETLINK_AUDIT` is a part of `AF_NETLINK`.
fn is_part(argument: &str, of: &str) -> bool {
    argument.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
}

/// Returns the classes of a name such as `socket(AF_ALG)`.
fn classes(entry: &str, name: &str) -> Result<NamedCalls, PolicyEntryError> {
    let (call, argument) = split_argument(name);
    let calls = || names::classes().iter().map(|class| split_argument(class));
    let arguments: Vec<&'static str> = calls().filter(|(of, _)| *of == call).map(|(_, argument)| argument).collect();
    let Some((known, _)) = calls().find(|(known, _)| *known == call) else {
        let is_call = names::system_calls().contains(call);
        let suggestion =
            if is_call { String::new() } else { names::suggestion(call, names::system_calls().iter().copied()) };
        return Err(PolicyEntryError::NoClasses { entry: entry.to_owned(), call: call.to_owned(), suggestion });
    };
    if arguments.iter().any(|known| is_part(known, argument)) {
        return Ok(NamedCalls::Classes(known, argument.into()));
    }
    let suggestion = names::suggestion(argument, arguments.iter().copied());
    let known = arguments.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    Err(PolicyEntryError::Class { entry: entry.to_owned(), call: call.to_owned(), suggestion, known: known.join(", ") })
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
    if name.ends_with(')') && abi != Prefix::One(IO_URING) {
        return classes(&entry(), name);
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

    /// Returns the calls and classes of an entry on x86_64, as names of the native ABI.
    fn with_classes(entry: &str) -> Vec<&'static str> {
        let (table, entry) = (CallTable::x86_64(), entry.parse::<PolicyEntry>().unwrap());
        let named = table.all().filter(|&(_, call)| entry.names(call, "x86_64", Unprefixed::Native));
        named.map(|(_, call)| call.syscall).collect()
    }

    #[test]
    fn a_class_is_named_by_its_argument_or_by_the_begin_of_it() {
        assert_eq!(with_classes("socket(AF_ALG)"), ["socket(AF_ALG)"]);
        assert_eq!(
            with_classes("socket(AF_INET)"),
            ["socket(AF_INET,SOCK_RAW)", "socket(AF_INET,SOCK_PACKET)", "socket(AF_INET)"]
        );
        assert!(with_classes("socket(AF_NETLINK)").len() > 10);
        let socket = with_classes("socket");
        assert!(socket.contains(&"socket") && socket.contains(&"socket(AF_ALG)") && socket.contains(&"socket(other)"));
        let default = with_classes("@runtime-default");
        assert!(
            default.contains(&"socket(AF_UNIX)") && default.contains(&"socket") && !default.contains(&"socket(AF_ALG)")
        );
        assert!(
            with_classes("@network-io").contains(&"socket(AF_ALG)") && with_classes("*").contains(&"socket(AF_ALG)")
        );
        assert_eq!(calls("ia32:socket(AF_ALG)", Unprefixed::Native), [""; 0], "calls alone");
    }

    #[test]
    fn a_class_that_does_not_exist_is_refused_with_what_may_have_been_meant() {
        assert!(error("socket(AF_AGL)").starts_with(
            "\"socket(AF_AGL)\": unknown argument of socket (did you mean AF_ALG?): expected one of AF_ALG"
        ));
        assert_eq!(error("openat(O_RDONLY)"), "\"openat(O_RDONLY)\": arguments of openat are not distinguished");
        assert!(error("sockett(AF_ALG)").ends_with("(did you mean socket?)"));
        for entry in [
            "socket()",
            "socket(",
            "(AF_ALG)",
            "socket(AF_)",
            "socket(AF_ALG",
            "io_uring:socket(AF_ALG)",
            "socket(AF_ALG))",
        ] {
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
