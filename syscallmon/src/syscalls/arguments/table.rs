//! The calls with classes, and their rules.

use std::sync::LazyLock;

use syscallmon_common::{
    ArgumentRule, SOURCE_CLONE3, SOURCE_IO_URING_SETUP, SOURCE_OLD_MMAP, SOURCE_REGISTERS, SOURCE_SOCKETCALL,
};

use super::{
    ArgumentClasses, OTHER, UNREADABLE,
    rule::{Level, Rule},
    sockets::{socket, socketcall, socketpair},
};
use crate::syscalls::IO_URING;

/// Calls that have the same rules.
#[derive(Debug)]
pub(in crate::syscalls) struct Classed {
    /// Their names.
    pub(super) calls: &'static [&'static str],
    /// The ABIs that have them with these rules; none: every ABI.
    abis: &'static [&'static str],
    /// Where the arguments are.
    pub(super) source: u16,
    /// The rules, in the order of the search.
    pub(super) rules: Vec<Rule>,
}

impl Classed {
    fn new(calls: &'static [&'static str], rules: Vec<Rule>) -> Self {
        Self { calls, abis: &[], source: SOURCE_REGISTERS, rules }
    }

    /// The same for calls with arguments in memory.
    fn in_memory(source: u16, calls: &'static [&'static str], rules: Vec<Rule>) -> Self {
        Self { source, ..Self::new(calls, rules) }
    }

    /// Whether calls of an ABI have these rules.
    pub(super) fn is_of(&self, abi: &str) -> bool {
        abi != IO_URING && (self.abis.is_empty() || self.abis.contains(&abi))
    }

    /// Returns the arguments that classes have, each once, in the order of their numbers.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &'static str> {
        let is_first =
            |&(index, rule): &(usize, &Rule)| !self.rules[..index].iter().any(|other| other.class == rule.class);
        self.rules.iter().enumerate().filter(is_first).map(|(_, rule)| rule.class)
    }

    /// Whether every call has a class that a filter can see, because the arguments are in registers.
    pub(super) fn is_filtered(&self) -> bool {
        self.source == SOURCE_REGISTERS && self.arguments().any(|argument| argument == OTHER)
    }

    /// Returns the classes that are counted as [`OTHER`] by default.
    pub(super) fn details(&self) -> impl Iterator<Item = &'static str> {
        let counted = |class| self.rules.iter().any(|rule| rule.class == class && rule.level == Level::Security);
        self.arguments().filter(move |class| !counted(*class))
    }

    /// Returns the classes of arguments that can be read: what the kernel side finds with all rules.
    pub(super) fn classes_of(&self, arguments: &[u64]) -> Vec<&'static str> {
        let mut classes = Vec::new();
        for rule in &self.rules {
            if rule.is_rest && !classes.is_empty() {
                break;
            }
            if rule.matches(arguments) {
                classes.push(rule.class);
                if !rule.continues {
                    break;
                }
            }
        }
        classes
    }

    /// Returns arguments that are of one class only.
    pub(super) fn examples(&self, class: &str) -> Vec<[u64; 6]> {
        if self.source == SOURCE_CLONE3 || self.source == SOURCE_IO_URING_SETUP || self.source == SOURCE_OLD_MMAP {
            // A filter sees only the address.
            return Vec::new();
        }
        // Values that no rule has, for arguments that do not matter.
        let fillings = [0_u64, 7, 0x5eed_beef];
        let rules = self.rules.iter().filter(|rule| rule.class == class && !rule.is_unreadable);
        let example = |(rule, filling): (&Rule, u64)| {
            let mut arguments = [filling; 6];
            for condition in [rule.first, rule.second].iter().filter(|condition| condition.mask != 0) {
                let argument = &mut arguments[usize::from(condition.argument)];
                *argument = (*argument & !condition.mask & 0xffff_ffff) | condition.value;
            }
            arguments
        };
        let pairs = rules.flat_map(|rule| fillings.map(|filling| (rule, filling)));
        pairs.map(example).filter(|arguments| self.classes_of(arguments) == [class]).collect()
    }

    /// Returns the rules for the kernel side.
    pub(super) fn kernel_rules(&self, which: ArgumentClasses) -> impl Iterator<Item = ArgumentRule> {
        self.rules.iter().filter(move |rule| which.has(rule.level)).map(|rule| {
            let class = self.arguments().position(|argument| argument == rule.class).expect("one of its rules");
            rule.for_kernel(u16::try_from(class).expect("few classes"))
        })
    }
}

