use std::collections::BTreeSet;

use syscallmon_common::{RULE_CONTINUES, RULE_IS_REST};

use super::*;
use crate::syscalls::{CallTable, IO_URING};

fn table() -> CallTable {
    CallTable::x86_64()
}

/// The search of the kernel side, on its own tables.
fn search(rules: &KernelRules, call: CallId, arguments: [u64; 4], is_readable: bool) -> Vec<CallId> {
    let ArgumentCall { first, rules: count, classes, .. } =
        rules.calls[usize::from(rules.call_of[usize::from(call.0)])];
    let mut found = Vec::new();
    for rule in &rules.rules[usize::from(first)..][..usize::from(count)] {
        let is_rest = rule.flags & RULE_IS_REST != 0;
        if is_rest && !found.is_empty() {
            break;
        }
        let second = u32::try_from(arguments[usize::from(rule.second)] & 0xffff_ffff).unwrap();
        let matches = (is_rest || (rule.unreadable == 0) == is_readable)
            && arguments[usize::from(rule.argument)] & rule.mask == rule.value
            && second & rule.second_mask == rule.second_value;
        if matches {
            found.push(CallId(classes + rule.class));
            if rule.flags & RULE_CONTINUES == 0 {
                break;
            }
        }
    }
    found
}

fn classes(which: ArgumentClasses, abi: &str, name: &str, arguments: [u64; 4]) -> Vec<&'static str> {
    let table = table();
    let rules = table.kernel_tables(&BTreeSet::new(), which).arguments;
    let call = table.id(abi, name).unwrap();
    search(&rules, call, arguments, true).into_iter().map(|class| table.call(class).argument()).collect()
}

fn security(name: &str, arguments: [u64; 4]) -> Vec<&'static str> {
    classes(ArgumentClasses::Security, "x86_64", name, arguments)
}

#[test]
fn arguments_have_the_classes_of_their_values() {
    for (name, arguments, wanted) in [
        ("socket", [38, 5, 0, 0], "AF_ALG"),
        ("socket", [2, 0x80801, 0, 0], "AF_INET"),
        ("socket", [2, 0x80803, 0, 0], "AF_INET,SOCK_RAW"),
        ("socket", [17, 3, 0x300, 0], "AF_PACKET,SOCK_RAW"),
        ("socket", [17, 5, 0, 0], "AF_PACKET,other"),
        ("socket", [16, 3, 9, 0], "AF_NETLINK,NETLINK_AUDIT"),
        ("socket", [16, 3, 14, 0], "AF_NETLINK,other"),
        ("socket", [99, 0, 0, 0], "other"),
        ("socket", [0x1_0000_0026, 5, 0, 0], "AF_ALG"),
        ("unshare", [0x1000_0000, 0, 0, 0], "CLONE_NEWUSER"),
        ("unshare", [0x200, 0, 0, 0], "other"),
        ("clone", [0x3d_0f00, 0, 0, 0], "other"),
        ("setns", [3, 0, 0, 0], "any"),
        ("personality", [0xffff_ffff, 0, 0, 0], "query"),
        ("personality", [0x4_0000, 0, 0, 0], "ADDR_NO_RANDOMIZE"),
        ("personality", [6, 0, 0, 0], "other"),
        ("prctl", [38, 1, 0, 0], "PR_SET_NO_NEW_PRIVS"),
        ("prctl", [15, 1, 0, 0], "other"),
        ("ioctl", [0, 0x5412, 0, 0], "TIOCSTI"),
        ("ioctl", [0, 0xffff_ffff_0000_5412, 0, 0], "TIOCSTI"),
        ("ioctl", [0, 0xae01, 0, 0], "KVM"),
        ("ptrace", [16, 1, 0, 0], "PTRACE_ATTACH"),
        ("ptrace", [0x1_0000_0010, 1, 0, 0], "other"),
        ("mount", [0, 0, 0, 0], "other"),
        ("mount", [0, 0, 0, 0xc0ed_1000], "MS_BIND"),
        ("mount", [0, 0, 0, 0xc0ed_0000], "other"),
        ("mprotect", [0, 0, 7, 0], "PROT_WRITE|PROT_EXEC"),
        ("io_uring_register", [0, 0x8000_0009, 0, 0], "IORING_REGISTER_PERSONALITY"),
    ] {
        assert_eq!(security(name, arguments), [wanted], "{name}{arguments:x?}");
    }
    assert_eq!(security("mprotect", [0, 0, 5, 0]), [""; 0]);
    assert_eq!(security("mount", [0, 0, 0, 0x1020]), ["MS_BIND", "MS_REMOUNT"]);
    assert_eq!(security("unshare", [0x1002_0000, 0, 0, 0]), ["CLONE_NEWUSER", "CLONE_NEWNS"]);
    assert_eq!(classes(ArgumentClasses::All, "x32", "prctl", [15, 0, 0, 0]), ["PR_SET_NAME"]);
    assert_eq!(classes(ArgumentClasses::All, "ia32", "socketcall", [1, 38, 5, 0]), ["SYS_SOCKET,AF_ALG"]);
}

