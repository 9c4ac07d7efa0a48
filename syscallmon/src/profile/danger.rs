//! Calls that give a process power over the kernel, the host or other processes, with the reason.
//!
//! A person decides about them: `profile check --suggest` never adds them.

use crate::syscalls::split_argument;

/// What a call gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Danger {
    /// Runs code in the kernel, or another kernel.
    KernelCode,
    /// Reads or changes other processes.
    OtherProcesses,
    /// Changes what is mounted.
    Mounts,
    /// Leaves the namespaces, or makes new ones, in which unprivileged users reach more of the kernel.
    Namespaces,
    /// Opens files outside of the root directory.
    FilesByHandle,
    /// Helps exploits of races and of freed memory.
    ExploitHelper,
    /// Reaches a part of the kernel with a history of holes.
    AttackSurface,
    /// Uses the kernel's keys, which namespaces do not separate.
    Keys,
    /// Accesses hardware.
    Hardware,
    /// Changes the whole host.
    Host,
}

/// By name, sorted.
const DANGEROUS: [(&str, Danger); 61] = [
    ("acct", Danger::Host),
    ("add_key", Danger::Keys),
    ("bpf", Danger::KernelCode),
    ("clock_adjtime", Danger::Host),
    ("clock_adjtime64", Danger::Host),
    ("clock_settime", Danger::Host),
    ("clock_settime64", Danger::Host),
    ("create_module", Danger::KernelCode),
    ("delete_module", Danger::KernelCode),
    ("fanotify_init", Danger::OtherProcesses),
    ("finit_module", Danger::KernelCode),
    ("fsconfig", Danger::Mounts),
    ("fsmount", Danger::Mounts),
    ("fsopen", Danger::Mounts),
    ("fspick", Danger::Mounts),
    ("init_module", Danger::KernelCode),
    ("io_uring_enter", Danger::AttackSurface),
    ("io_uring_register", Danger::AttackSurface),
    ("io_uring_setup", Danger::AttackSurface),
    ("ioperm", Danger::Hardware),
    ("iopl", Danger::Hardware),
    ("kcmp", Danger::OtherProcesses),
    ("kexec_file_load", Danger::KernelCode),
    ("kexec_load", Danger::KernelCode),
    ("keyctl", Danger::Keys),
    ("lookup_dcookie", Danger::AttackSurface),
    ("mbind", Danger::AttackSurface),
    ("migrate_pages", Danger::OtherProcesses),
    ("modify_ldt", Danger::AttackSurface),
    ("mount", Danger::Mounts),
    ("mount_setattr", Danger::Mounts),
    ("move_mount", Danger::Mounts),
    ("move_pages", Danger::OtherProcesses),
    ("nfsservctl", Danger::Host),
    ("open_by_handle_at", Danger::FilesByHandle),
    ("open_tree", Danger::Mounts),
    ("open_tree_attr", Danger::Mounts),
    ("perf_event_open", Danger::AttackSurface),
    ("pidfd_getfd", Danger::OtherProcesses),
    ("pivot_root", Danger::Mounts),
    ("process_vm_readv", Danger::OtherProcesses),
    ("process_vm_writev", Danger::OtherProcesses),
    ("ptrace", Danger::OtherProcesses),
    ("quotactl", Danger::Host),
    ("quotactl_fd", Danger::Host),
    ("reboot", Danger::Host),
    ("request_key", Danger::Keys),
    ("set_mempolicy", Danger::AttackSurface),
    ("setdomainname", Danger::Host),
    ("sethostname", Danger::Host),
    ("setns", Danger::Namespaces),
    ("settimeofday", Danger::Host),
    ("swapoff", Danger::Host),
    ("swapon", Danger::Host),
    ("syslog", Danger::Host),
    ("umount", Danger::Mounts),
    ("umount2", Danger::Mounts),
    ("unshare", Danger::Namespaces),
    ("userfaultfd", Danger::ExploitHelper),
    ("vhangup", Danger::Host),
    ("vm86", Danger::AttackSurface),
];

/// Returns what a call, or a class of its arguments, gives, if it is dangerous.
#[must_use]
pub fn of(name: &str) -> Option<Danger> {
    match split_argument(name) {
        ("clone" | "clone3", argument) if argument.starts_with("CLONE_NEW") => Some(Danger::Namespaces),
        ("ioctl", "TIOCSTI" | "TIOCLINUX") => Some(Danger::OtherProcesses),
        ("socket", "AF_ALG") => Some(Danger::AttackSurface),
        (call, _) => {
            let index = DANGEROUS.binary_search_by_key(&call, |(name, _)| name).ok()?;
            Some(DANGEROUS[index].1)
        }
    }
}

/// Returns every dangerous call.
pub fn all() -> impl Iterator<Item = (&'static str, Danger)> {
    DANGEROUS.into_iter()
}

impl Danger {
    /// Returns the reason, as a part of a sentence.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::KernelCode => "runs code in the kernel",
            Self::OtherProcesses => "reads or changes other processes",
            Self::Mounts => "changes mounts",
            Self::Namespaces => "joins or makes namespaces",
            Self::FilesByHandle => "opens files outside of the root directory",
            Self::ExploitHelper => "helps exploits of the kernel",
            Self::AttackSurface => "reaches kernel code with a history of holes",
            Self::Keys => "uses keys that containers share",
            Self::Hardware => "accesses hardware",
            Self::Host => "changes the whole host",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::names;

    #[test]
    fn the_list_is_sorted_and_has_calls_that_exist() {
        assert!(DANGEROUS.is_sorted_by(|(a, _), (b, _)| a < b));
        let missing: Vec<_> =
            all().map(|(name, _)| name).filter(|name| !names::system_calls().contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn what_the_built_in_policy_calls_critical_is_dangerous() {
        let policy = include_str!("../detect/policy/runtime_default.yaml");
        let critical = policy.split_once("critical:").unwrap().1;
        let names = critical.lines().filter_map(|line| line.trim().strip_prefix("- "));
        let missing: Vec<_> = names.filter(|name| of(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
