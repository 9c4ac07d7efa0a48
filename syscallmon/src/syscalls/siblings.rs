//! Families of calls: siblings that libraries use instead of each other, and what takes their place on other
//! architectures.

use std::collections::BTreeSet;

use super::names;

/// Families. A call can be in several. Within one, libraries and architectures choose one or the other: arm64 has no
/// `open`, `stat`, `fork`, `pipe` and `dup2`, a newer glibc prefers the newer call. Servers choose between `write` and
/// `writev` by the size of an answer.
const FAMILIES: &[&[&str]] = &[
    &["open", "openat", "openat2", "creat"],
    &["stat", "lstat", "newfstatat", "fstatat64", "statx", "fstat", "oldstat", "oldlstat", "oldfstat"],
    &["access", "faccessat", "faccessat2"],
    &["clone", "clone3", "fork", "vfork"],
    &["pipe", "pipe2"],
    &["dup2", "dup3"],
    &["epoll_create", "epoll_create1"],
    &["epoll_wait", "epoll_pwait", "epoll_pwait2"],
    &["poll", "ppoll"],
    &["pause", "ppoll"],
    &["select", "_newselect", "pselect6"],
    &["eventfd", "eventfd2"],
    &["signalfd", "signalfd4"],
    &["inotify_init", "inotify_init1"],
    &["accept", "accept4"],
    &["send", "sendto"],
    &["recv", "recvfrom"],
    &["readlink", "readlinkat"],
    &["unlink", "unlinkat"],
    &["rmdir", "unlinkat"],
    &["mkdir", "mkdirat"],
    &["mknod", "mknodat"],
    &["link", "linkat"],
    &["symlink", "symlinkat"],
    &["rename", "renameat", "renameat2"],
    &["chmod", "fchmodat", "fchmodat2"],
    &["chown", "lchown", "fchownat"],
    &["utime", "utimes", "futimesat", "utimensat"],
    &["getdents", "getdents64"],
    &["getrlimit", "ugetrlimit", "prlimit64"],
    &["setrlimit", "prlimit64"],
    &["wait4", "waitid", "waitpid"],
    &["time", "gettimeofday", "clock_gettime"],
    &["nanosleep", "clock_nanosleep"],
    &["alarm", "setitimer"],
    &["getpgrp", "getpgid"],
    &["read", "readv"],
    &["write", "writev"],
    &["pread64", "preadv"],
    &["pwrite64", "pwritev"],
    &["preadv", "preadv2"],
    &["pwritev", "pwritev2"],
    &["sendfile", "sendfile64"],
    &["fadvise64", "fadvise64_64", "arm_fadvise64_64"],
    &["sync_file_range", "arm_sync_file_range"],
    &["mmap", "mmap2"],
    &["lseek", "_llseek"],
    &["sigaction", "rt_sigaction"],
    &["sigprocmask", "rt_sigprocmask"],
    &["sigreturn", "rt_sigreturn"],
    &["sigsuspend", "rt_sigsuspend"],
    &["sigpending", "rt_sigpending"],
    &["uname", "olduname", "oldolduname"],
    &["umount", "umount2"],
    &["semop", "semtimedop"],
];

/// Suffixes of variants with wider arguments on 32-bit architectures: `fcntl64`, `setuid32`, `futex_time64`.
const SUFFIXES: [&str; 3] = ["_time64", "64", "32"];

/// Returns the siblings of a call, without itself.
#[must_use]
pub fn siblings(name: &str) -> BTreeSet<&'static str> {
    let narrow = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).filter(|stem| is_name(stem));
    let stems = [Some(name), narrow];
    let mut all = BTreeSet::new();
    for stem in stems.into_iter().flatten() {
        let families = FAMILIES.iter().filter(|family| family.contains(&stem));
        all.extend(families.flat_map(|family| *family).copied());
    }
    let mut variants = BTreeSet::new();
    for stem in all.iter().copied().chain(stems.into_iter().flatten()) {
        for suffix in SUFFIXES {
            variants.extend(names::system_calls().get(format!("{stem}{suffix}").as_str()));
        }
        variants.extend(names::system_calls().get(stem));
    }
    variants.remove(name);
    variants
}

/// Families of sockets that programs use with the network. A C library that resolves a name tries both versions of IP,
/// asks a local service, and asks the kernel for the addresses of the host.
const NAME_RESOLUTION: [&str; 4] = ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK,NETLINK_ROUTE"];

/// Returns the classes of arguments that stand for each other for a call: those that programs with one of them make by
/// chance.
#[must_use]
pub fn sibling_arguments(call: &str, argument: &str) -> &'static [&'static str] {
    let uses_network = call == "socket" && NAME_RESOLUTION[..2].contains(&argument);
    if uses_network { &NAME_RESOLUTION } else { &[] }
}

fn is_name(name: &str) -> bool {
    names::system_calls().contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_calls_that_exist_and_more_than_one() {
        for family in FAMILIES {
            assert!(family.len() > 1, "{family:?}");
            let missing: Vec<_> = family.iter().filter(|name| !is_name(name)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }

    #[test]
    fn siblings_are_newer_older_and_wider_variants() {
        for (name, sibling) in [
            ("clone", "clone3"),
            ("open", "openat2"),
            ("futex", "futex_time64"),
            ("futex_time64", "futex"),
            ("fcntl", "fcntl64"),
            ("stat", "newfstatat"),
            ("stat64", "statx"),
            ("setuid", "setuid32"),
            ("write", "writev"),
            ("preadv", "pread64"),
            ("clock_gettime", "clock_gettime64"),
        ] {
            assert!(siblings(name).contains(sibling), "{name}: {:?}", siblings(name));
        }
    }

    #[test]
    fn siblings_of_a_harmless_call_are_harmless() {
        use crate::profile::danger;
        for name in names::system_calls().iter().filter(|name| danger::of(name).is_none()) {
            let dangerous: Vec<_> = siblings(name).into_iter().filter(|name| danger::of(name).is_some()).collect();
            assert!(dangerous.is_empty(), "{name}: {dangerous:?}");
        }
    }

    #[test]
    fn sockets_of_the_network_bring_those_of_name_resolution() {
        use crate::{profile::danger, syscalls::CallTable};
        let table = CallTable::x86_64();
        let of_ip = sibling_arguments("socket", "AF_INET6");
        assert!(of_ip.contains(&"AF_INET") && of_ip.contains(&"AF_UNIX"));
        for argument in of_ip {
            let class = format!("socket({argument})");
            assert!(table.id("x86_64", &class).is_some() && danger::of(&class).is_none(), "{class}");
        }
        for (call, argument) in [("socket", "AF_UNIX"), ("socket", "AF_INET,SOCK_RAW"), ("socketpair", "AF_INET")] {
            assert!(sibling_arguments(call, argument).is_empty(), "{call}({argument})");
        }
    }

    #[test]
    fn siblings_of_a_call_are_not_calls_of_other_power() {
        assert_eq!(siblings("read"), ["readv"].into());
        assert!(!siblings("getrlimit").contains("setrlimit"));
        assert!(!siblings("fork").contains("execve") && !siblings("unlink").contains("rmdir"));
        assert_eq!(siblings("mount"), BTreeSet::new());
    }
}