/// Returns all of them.
pub(super) fn rows() -> &'static [Classed] {
    static ROWS: LazyLock<Vec<Classed>> = LazyLock::new(|| {
        vec![
            Classed::new(&["socket"], socket()),
            Classed::new(&["socketpair"], socketpair()),
            Classed::in_memory(SOURCE_SOCKETCALL, &["socketcall"], socketcall()),
            // `unsigned long clone_flags`, of which the kernel takes the low 32 bits.
            Classed::new(&["clone"], namespaces(&[])),
            Classed::in_memory(SOURCE_CLONE3, &["clone3"], namespaces_in_memory()),
            Classed::new(&["unshare"], namespaces(&TIME)),
            Classed::new(&["setns"], setns()),
            Classed::new(&["personality"], personality()),
            Classed::new(&["prctl"], prctl()),
            Classed::new(&["bpf"], bpf()),
            Classed::new(&["ptrace"], ptrace()),
            Classed::new(&["keyctl"], keyctl()),
            Classed::new(&["ioctl"], ioctl()),
            Classed::new(&["mount"], mount()),
            Classed {
                abis: &["ia32"],
                ..Classed::in_memory(SOURCE_OLD_MMAP, &["mmap"], with_unreadable(protection()))
            },
            Classed::new(&["mprotect", "pkey_mprotect", "mmap", "mmap2"], protection()),
            Classed::in_memory(SOURCE_IO_URING_SETUP, &["io_uring_setup"], io_uring_setup()),
            Classed::new(&["io_uring_register"], io_uring_register()),
        ]
    });
    &ROWS
}

/// Values of an `int` argument by name.
pub(super) type Values = &'static [(&'static str, u32)];

pub(super) fn ints(argument: u8, values: Values) -> impl Iterator<Item = Rule> {
    values.iter().map(move |&(class, value)| Rule::int(argument, class, value))
}

