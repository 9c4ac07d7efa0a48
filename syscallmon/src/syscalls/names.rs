//! Names that exist on any architecture, because one configuration serves nodes of all architectures.

use std::{collections::BTreeSet, sync::LazyLock};

use super::{Call, CallTable, IO_URING, UNKNOWN};

/// Names of system calls, and of io_uring's operations, in all tables.
static NAMES: LazyLock<[BTreeSet<&'static str>; 2]> = LazyLock::new(|| {
    let mut names = [BTreeSet::new(), BTreeSet::new()];
    for table in [CallTable::x86_64(), CallTable::aarch64()] {
        for (_, call) in table.iter().filter(|(_, call)| call.syscall != UNKNOWN) {
            names[usize::from(call.abi == IO_URING)].insert(call.syscall);
        }
    }
    names
});

/// Names of classes of arguments in all tables, as `socket(AF_ALG)`.
static CLASSES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let of_table = |table: CallTable| table.all().map(|(_, call)| call).collect::<Vec<_>>();
    let calls = [CallTable::x86_64(), CallTable::aarch64()].into_iter().flat_map(of_table);
    calls.filter(|call| !call.argument().is_empty()).map(|call| call.syscall).collect()
});

/// Calls and operations of all tables.
static CALLS: LazyLock<BTreeSet<Call>> = LazyLock::new(|| {
    let tables = [CallTable::x86_64(), CallTable::aarch64()];
    tables.iter().flat_map(CallTable::all).map(|(_, call)| call).filter(|call| call.syscall != UNKNOWN).collect()
});

/// Returns the call of an ABI with this name, of any architecture.
#[must_use]
pub fn call(abi: &str, syscall: &str) -> Option<Call> {
    let abi = ABIS.into_iter().find(|known| *known == abi)?;
    let syscall = NAMES.iter().chain([&*CLASSES]).find_map(|names| names.get(syscall))?;
    CALLS.get(&Call { abi, syscall }).copied()
}

/// ABIs of every architecture, and the prefix of io_uring's operations.
pub const ABIS: [&str; 6] = ["x86_64", "ia32", "x32", "aarch64", "aarch32", IO_URING];

/// Names of system calls.
#[must_use]
pub fn system_calls() -> &'static BTreeSet<&'static str> {
    &NAMES[0]
}

/// Names of classes of arguments.
#[must_use]
pub fn classes() -> &'static BTreeSet<&'static str> {
    &CLASSES
}

/// Names of io_uring's operations.
#[must_use]
pub fn operations() -> &'static BTreeSet<&'static str> {
    &NAMES[1]
}

/// Returns a suggestion for an error's message, ` (did you mean openat?)`, or nothing.
pub(crate) fn suggestion(typed: &str, names: impl IntoIterator<Item = &'static str>) -> String {
    nearest(typed, names).map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// Returns the name that was probably meant, if there is one.
pub(crate) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (most, length) = ((typed.len() / 3).clamp(1, 3), typed.chars().count());
    // Names with a very different length are not similar, and a comparison takes time by the length of both.
    let names = names.into_iter().filter(|name| name.len().abs_diff(length) <= most);
    let distances = names.map(|name| (strsim::osa_distance(typed, name), name));
    distances.min().filter(|&(distance, _)| distance <= most).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architectures_calls_have_names() {
        for name in ["openat", "arch_prctl", "arm_fadvise64_64", "socketcall"] {
            assert!(system_calls().contains(name), "{name}");
        }
        assert!(operations().contains("openat") && !operations().contains("arch_prctl"));
        assert!(!system_calls().contains(UNKNOWN) && !operations().contains(UNKNOWN));
    }

    #[test]
    fn names_of_about_the_same_length_are_suggested() {
        let suggest = |typed: &str| suggestion(typed, system_calls().iter().copied());
        assert_eq!(suggest("opennat"), " (did you mean openat?)");
        assert_eq!(suggest("\u{f6}penat"), " (did you mean openat?)");
        // A policy of 1 MiB: comparing it with every name would take minutes.
        assert_eq!(suggest(&"openat".repeat(1 << 17)), "");
    }

    #[test]
    fn abis_are_those_of_the_tables() {
        for table in [CallTable::x86_64(), CallTable::aarch64()] {
            assert!(table.iter().all(|(_, call)| ABIS.contains(&call.abi)));
        }
    }

    #[test]
    fn what_is_nearly_a_name_is_suggested() {
        let suggest = |typed| suggestion(typed, system_calls().iter().copied());
        assert_eq!(suggest("opennat"), " (did you mean openat?)");
        assert_eq!(suggest("umuont2"), " (did you mean umount2?)");
        assert_eq!(suggest("frobnicate"), "");
    }
}
