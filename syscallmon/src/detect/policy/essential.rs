//! Essential calls: every program needs them, so a baseline never reports them.
//!
//! The list is systemd's `@default`, without two that carry information: `execve`, which starts another program, and
//! `@sandbox`, which programs call on purpose.

use std::{collections::BTreeSet, sync::LazyLock};

use crate::syscalls::{Call, IO_URING, sets};

/// systemd allows it in every unit for the start of the unit; an attacker needs it for a shell.
const STARTS_A_PROGRAM: &str = "execve";

static ESSENTIAL: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let members = |set| sets::members(set).expect("systemd has this set");
    let sandbox = members("@sandbox");
    members("@default").into_iter().filter(|call| *call != STARTS_A_PROGRAM && !sandbox.contains(call)).collect()
});

/// Whether every program of the call's ABI needs it.
pub(in crate::detect) fn is_essential(call: Call) -> bool {
    call.abi != IO_URING && ESSENTIAL.contains(call.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::CallTable;

    fn is(table: &CallTable, abi: &str, name: &str) -> bool {
        let id = table.id(abi, name).unwrap_or_else(|| panic!("{abi} has no {name}"));
        is_essential(table.call(id))
    }

    #[test]
    fn what_ends_a_program_or_a_signal_is_essential_in_every_abi() {
        let table = CallTable::x86_64();
        for abi in ["x86_64", "ia32", "x32"] {
            for name in ["exit", "exit_group", "rt_sigreturn", "restart_syscall", "futex", "munmap", "getpid"] {
                assert!(is(&table, abi, name), "{abi}/{name}");
            }
        }
        assert!(is(&table, "ia32", "sigreturn") && is(&table, "ia32", "futex_time64"));
        let table = CallTable::aarch64();
        for abi in ["aarch64", "aarch32"] {
            assert!(is(&table, abi, "exit_group") && is(&table, abi, "rt_sigreturn"), "{abi}");
        }
        assert!(is(&table, "aarch32", "sigreturn") && is(&table, "aarch32", "ugetrlimit"));
    }

    #[test]
    fn calls_that_carry_information_are_not_essential() {
        let table = CallTable::x86_64();
        for name in
            ["execve", "execveat", "clone", "seccomp", "landlock_restrict_self", "openat", "kill", "ptrace", "unknown"]
        {
            assert!(!is(&table, "x86_64", name), "{name}");
        }
        let operations = table.iter().filter(|(_, call)| call.abi == IO_URING);
        assert!(operations.into_iter().all(|(_, call)| !is_essential(call)));
    }
}
