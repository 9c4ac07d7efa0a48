//! Calls that a baseline expects besides the learned ones: siblings of learned calls, and harmless calls.
//!
//! A generated seccomp profile allows the same, by the same lists: they are calls that say nothing new about the
//! program. A reload makes a server choose `writev` instead of `write` by chance, and an update of the C library
//! `openat2` instead of `openat`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::syscalls::{Call, CallId, CallTable, HARMLESS, arguments::OTHER, names, sibling_arguments, siblings};

/// Siblings of each call by name, since a baseline needs those of all its calls.
static SIBLINGS: LazyLock<BTreeMap<&str, BTreeSet<&str>>> =
    LazyLock::new(|| names::system_calls().iter().map(|&name| (name, siblings(name))).collect());

/// Returns these calls, their siblings in the same ABI, and harmless calls in each of their ABIs. A sibling of a class
/// of arguments has the same argument, or no classes: `clone(other)` for `clone3(other)`. Sockets of the network bring
/// those of name resolution.
pub(super) fn with_expected(learned: impl IntoIterator<Item = CallId>, table: &CallTable) -> BTreeSet<CallId> {
    let mut by_abi: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    let mut expected = BTreeSet::new();
    for id in learned {
        expected.insert(id);
        let call = table.call(id);
        let names = by_abi.entry(call.abi).or_insert_with(|| HARMLESS.map(|name| (name, "")).into());
        let siblings = SIBLINGS.get(call.name()).into_iter().flatten();
        names.extend(siblings.map(|&name| (name, call.argument())));
        names.extend(sibling_arguments(call.name(), call.argument()).iter().map(|&argument| (call.name(), argument)));
    }
    let is_expected = |id, call: Call| {
        let Some(names) = by_abi.get(call.abi) else { return false };
        names.contains(&(call.name(), call.argument()))
            || (names.contains(&(call.name(), OTHER)) && table.class_ids(id).is_empty() && !table.is_class(id))
    };
    expected.extend(table.all().filter(|&(id, call)| is_expected(id, call)).map(|(id, _)| id));
    expected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::danger;

    fn expected(learned: &[(&str, &str)]) -> BTreeSet<String> {
        let table = CallTable::x86_64();
        let ids = learned.iter().map(|(abi, name)| table.id(abi, name).unwrap());
        let name = |id| format!("{}/{}", table.call(id).abi, table.call(id).syscall);
        with_expected(ids, &table).into_iter().map(name).collect()
    }

    #[test]
    fn siblings_and_harmless_calls_of_the_same_abi_are_expected() {
        let of = expected(&[("x86_64", "openat"), ("x86_64", "write")]);
        for name in ["openat", "open", "openat2", "write", "writev", "lseek", "getsockname"] {
            assert!(of.contains(&format!("x86_64/{name}")), "{name}");
        }
        for name in ["x86_64/mount", "x86_64/execve", "x86_64/read", "x86_64/unlink", "ia32/open", "ia32/lseek"] {
            assert!(!of.contains(name), "{name}");
        }
        assert!(expected(&[("ia32", "openat")]).contains("ia32/lseek"));
        assert!(expected(&[]).is_empty(), "a workload without any call has not been observed");
    }

    #[test]
    fn sockets_of_the_network_bring_those_of_name_resolution() {
        let of = expected(&[("x86_64", "socket(AF_INET)")]);
        assert!(of.contains("x86_64/socket(AF_INET6)") && of.contains("x86_64/socket(AF_UNIX)"), "{of:?}");
        let of = expected(&[("x86_64", "socket(AF_UNIX)")]);
        assert!(!of.contains("x86_64/socket(AF_INET)") && !of.contains("x86_64/socket"), "{of:?}");
    }

    #[test]
    fn a_sibling_of_a_class_has_the_same_argument() {
        let of = expected(&[("x86_64", "clone3(other)")]);
        assert!(of.contains("x86_64/clone(other)") && of.contains("x86_64/vfork"), "{of:?}");
        for name in ["clone", "clone3", "clone(CLONE_NEWUSER)", "clone3(CLONE_NEWUSER)"] {
            assert!(!of.contains(&format!("x86_64/{name}")), "{name}");
        }
        let of = expected(&[("x86_64", "clone3(CLONE_NEWUSER)")]);
        assert!(of.contains("x86_64/clone(CLONE_NEWUSER)") && !of.contains("x86_64/clone(other)"), "{of:?}");
    }

    proptest! {
        #[test]
        fn no_call_with_power_is_expected_unless_it_was_learned(ids in prop::collection::vec(0_u16..1500, 0..30)) {
            let table = CallTable::x86_64();
            let learned: BTreeSet<CallId> =
                ids.into_iter().map(CallId).filter(|id| danger::of(table.call(*id).syscall).is_none()).collect();
            for id in with_expected(learned.iter().copied(), &table) {
                prop_assert!(learned.contains(&id) || danger::of(table.call(id).syscall).is_none(), "{:?}", table.call(id));
            }
        }

        #[test]
        fn one_call_after_the_other_gives_the_same(ids in prop::collection::vec(0_u16..1500, 0..30)) {
            let table = CallTable::x86_64();
            let ids: Vec<CallId> = table.iter().map(|(id, _)| id).filter(|id| ids.contains(&id.0)).collect();
            let mut one_by_one = BTreeSet::new();
            for id in &ids {
                one_by_one.extend(with_expected([*id], &table));
            }
            prop_assert_eq!(with_expected(ids, &table), one_by_one);
        }
    }
}