/// Flags for new namespaces: `include/uapi/linux/sched.h`. `CLONE_NEWTIME` shares its bit with the signal of `clone`.
const NAMESPACES: &[(&str, u64)] = &[
    ("CLONE_NEWUSER", 0x1000_0000),
    ("CLONE_NEWNS", 0x0002_0000),
    ("CLONE_NEWCGROUP", 0x0200_0000),
    ("CLONE_NEWUTS", 0x0400_0000),
    ("CLONE_NEWIPC", 0x0800_0000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
];

const TIME: [(&str, u64); 1] = [("CLONE_NEWTIME", 0x80)];

fn namespaces(more: &[(&'static str, u64)]) -> Vec<Rule> {
    let flags = NAMESPACES.iter().chain(more).map(|&(class, flag)| Rule::flag(0, class, flag));
    flags.chain([Rule::rest(OTHER)]).collect()
}

fn namespaces_in_memory() -> Vec<Rule> {
    with_unreadable(namespaces(&TIME))
}

fn with_unreadable(rules: Vec<Rule>) -> Vec<Rule> {
    [Rule::unreadable(UNREADABLE)].into_iter().chain(rules).collect()
}

fn setns() -> Vec<Rule> {
    // 0 allows any type of namespace.
    let any = Rule::int(1, "any", 0);
    let flags = NAMESPACES.iter().chain(&TIME).map(|&(class, flag)| Rule::flag(1, class, flag));
    [any].into_iter().chain(flags).chain([Rule::rest(OTHER)]).collect()
}

/// `include/uapi/linux/personality.h`. The argument is an `unsigned int`.
fn personality() -> Vec<Rule> {
    let values: Values = &[
        ("PER_LINUX", 0),
        ("PER_LINUX32", 8),
        ("UNAME26", 0x2_0000),
        ("PER_LINUX32|UNAME26", 0x2_0008),
        // Only returns the current personality.
        ("query", 0xffff_ffff),
    ];
    let flags = [
        Rule::flag(0, "ADDR_NO_RANDOMIZE", 0x004_0000),
        Rule::flag(0, "READ_IMPLIES_EXEC", 0x040_0000),
        Rule::flag(0, "MMAP_PAGE_ZERO", 0x010_0000),
        Rule::flag(0, "ADDR_COMPAT_LAYOUT", 0x020_0000),
    ];
    ints(0, values).chain(flags).chain([Rule::rest(OTHER)]).collect()
}

/// `include/uapi/linux/prctl.h`.
fn prctl() -> Vec<Rule> {
    let details: Values = &[
        ("PR_SET_NAME", 15),
        ("PR_SET_PDEATHSIG", 1),
        ("PR_SET_CHILD_SUBREAPER", 36),
        ("PR_SET_VMA", 0x5356_4d41),
        ("PR_CAPBSET_READ", 23),
        ("PR_GET_DUMPABLE", 3),
        ("PR_SET_TIMERSLACK", 29),
        ("PR_SET_THP_DISABLE", 41),
        ("PR_SET_TSC", 26),
        ("PR_SCHED_CORE", 62),
        ("PR_SET_MDWE", 65),
    ];
    let security: Values = &[
        ("PR_SET_NO_NEW_PRIVS", 38),
        ("PR_SET_SECCOMP", 22),
        ("PR_CAPBSET_DROP", 24),
        ("PR_SET_MM", 35),
        ("PR_SET_PTRACER", 0x5961_6d61),
        ("PR_SET_SECUREBITS", 28),
        ("PR_CAP_AMBIENT", 47),
        ("PR_SET_KEEPCAPS", 8),
        ("PR_SET_DUMPABLE", 4),
        ("PR_SET_SPECULATION_CTRL", 53),
        ("PR_SET_SYSCALL_USER_DISPATCH", 59),
        ("PR_SET_IO_FLUSHER", 57),
    ];
    let (first, rest) = details.split_at(2);
    let rules = ints(0, first).map(Rule::detail).chain(ints(0, security)).chain(ints(0, rest).map(Rule::detail));
    rules.chain([Rule::rest(OTHER)]).collect()
}

/// `include/uapi/linux/bpf.h`.
fn bpf() -> Vec<Rule> {
    let security: Values = &[
        ("BPF_PROG_LOAD", 5),
        ("BPF_MAP_CREATE", 0),
        ("BPF_OBJ_GET", 7),
        ("BPF_PROG_ATTACH", 8),
        ("BPF_RAW_TRACEPOINT_OPEN", 17),
        ("BPF_LINK_CREATE", 28),
        ("BPF_PROG_GET_FD_BY_ID", 13),
        ("BPF_MAP_GET_FD_BY_ID", 14),
        ("BPF_BTF_LOAD", 18),
        ("BPF_TOKEN_CREATE", 36),
    ];
    let details: Values = &[
        ("BPF_MAP_LOOKUP_ELEM", 1),
        ("BPF_MAP_UPDATE_ELEM", 2),
        ("BPF_MAP_DELETE_ELEM", 3),
        ("BPF_MAP_GET_NEXT_KEY", 4),
        ("BPF_OBJ_PIN", 6),
        ("BPF_PROG_DETACH", 9),
        ("BPF_PROG_TEST_RUN", 10),
        ("BPF_PROG_GET_NEXT_ID", 11),
        ("BPF_MAP_GET_NEXT_ID", 12),
        ("BPF_OBJ_GET_INFO_BY_FD", 15),
        ("BPF_PROG_QUERY", 16),
        ("BPF_BTF_GET_FD_BY_ID", 19),
        ("BPF_TASK_FD_QUERY", 20),
        ("BPF_MAP_FREEZE", 22),
        ("BPF_LINK_UPDATE", 29),
    ];
    ints(0, security).chain(ints(0, details).map(Rule::detail)).chain([Rule::rest(OTHER)]).collect()
}

/// `include/uapi/linux/ptrace.h`. The argument is a `long`.
fn ptrace() -> Vec<Rule> {
    let security: &[(&'static str, u64)] = &[
        ("PTRACE_TRACEME", 0),
        ("PTRACE_ATTACH", 16),
        ("PTRACE_SEIZE", 0x4206),
        ("PTRACE_POKETEXT", 4),
        ("PTRACE_POKEDATA", 5),
        ("PTRACE_POKEUSR", 6),
        ("PTRACE_SETREGSET", 0x4205),
    ];
    let details: &[(&'static str, u64)] = &[
        ("PTRACE_PEEKTEXT", 1),
        ("PTRACE_PEEKDATA", 2),
        ("PTRACE_PEEKUSR", 3),
        ("PTRACE_CONT", 7),
        ("PTRACE_KILL", 8),
        ("PTRACE_SINGLESTEP", 9),
        ("PTRACE_DETACH", 17),
        ("PTRACE_SYSCALL", 24),
        ("PTRACE_SETOPTIONS", 0x4200),
        ("PTRACE_GETEVENTMSG", 0x4201),
        ("PTRACE_GETSIGINFO", 0x4202),
        ("PTRACE_GETREGSET", 0x4204),
        ("PTRACE_INTERRUPT", 0x4207),
        ("PTRACE_LISTEN", 0x4208),
        ("PTRACE_GET_SYSCALL_INFO", 0x420e),
    ];
    let rule = |&(class, value): &(&'static str, u64)| Rule::long(0, class, value);
    let rules = security.iter().map(rule).chain(details.iter().map(rule).map(Rule::detail));
    rules.chain([Rule::rest(OTHER)]).collect()
}

/// `include/uapi/linux/keyctl.h`.
fn keyctl() -> Vec<Rule> {
    let values: Values = &[
        ("KEYCTL_GET_KEYRING_ID", 0),
        ("KEYCTL_JOIN_SESSION_KEYRING", 1),
        ("KEYCTL_UPDATE", 2),
        ("KEYCTL_REVOKE", 3),
        ("KEYCTL_CHOWN", 4),
        ("KEYCTL_SETPERM", 5),
        ("KEYCTL_DESCRIBE", 6),
        ("KEYCTL_CLEAR", 7),
        ("KEYCTL_LINK", 8),
        ("KEYCTL_UNLINK", 9),
        ("KEYCTL_SEARCH", 10),
        ("KEYCTL_READ", 11),
        ("KEYCTL_INSTANTIATE", 12),
        ("KEYCTL_NEGATE", 13),
        ("KEYCTL_SET_REQKEY_KEYRING", 14),
        ("KEYCTL_SET_TIMEOUT", 15),
        ("KEYCTL_ASSUME_AUTHORITY", 16),
        ("KEYCTL_GET_SECURITY", 17),
        ("KEYCTL_SESSION_TO_PARENT", 18),
        ("KEYCTL_INVALIDATE", 21),
        ("KEYCTL_GET_PERSISTENT", 22),
        ("KEYCTL_DH_COMPUTE", 23),
        ("KEYCTL_RESTRICT_KEYRING", 29),
        ("KEYCTL_MOVE", 30),
        ("KEYCTL_WATCH_KEY", 32),
    ];
    ints(0, values).chain([Rule::rest(OTHER)]).collect()
}

/// `include/uapi/asm-generic/ioctls.h` and the headers of devices. A device class is the letter of its numbers: bits 8
/// to 15 (`Documentation/userspace-api/ioctl/ioctl-number.rst`).
fn ioctl() -> Vec<Rule> {
    let values: Values = &[
        ("TIOCSTI", 0x5412),
        ("TIOCLINUX", 0x541c),
        ("TIOCCONS", 0x541d),
        ("TIOCSETD", 0x5423),
        ("TUNSETIFF", 0x4004_54ca),
        ("SIOCETHTOOL", 0x8946),
        ("SG_IO", 0x2285),
        ("FIFREEZE", 0xc004_5877),
    ];
    // Terminals and sockets, which are most of the others, have no class by default.
    let frequent: Values =
        &[("TCGETS", 0x5401), ("TIOCGWINSZ", 0x5413), ("FIONREAD", 0x541b), ("FIONBIO", 0x5421), ("FIOCLEX", 0x5451)];
    let letters: Values = &[
        ("KVM", 0xae),
        ("VHOST", 0xaf),
        ("VFIO", 0x3b),
        ("LOOP", 0x4c),
        ("DEVICE_MAPPER", 0xfd),
        ("BLOCK", 0x12),
        ("USERFAULTFD", 0xaa),
        ("SECCOMP", 0x21),
        ("NAMESPACE", 0xb7),
        ("FUSE", 0xe5),
        ("BTRFS", 0x94),
        ("PERF_EVENT", 0x24),
        ("RANDOM", 0x52),
    ];
    let letter = |&(class, letter): &(&'static str, u32)| Rule::masked(1, class, 0xff00, u64::from(letter) << 8);
    let rules = ints(1, frequent).map(Rule::detail).chain(ints(1, values)).chain(letters.iter().map(letter));
    rules.chain([Rule::rest(OTHER)]).collect()
}

/// `include/uapi/linux/mount.h`. The kernel ignores the upper 16 bits if they are the magic number of old programs.
fn mount() -> Vec<Rule> {
    const MAGIC_MASK: u32 = 0xffff_0000;
    const MAGIC: u32 = 0xc0ed_0000;
    let low = [("MS_BIND", 0x1000), ("MS_REMOUNT", 0x20), ("MS_MOVE", 0x2000)];
    let propagation =
        [("MS_PRIVATE", 1 << 18), ("MS_SLAVE", 1 << 19), ("MS_SHARED", 1 << 20), ("MS_UNBINDABLE", 1 << 17)];
    let with_magic = low.map(|(class, flag)| Rule::flag(3, class, flag).and(3, MAGIC_MASK, MAGIC));
    let magic_rest = Rule { is_rest: true, ..Rule::masked(3, OTHER, MAGIC_MASK.into(), MAGIC.into()) };
    let flags = low.into_iter().chain(propagation).map(|(class, flag)| Rule::flag(3, class, flag));
    with_magic.into_iter().chain([magic_rest]).chain(flags).chain([Rule::rest(OTHER)]).collect()
}

/// `PROT_WRITE` and `PROT_EXEC` of `include/uapi/asm-generic/mman-common.h`. Calls without both have no class, because
/// every program makes many of them.
fn protection() -> Vec<Rule> {
    vec![Rule::masked(2, "PROT_WRITE|PROT_EXEC", 6, 6)]
}

/// `include/uapi/linux/io_uring.h`.
fn io_uring_setup() -> Vec<Rule> {
    let flags = [("IORING_SETUP_SQPOLL", 1 << 1), ("IORING_SETUP_R_DISABLED", 1 << 6)];
    let flags = flags.into_iter().map(|(class, flag)| Rule::flag(1, class, flag));
    with_unreadable(flags.chain([Rule::rest(OTHER)]).collect())
}

/// As above. Bit 31 says that the descriptor is an index.
fn io_uring_register() -> Vec<Rule> {
    let values = [
        ("IORING_REGISTER_BUFFERS", 0),
        ("IORING_REGISTER_FILES", 2),
        ("IORING_REGISTER_PERSONALITY", 9),
        ("IORING_REGISTER_RESTRICTIONS", 11),
        ("IORING_REGISTER_ENABLE_RINGS", 12),
    ];
    let rule = |(class, value)| Rule::masked(1, class, 0x7fff_ffff, value);
    values.into_iter().map(rule).chain([Rule::rest(OTHER)]).collect()
}