#[test]
fn a_call_with_unreadable_arguments_has_one_class() {
    let table = table();
    let rules = table.kernel_tables(&BTreeSet::new(), ArgumentClasses::Security).arguments;
    for (abi, name, wanted) in [
        ("x86_64", "clone3", "unreadable"),
        ("ia32", "socketcall", "SYS_SOCKET,unreadable"),
        ("ia32", "mmap", "unreadable"),
        ("x32", "io_uring_setup", "unreadable"),
    ] {
        let call = table.id(abi, name).unwrap();
        let found: Vec<_> = search(&rules, call, [1, 0, 0, 0], false).iter().map(|&id| table.call(id)).collect();
        assert_eq!(found.iter().map(Call::argument).collect::<Vec<_>>(), [wanted], "{abi} {name}");
    }
}

/// A flood of values makes no more classes than the table has.
#[test]
fn every_value_has_a_class_of_its_call_and_every_complete_call_has_one() {
    let table = table();
    for which in [ArgumentClasses::Security, ArgumentClasses::All] {
        let rules = table.kernel_tables(&BTreeSet::new(), which).arguments;
        for classed in &table.classed {
            let mut value = 1_u64;
            for _ in 0..2000 {
                // xorshift64
                value ^= value << 13;
                value ^= value >> 7;
                value ^= value << 17;
                let arguments = [value, value >> 3, value >> 7, value >> 11].map(|word| word >> (value % 60));
                let found = search(&rules, classed.call, arguments, true);
                assert!(found.iter().all(|class| classed.classes.contains(&class.0)));
                assert!(!found.is_empty() || !classed.is_complete(), "{:?}", table.call(classed.call));
                assert!(found.len() <= 12, "the kernel side counts at most 12 classes");
            }
        }
    }
}

#[test]
fn a_class_is_a_call_that_belongs_to_its_call() {
    for table in [CallTable::x86_64(), CallTable::aarch64()] {
        let names: BTreeSet<Call> =
            table.all().map(|(_, call)| call).filter(|call| call.syscall != "unknown").collect();
        assert_eq!(names.len() + 4, table.all().count(), "no two have the same name");
        for (id, call) in table.all().skip(table.iter().count()) {
            let of = table.call_of_class(id);
            assert!(table.is_class(id) && !table.is_class(of) && table.classes(of).any(|class| class == id));
            assert_eq!((table.call(of).syscall, table.call(of).abi), (call.name(), call.abi));
            assert_eq!(table.id(call.abi, call.syscall), Some(id));
            assert!(!call.argument().is_empty() && call.abi != IO_URING);
        }
        assert!(table.iter().all(|(id, call)| table.call_of_class(id) == id && call.argument().is_empty()));
    }
}

#[test]
fn every_class_of_arguments_in_registers_has_an_example() {
    let table = table();
    let in_memory = ["clone3", "io_uring_setup"];
    for (id, call) in table.all().filter(|(id, _)| table.is_class(*id)) {
        let is_in_memory = in_memory.contains(&call.name()) || (call.abi, call.name()) == ("ia32", "mmap");
        let is_readable = !is_in_memory && !call.argument().contains(UNREADABLE);
        assert_eq!(!table.examples(id).is_empty(), is_readable, "{call:?}");
    }
}

#[test]
fn an_event_with_a_class_of_another_call_is_one_of_the_call() {
    let table = table();
    let [socket, algorithm] = ["socket", "socket(AF_ALG)"].map(|name| table.id("x86_64", name).unwrap());
    let of = |number, class| table.reported(syscallmon_common::Abi::Native, number, class);
    assert_eq!((of(41, None), of(41, Some(algorithm))), (socket, algorithm));
    assert_eq!(table.call(of(39, Some(algorithm))).syscall, "getpid");
    assert_eq!(of(41, Some(CallId(u16::MAX))), socket);
}

#[test]
fn classes_that_are_not_counted_have_no_rules() {
    let rules = table().kernel_tables(&BTreeSet::new(), ArgumentClasses::None).arguments;
    assert!(rules.calls.iter().all(|call| call.rules == 0));
}

