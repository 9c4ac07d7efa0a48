//! Calls that profiles allow, or answer with ENOSYS, whatever was observed.

/// Calls that every profile allows. Without them, a program cannot end, return from a signal, abort, sleep or start a
/// thread, or a fallback of the vDSO fails that no tracepoint sees. An observation of one run can miss them.
pub const ALWAYS_ALLOWED: [&str; 34] = [
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "execve",
    "exit",
    "exit_group",
    "futex",
    "futex_time64",
    "get_robust_list",
    "getcpu",
    "getpid",
    "gettid",
    "gettimeofday",
    "madvise",
    "membarrier",
    "mmap",
    "mprotect",
    "munmap",
    "nanosleep",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigreturn",
    "tgkill",
    "time",
    "uretprobe",
];

/// Calls that libraries try first, and replace by an older one only if the answer is ENOSYS, or whose absence programs
/// expect. A profile that does not allow them answers with ENOSYS.
///
/// Source: the fallbacks of glibc, musl, systemd, and the standard libraries of Go and Rust.
pub const ANSWERED_WITH_ENOSYS: [&str; 40] = [
    "cachestat",
    "clone3",
    "close_range",
    "copy_file_range",
    "epoll_pwait2",
    "faccessat2",
    "fchmodat2",
    "file_getattr",
    "file_setattr",
    "futex_requeue",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "getrandom",
    "getxattrat",
    "io_pgetevents",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "listmount",
    "listxattrat",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mlock2",
    "mseal",
    "openat2",
    "pidfd_open",
    "pidfd_send_signal",
    "preadv2",
    "process_madvise",
    "process_mrelease",
    "pwritev2",
    "removexattrat",
    "renameat2",
    "rseq",
    "setxattrat",
    "statmount",
    "statx",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        profile::danger,
        syscalls::{HARMLESS, names},
    };

    #[test]
    fn lists_are_sorted_and_have_calls_that_exist_and_are_not_dangerous() {
        for list in [ALWAYS_ALLOWED.as_slice(), &HARMLESS, &ANSWERED_WITH_ENOSYS] {
            assert!(list.is_sorted_by(|a, b| a < b));
            for name in list {
                assert!(names::system_calls().contains(name), "{name}");
                assert_eq!(danger::of(name), None, "{name}");
            }
        }
    }
}
