//! `@runtime-default`: the calls that the default seccomp profile of container runtimes allows with the default
//! capabilities of containers.
//!
//! Source: `seccomp/default.json` of github.com/moby/profiles at 02e898b137ae, which Docker uses and Podman and others
//! follow; containerd's list (`contrib/seccomp`) is equal. The list has names only, because the tables of architectures
//! say which calls each has. It describes other programs, and is no judgement of dangers.
//!
//! Calls that are allowed for some arguments count as allowed (clone, personality, socket); of their [classes of
//! arguments](super::arguments), only those of these arguments do. `clone3` counts as allowed: the profile answers with
//! ENOSYS, every glibc tries it first, and falls back. Its classes are those of `clone`, which is what programs fall
//! back to. The same goes for the sockets of `socketcall`, of which the filter cannot see the family.

use super::{
    arguments::{OTHER, UNREADABLE},
    split_argument,
};

/// Default capabilities of containers. Rules for further capabilities do not count.
pub const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Sorted. Some exist on one architecture only.
#[rustfmt::skip]
pub(super) const ALLOWED: &[&str] = &[
    "_llseek", "_newselect", "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl", "arm_fadvise64_64",
    "arm_sync_file_range", "bind", "brk", "cachestat", "capget", "capset", "chdir", "chmod", "chown", "chown32",
    "chroot", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
    "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "clone", "clone3", "close", "close_range",
    "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve",
    "execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate",
    "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl",
    "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat",
    "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futex", "futex_requeue",
    "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "futimesat", "get_robust_list", "get_thread_area",
    "getcpu", "getcwd", "getdents", "getdents64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid",
    "getgid32", "getgroups", "getgroups32", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid",
    "getpriority", "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage",
    "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy",
    "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "ioprio_get",
    "ioprio_set", "ipc", "kill", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lchown",
    "lchown32", "lgetxattr", "link", "linkat", "listen", "listmount", "listxattr", "listxattrat", "llistxattr",
    "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "madvise", "map_shadow_stack", "membarrier",
    "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock", "mlock2", "mlockall",
    "mmap", "mmap2", "modify_ldt", "mprotect", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive",
    "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "mremap", "mseal", "msgctl",
    "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall", "munmap", "name_to_handle_at", "nanosleep",
    "newfstatat", "open", "openat", "openat2", "pause", "personality", "pidfd_open", "pidfd_send_signal", "pipe",
    "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl", "pread64",
    "preadv", "preadv2", "prlimit64", "process_mrelease", "process_vm_readv", "process_vm_writev", "pselect6",
    "pselect6_time64", "ptrace", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat",
    "readv", "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr",
    "removexattrat", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction",
    "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
    "sched_yield", "seccomp", "select", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "send",
    "sendfile", "sendfile64", "sendmmsg", "sendmsg", "sendto", "set_robust_list", "set_thread_area",
    "set_tid_address", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups",
    "setgroups32", "setitimer", "setpgid", "setpriority", "setregid", "setregid32", "setresgid", "setresgid32",
    "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid", "setsockopt", "setuid", "setuid32",
    "setxattr", "setxattrat", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd",
    "signalfd4", "sigprocmask", "sigreturn", "socket", "socketcall", "socketpair", "splice", "stat", "stat64",
    "statfs", "statfs64", "statmount", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs",
    "sysinfo", "tee", "tgkill", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
    "timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64",
    "timerfd_settime", "timerfd_settime64", "times", "tkill", "truncate", "truncate64", "ugetrlimit", "umask",
    "uname", "unlink", "unlinkat", "uretprobe", "utime", "utimensat", "utimensat_time64", "utimes", "vfork",
    "vmsplice", "wait4", "waitid", "waitpid", "write", "writev",
];

/// Families of sockets that the profile does not allow, besides those without a name.
const DENIED_FAMILIES: [&str; 9] =
    ["AF_ALG", "AF_ATMSVC", "AF_CAIF", "AF_DECnet", "AF_ECONET", "AF_IRDA", "AF_ISDN", "AF_VSOCK", "AF_WANPIPE"];

/// Values of `personality` that the profile allows.
const PERSONALITIES: [&str; 5] = ["PER_LINUX", "PER_LINUX32", "UNAME26", "PER_LINUX32|UNAME26", "query"];

/// Whether it has a call, or class of arguments, with this name.
#[must_use]
pub fn allows(name: &str) -> bool {
    let (call, argument) = split_argument(name);
    ALLOWED.binary_search(&call).is_ok() && (argument.is_empty() || allows_argument(call, argument))
}

fn allows_argument(call: &str, argument: &str) -> bool {
    let is_family = |family: &str| !DENIED_FAMILIES.contains(&family) && family != OTHER && family != UNREADABLE;
    match call {
        "socket" => is_family(argument),
        "socketcall" => argument.strip_prefix("SYS_SOCKET,").is_none_or(is_family),
        "clone" | "clone3" => argument == OTHER,
        "personality" => PERSONALITIES.contains(&argument),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::syscalls::CallTable;

    /// Counted in the profile, with clone3, which it answers with ENOSYS.
    #[test]
    fn as_many_calls_are_allowed_as_the_profile_allows() {
        for (table, abi, without_condition, by_argument) in
            [(CallTable::x86_64(), "x86_64", 306, 3), (CallTable::aarch64(), "aarch64", 264, 3)]
        {
            let allowed = table.iter().filter(|(_, call)| call.abi == abi && allows(call.syscall)).count();
            assert_eq!(allowed, without_condition + by_argument + 1, "{abi}");
        }
    }

    #[test]
    fn what_needs_more_capabilities_is_not_allowed() {
        for name in ["mount", "setns", "unshare", "bpf", "init_module", "open_by_handle_at", "iopl", "kcmp", "mbind"] {
            assert!(!allows(name), "{name}");
        }
        for name in ["chroot", "ptrace", "socket", "clone", "clone3", "arch_prctl"] {
            assert!(allows(name), "{name}");
        }
    }

    #[test]
    fn of_calls_with_comparisons_only_the_arguments_of_the_profile_are_allowed() {
        for name in [
            "socket(AF_UNIX)",
            "socket(AF_INET,SOCK_RAW)",
            "socket(AF_NETLINK,other)",
            "clone(other)",
            "clone3(other)",
            "personality(query)",
            "ioctl(TIOCSTI)",
            "socketcall(SYS_CONNECT)",
            "socketcall(SYS_SOCKET,AF_UNIX)",
        ] {
            assert!(allows(name), "{name}");
        }
        for name in [
            "socket(AF_ALG)",
            "socket(AF_VSOCK)",
            "socket(other)",
            "clone(CLONE_NEWUSER)",
            "clone3(CLONE_NEWNS)",
            "clone3(unreadable)",
            "personality(ADDR_NO_RANDOMIZE)",
            "personality(other)",
            "unshare(other)",
            "socketcall(SYS_SOCKET,AF_ALG)",
        ] {
            assert!(!allows(name), "{name}");
        }
        let table = CallTable::x86_64();
        let denied =
            table.all().filter(|(_, call)| call.abi == "x86_64" && call.name() == "socket" && !allows(call.syscall));
        assert_eq!(denied.count(), DENIED_FAMILIES.len() + 1, "every family that is denied has a class, and other");
    }

    #[test]
    fn the_list_is_sorted_and_has_every_name_once() {
        assert!(ALLOWED.is_sorted_by(|a, b| a < b));
        assert_eq!(CAPABILITIES.iter().collect::<BTreeSet<_>>().len(), 14);
    }
}