/// Names and numbers are those of the C headers, as far as the crate `libc` has them.
#[test]
fn numbers_are_those_of_the_headers() {
    macro_rules! same {
        ($call:literal: $($name:ident)*) => {
            $(
                let value = i128::from(libc::$name) & 0xffff_ffff;
                let part = concat!(",", stringify!($name));
                let is_it = |rule: &&Rule| rule.class == stringify!($name) || rule.class.ends_with(part);
                let row = table::rows().iter().find(|row| row.calls.contains(&$call)).unwrap();
                let rule = row.rules.iter().find(is_it);
                let rule = rule.unwrap_or_else(|| panic!("{} has no {}", $call, stringify!($name)));
                let number = if stringify!($name).starts_with("NETLINK") { rule.second.value } else { rule.first.value };
                assert_eq!(i128::from(number), value, "{}({})", $call, stringify!($name));
            )*
        };
    }
    same!("socket": AF_UNIX AF_INET AF_INET6 AF_ALG AF_VSOCK AF_BLUETOOTH AF_CAN AF_TIPC AF_RDS AF_XDP AF_KEY AF_UNSPEC
        AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE AF_ATMPVC AF_X25 AF_ROSE AF_DECnet AF_NETBEUI AF_SECURITY AF_ASH
        AF_ECONET AF_ATMSVC AF_SNA AF_IRDA AF_PPPOX AF_WANPIPE AF_LLC AF_IB AF_MPLS AF_IUCV AF_RXRPC AF_ISDN AF_PHONET
        AF_IEEE802154 AF_CAIF AF_NFC NETLINK_ROUTE NETLINK_USERSOCK NETLINK_SOCK_DIAG NETLINK_XFRM NETLINK_SELINUX
        NETLINK_ISCSI NETLINK_AUDIT NETLINK_FIB_LOOKUP NETLINK_CONNECTOR NETLINK_NETFILTER NETLINK_KOBJECT_UEVENT
        NETLINK_GENERIC NETLINK_SCSITRANSPORT NETLINK_RDMA NETLINK_CRYPTO);
    same!("clone3": CLONE_NEWUSER CLONE_NEWNS CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWPID CLONE_NEWNET
        CLONE_NEWTIME);
    same!("personality": UNAME26 ADDR_NO_RANDOMIZE READ_IMPLIES_EXEC MMAP_PAGE_ZERO
        ADDR_COMPAT_LAYOUT);
    same!("prctl": PR_SET_NAME PR_SET_PDEATHSIG PR_SET_CHILD_SUBREAPER PR_SET_VMA PR_CAPBSET_READ PR_GET_DUMPABLE
        PR_SET_TIMERSLACK PR_SET_THP_DISABLE PR_SET_TSC PR_SCHED_CORE PR_SET_MDWE PR_SET_NO_NEW_PRIVS PR_SET_SECCOMP
        PR_CAPBSET_DROP PR_SET_MM PR_SET_PTRACER PR_SET_SECUREBITS PR_CAP_AMBIENT PR_SET_KEEPCAPS PR_SET_DUMPABLE);
    same!("ptrace": PTRACE_TRACEME PTRACE_ATTACH PTRACE_SEIZE PTRACE_POKETEXT PTRACE_POKEDATA PTRACE_SETREGSET
        PTRACE_PEEKTEXT PTRACE_PEEKDATA PTRACE_CONT PTRACE_KILL PTRACE_SINGLESTEP PTRACE_DETACH PTRACE_SYSCALL
        PTRACE_SETOPTIONS PTRACE_GETEVENTMSG PTRACE_GETSIGINFO PTRACE_GETREGSET PTRACE_INTERRUPT PTRACE_LISTEN
        PTRACE_GET_SYSCALL_INFO);
    same!("keyctl": KEYCTL_GET_KEYRING_ID KEYCTL_JOIN_SESSION_KEYRING KEYCTL_UPDATE KEYCTL_REVOKE KEYCTL_CHOWN
        KEYCTL_SETPERM KEYCTL_DESCRIBE KEYCTL_CLEAR KEYCTL_LINK KEYCTL_UNLINK KEYCTL_SEARCH KEYCTL_READ
        KEYCTL_INSTANTIATE KEYCTL_NEGATE KEYCTL_SET_REQKEY_KEYRING KEYCTL_SET_TIMEOUT KEYCTL_ASSUME_AUTHORITY
        KEYCTL_GET_SECURITY KEYCTL_SESSION_TO_PARENT KEYCTL_INVALIDATE KEYCTL_GET_PERSISTENT);
    same!("ioctl": TIOCSTI TIOCLINUX TIOCCONS TCGETS TIOCGWINSZ FIONREAD FIONBIO FIOCLEX TUNSETIFF);
    same!("mount": MS_REMOUNT MS_MOVE MS_PRIVATE MS_SLAVE MS_SHARED MS_UNBINDABLE);
}

/// Returns pseudo-random arguments, among them the values of the rules and their neighbours. The same in every run.
fn sampled(row: &Classed, count: usize) -> Vec<[u64; 4]> {
    let conditions = row.rules.iter().flat_map(|rule| [rule.first, rule.second]);
    let mut values: Vec<u64> =
        conditions.flat_map(|Condition { mask, value, .. }| [value, value + 1, value ^ (1 << 32), mask]).collect();
    values.extend([0, 1, u64::from(u32::MAX), u64::MAX]);
    let mut random = fastrand::Rng::with_seed(3);
    let mut pick = |_| match random.u32(..4) {
        0 => random.u64(..),
        1 => values[random.usize(..values.len())] | values[random.usize(..values.len())],
        _ => values[random.usize(..values.len())],
    };
    (0..count).map(|_| std::array::from_fn(&mut pick)).collect()
}

#[test]
fn comparisons_hold_for_the_allowed_classes_and_no_others() {
    let mut random = fastrand::Rng::with_seed(5);
    for row in table::rows().iter().filter(|row| row.is_filtered()) {
        let (all, arguments): (Vec<_>, _) = (row.arguments().collect(), sampled(row, 3000));
        let mut sets: Vec<BTreeSet<_>> = all.iter().map(|&class| [class].into()).collect();
        sets.extend((0..60).map(|_| all.iter().copied().filter(|_| random.u32(..3) == 0).collect()));
        sets.push(BTreeSet::new());
        let mut compared = 0;
        for set in sets {
            let Some(lists) = comparisons(row.calls[0], &set) else { continue };
            compared += 1;
            assert!(lists.iter().all(|list| list.is_sorted_by(|a, b| a.argument < b.argument)));
            for arguments in &arguments {
                let holds = |of: &Condition| arguments[usize::from(of.argument)] & of.mask == of.value;
                let found = lists.iter().filter(|list| list.iter().all(holds)).count();
                let classes = row.classes_of(arguments);
                let is_allowed = classes.iter().all(|class| set.contains(class));
                assert_eq!(found, usize::from(is_allowed), "{}{arguments:x?} {classes:?} of {set:?}", row.calls[0]);
            }
        }
        assert!(compared >= all.len() / 2, "{}: {compared} of {}", row.calls[0], all.len());
    }
}

#[test]
fn common_classes_take_few_comparisons() {
    let lists = |call, classes: &[&'static str]| comparisons(call, &classes.iter().copied().collect());
    let of = |argument, mask, value| Condition { argument, mask, value };
    assert_eq!(lists("socket", &["AF_UNIX"]), Some(vec![vec![of(0, 0xffff_ffff, 1)]]));
    assert_eq!(lists("clone", &["other"]), Some(vec![vec![of(0, 0x7e02_0000, 0)]]));
    assert_eq!(lists("clone", &["other", "CLONE_NEWUSER"]), Some(vec![vec![of(0, 0x6e02_0000, 0)]]));
    assert_eq!(lists("personality", &["query"]), Some(vec![vec![of(0, 0xffff_ffff, 0xffff_ffff)]]));
    let server = lists("socket", &["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK,NETLINK_ROUTE"]).unwrap();
    assert!(server.len() <= 12 && server.iter().all(|list| list[0].mask == 0xffff_ffff), "{server:x?}");
}

#[test]
fn classes_that_a_filter_cannot_tell_apart_have_no_comparisons() {
    let all = |call: &str| table::rows().iter().find(|row| row.calls.contains(&call)).unwrap().arguments().collect();
    for (call, classes) in [
        ("clone3", [OTHER].into()),
        ("mprotect", ["PROT_WRITE|PROT_EXEC"].into()),
        ("openat", [OTHER].into()),
        ("clone", [OTHER, "CLONE_NEWTIME"].into()),
        ("socket", all("socket")),
        ("ioctl", [OTHER].into()),
    ] {
        assert_eq!(comparisons(call, &with_details(call, classes)), None, "{call}");
    }
}

#[test]
fn details_are_other_arguments_by_default() {
    let table = table();
    let rules = table.kernel_tables(&BTreeSet::new(), ArgumentClasses::Security).arguments;
    for classed in table.classed.iter().filter(|classed| classed.row.is_filtered()) {
        for detail in classed.row.details() {
            for [a, b, c, d, ..] in classed.examples(detail) {
                let found = search(&rules, classed.call, [a, b, c, d], true);
                let found: Vec<_> = found.into_iter().map(|class| table.call(class).argument()).collect();
                assert_eq!(found, [OTHER], "{detail}");
            }
        }
    }
    assert!(with_details("prctl", [OTHER].into()).contains("PR_SET_NAME"));
    assert_eq!(with_details("prctl", ["PR_SET_MM"].into()), ["PR_SET_MM"].into());
}
