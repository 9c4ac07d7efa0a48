//! Classes of arguments are counted exactly, in every ABI, and values make no series.

use std::{collections::BTreeMap, env::consts::ARCH, ffi::OsStr};

use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, mount_tracefs, number},
    policies::{Guard, container, text},
};

/// A call of the tests: its number, how often, arguments, and the classes that it has.
type Known = (i64, u64, &'static str, &'static [&'static str]);

/// Calls that fail or change nothing, with the classes of their arguments. An invalid type makes the kernel refuse a
/// socket before it looks for the module of a family.
fn known() -> Vec<Known> {
    vec![
        (libc::SYS_socket, 7, "1,100001,0,0", &["socket(AF_UNIX)"]),
        (libc::SYS_socket, 3, "26,100005,0,0", &["socket(AF_ALG)"]),
        (libc::SYS_socket, 2, "2,100003,0,0", &["socket(AF_INET,SOCK_RAW)"]),
        (libc::SYS_socket, 5, "10,100003,9,0", &["socket(AF_NETLINK,NETLINK_AUDIT)"]),
        (libc::SYS_socket, 4, "100000026,100005,0,0", &["socket(AF_ALG)"]),
        (libc::SYS_socket, 6, "7777,100005,0,0", &["socket(other)"]),
        (libc::SYS_socketpair, 2, "1,100001,0,0", &["socketpair(AF_UNIX)"]),
        // CLONE_FS, and CLONE_THREAD without CLONE_VM, are invalid with these flags.
        (libc::SYS_clone, 3, "10000200,0,0,0", &["clone(CLONE_NEWUSER)"]),
        (libc::SYS_clone, 2, "70010000,0,0,0", &["clone(CLONE_NEWUSER)", "clone(CLONE_NEWPID)", "clone(CLONE_NEWNET)"]),
        (libc::SYS_clone, 4, "10000,0,0,0", &["clone(other)"]),
        (libc::SYS_clone3, 5, "@10000200/0,40,0,0", &["clone3(CLONE_NEWUSER)"]),
        (libc::SYS_clone3, 2, "@10080/0,40,0,0", &["clone3(CLONE_NEWTIME)"]),
        (libc::SYS_clone3, 3, "10,40,0,0", &["clone3(unreadable)"]),
        (libc::SYS_unshare, 4, "10000001,0,0,0", &["unshare(CLONE_NEWUSER)"]),
        (libc::SYS_unshare, 1, "1,0,0,0", &["unshare(other)"]),
        (libc::SYS_setns, 2, "ffffffff,40000000,0,0", &["setns(CLONE_NEWNET)"]),
        (libc::SYS_setns, 3, "ffffffff,0,0,0", &["setns(any)"]),
        (libc::SYS_personality, 9, "ffffffff,0,0,0", &["personality(query)"]),
        (libc::SYS_prctl, 3, "16,7777,0,0", &["prctl(PR_SET_SECCOMP)"]),
        (libc::SYS_prctl, 8, "7777,0,0,0", &["prctl(other)"]),
        (libc::SYS_bpf, 2, "5,0,0,0", &["bpf(BPF_PROG_LOAD)"]),
        (libc::SYS_ptrace, 2, "10,ffffffff,0,0", &["ptrace(PTRACE_ATTACH)"]),
        (libc::SYS_keyctl, 2, "b,7fffffff,0,0", &["keyctl(KEYCTL_READ)"]),
        (libc::SYS_ioctl, 4, "ffffffff,5412,0,0", &["ioctl(TIOCSTI)"]),
        (libc::SYS_ioctl, 3, "ffffffff,ae01,0,0", &["ioctl(KVM)"]),
        (libc::SYS_ioctl, 2, "ffffffff,5401,0,0", &["ioctl(other)"]),
        (libc::SYS_mount, 2, "0,0,0,1000", &["mount(MS_BIND)"]),
        (libc::SYS_mount, 3, "0,0,0,c0ed1020", &["mount(MS_BIND)", "mount(MS_REMOUNT)"]),
        (libc::SYS_mprotect, 5, "0,0,7,0", &["mprotect(PROT_WRITE|PROT_EXEC)"]),
        (libc::SYS_mprotect, 6, "0,0,5,0", &[]),
        (libc::SYS_mmap, 2, "0,0,6,22", &["mmap(PROT_WRITE|PROT_EXEC)"]),
        (libc::SYS_io_uring_setup, 2, "0,@0/0/2/0,0,0", &["io_uring_setup(IORING_SETUP_SQPOLL)"]),
        (libc::SYS_io_uring_register, 2, "ffffffff,9,0,0", &["io_uring_register(IORING_REGISTER_PERSONALITY)"]),
    ]
}

/// Makes the calls in the cgroup. Returns the counts that they have by class.
fn made(cgroup: &TestCgroup, (entry, abi): (&str, &str), known: &[Known]) -> Vec<(String, u64)> {
    let specs: Vec<String> =
        known.iter().map(|(nr, count, arguments, _)| format!("{nr}:{count}:{arguments}")).collect();
    let path = cgroup.path();
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"arguments", &path, &entry];
    args.extend(specs.iter().map(|spec| spec as &dyn AsRef<OsStr>));
    KnownCalls::run(&args);
    let mut counts = BTreeMap::new();
    for (_, count, _, classes) in known {
        for class in *classes {
            *counts.entry(format!("{abi}/{class}")).or_insert(0) += count;
        }
    }
    counts.into_iter().collect()
}

/// Asserts the classes that are counted. A program makes some calls of its own when it starts.
fn assert_counts(counted: &[(String, u64)], wanted: &[(String, u64)]) {
    let is_own =
        |class: &str| ["prctl(other)", "ioctl(other)", "socket(AF_UNIX)"].iter().any(|own| class.ends_with(own));
    for (class, count) in wanted {
        let found = counted.iter().find(|(name, _)| name == class).map_or(0, |(_, count)| *count);
        assert!(found == *count || (is_own(class) && found > *count), "{class}: {found} instead of {count}");
    }
    let more: Vec<_> = counted.iter().filter(|(name, _)| !wanted.iter().any(|(class, _)| class == name)).collect();
    assert!(
        more.iter().all(|(class, _)| is_own(class) || class.contains("/clone(") || class.contains("/clone3(")),
        "{more:?}"
    );
}

/// Makes calls with known arguments by every entry of the kernel, and asserts the counts of their classes.
pub(crate) fn assert_counted(daemon: &Daemon) {
    assert_native(daemon);
    assert_denied(daemon);
    #[cfg(target_arch = "x86_64")]
    assert_32_bit(daemon);
}

fn assert_native(daemon: &Daemon) {
    let cgroup = TestCgroup::new("arguments");
    let wanted = made(&cgroup, ("native", ARCH), &known());
    let scrape = daemon.settled_scrape();
    assert_counts(&scrape.arguments(&cgroup.label()), &wanted);
    assert_eq!(scrape.calls(&cgroup.label(), "socket"), 27, "the call is counted as ever");
    assert_eq!(scrape.arguments_denied(&cgroup.label()), []);
}

#[test]
fn every_implementation_counts_every_class_exactly() {
    mount_tracefs();
    for flags in [&[][..], &["--probe.sys-enter=raw_tp"], &["--probe.sys-enter=tracepoint"]] {
        println!("{flags:?}");
        assert_counted(&Daemon::start(flags));
    }
}

#[cfg(target_arch = "x86_64")]
fn assert_32_bit(daemon: &Daemon) {
    let known: &[Known] = &[
        (359, 3, "26,100005,0,0", &["socket(AF_ALG)"]),
        (102, 2, "1,@26/100005/0,0,0", &["socketcall(SYS_SOCKET,AF_ALG)"]),
        (102, 4, "1,@7777/100005/0,0,0", &["socketcall(SYS_SOCKET,other)"]),
        (102, 5, "1,10,0,0", &["socketcall(SYS_SOCKET,unreadable)"]),
        (102, 6, "3,10,0,0", &["socketcall(SYS_CONNECT)"]),
        (120, 2, "10000200,0,0,0", &["clone(CLONE_NEWUSER)"]),
        (435, 3, "@10000200/0,40,0,0", &["clone3(CLONE_NEWUSER)"]),
        (310, 4, "10000001,0,0,0", &["unshare(CLONE_NEWUSER)"]),
        (136, 5, "ffffffff,0,0,0", &["personality(query)"]),
        (54, 6, "ffffffff,5412,0,0", &["ioctl(TIOCSTI)"]),
        (21, 2, "0,0,0,1000", &["mount(MS_BIND)"]),
        (90, 3, "@0/0/7/22/ffffffff/0,0,0,0", &["mmap(PROT_WRITE|PROT_EXEC)"]),
        (192, 4, "0,0,7,22", &["mmap2(PROT_WRITE|PROT_EXEC)"]),
    ];
    let cgroup = TestCgroup::new("arguments32");
    let wanted = made(&cgroup, ("int80", "ia32"), known);
    let counted = daemon.settled_scrape().arguments(&cgroup.label());
    let ia32: Vec<_> = counted.into_iter().filter(|(class, _)| class.starts_with("ia32/")).collect();
    assert_eq!(ia32, wanted);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn arguments_of_x32_are_counted_as_far_as_the_kernel_reports_such_calls() {
    let known: &[Known] = &[
        (41, 3, "26,100005,0,0", &["socket(AF_ALG)"]),
        (514, 2, "ffffffff,5412,0,0", &["ioctl(TIOCSTI)"]),
        (272, 4, "10000001,0,0,0", &["unshare(CLONE_NEWUSER)"]),
    ];
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("argumentsx32"));
    let wanted = made(&cgroup, ("x32", "x32"), known);
    let counted = daemon.settled_scrape().arguments(&cgroup.label());
    let x32: Vec<_> = counted.into_iter().filter(|(class, _)| class.starts_with("x32/")).collect();
    assert_eq!(x32, wanted);
}

/// Denied calls have the classes of their arguments.
fn assert_denied(daemon: &Daemon) {
    let spec = |nr: i64, count: u64, arguments: &str| format!("{nr}:{count}:{arguments}");
    for (how, nr, count, arguments, class) in [
        ("errno", libc::SYS_unshare, 77, "10000000,0,0,0", "unshare(CLONE_NEWUSER)"),
        ("errno", libc::SYS_socket, 12, "26,5,0,0", "socket(AF_ALG)"),
        ("errno", libc::SYS_clone3, 9, "@10000000/0,40,0,0", "clone3(CLONE_NEWUSER)"),
        ("kill", libc::SYS_personality, 5, "40000,0,0,0", "personality(ADDR_NO_RANDOMIZE)"),
    ] {
        let cgroup = TestCgroup::new("argumentsdenied");
        KnownCalls::run(&[&"arguments-denied", &cgroup.path(), &how, &spec(nr, count, arguments)]);
        let scrape = daemon.settled_scrape();
        assert_eq!(scrape.arguments_denied(&cgroup.label()), [(format!("{ARCH}/{class}"), count)]);
        let name = class.split_once('(').unwrap().0;
        assert_eq!(scrape.denied(&cgroup.label()), [(name.to_owned(), count)]);
        assert!(!scrape.arguments(&cgroup.label()).iter().any(|(made, _)| made.ends_with(class)));
    }
    let cgroup = TestCgroup::new("argumentsenosys");
    let unshare = spec(libc::SYS_unshare, 7, "10000000,0,0,0");
    KnownCalls::run(&[&"arguments-denied", &cgroup.path(), &"enosys", &unshare]);
    assert_eq!(daemon.settled_scrape().arguments_denied(&cgroup.label()), [], "ENOSYS is no denial to report");
}

#[test]
fn a_flood_of_values_makes_no_series() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("argumentsflood"));
    for (nr, index) in
        [(libc::SYS_socket, "0"), (libc::SYS_ioctl, "1"), (libc::SYS_prctl, "0"), (libc::SYS_keyctl, "0")]
    {
        KnownCalls::run(&[&"arguments-flood", &cgroup.path(), &number(nr), &index, &"20000"]);
    }
    let scrape = daemon.settled_scrape();
    let counted = scrape.arguments(&cgroup.label());
    for name in ["socket", "ioctl", "prctl", "keyctl"] {
        let other = format!("{ARCH}/{name}(other)");
        let of_call: Vec<_> =
            counted.iter().filter(|(class, _)| class.starts_with(&format!("{ARCH}/{name}("))).collect();
        assert_eq!(of_call.iter().map(|(_, count)| count).sum::<u64>(), scrape.calls(&cgroup.label(), name), "{name}");
        assert!(
            of_call.len() <= 2 && of_call.iter().any(|(class, count)| *class == other && *count >= 20_000),
            "{of_call:?}"
        );
    }
    assert_eq!(scrape.value(r#"syscallmon_lost_total{reason="arguments_full"}"#), Some(0));
}

/// What is counted is what memory held at `sys_enter`: each call has exactly one of the two classes. What the kernel
/// read afterwards may differ.
#[test]
fn a_call_whose_argument_changes_meanwhile_is_counted_once() {
    let (daemon, cgroup) = (Daemon::start(&[]), TestCgroup::new("argumentschanged"));
    KnownCalls::run(&[&"arguments-changed", &cgroup.path(), &"50000"]);
    let counted = daemon.settled_scrape().arguments(&cgroup.label());
    let of = |class: &str| {
        counted.iter().find(|(name, _)| *name == format!("{ARCH}/clone3({class})")).map_or(0, |found| found.1)
    };
    let (user, other) = (of("CLONE_NEWUSER"), of("other"));
    // The threads of the program are made by `clone3` too, with other flags.
    assert!((50_000..50_010).contains(&(user + other)) && user > 0, "{user} and {other}: {counted:?}");
    assert_eq!(of("unreadable"), 0);
}

#[test]
fn all_has_more_classes_and_none_has_none() {
    let known: &[Known] = &[(libc::SYS_prctl, 4, "29,0,0,0", &["prctl(PR_SET_THP_DISABLE)"])];
    for (which, class) in
        [("all", Some("prctl(PR_SET_THP_DISABLE)")), ("security", Some("prctl(other)")), ("none", None)]
    {
        let flag = format!("--probe.arguments={which}");
        let (daemon, cgroup) = (Daemon::start(&[&flag]), TestCgroup::new("argumentswhich"));
        made(&cgroup, ("native", ARCH), known);
        let counted = daemon.settled_scrape().arguments(&cgroup.label());
        match class {
            Some(class) => {
                assert!(counted.iter().any(|(name, count)| name.ends_with(class) && *count >= 4), "{counted:?}");
            }
            None => assert_eq!(counted, []),
        }
    }
}

/// What the default profile of container runtimes denies by its arguments, and what it allows.
const OUTSIDE: [(i64, &str, &str); 8] = [
    (libc::SYS_socket, "26,100005,0,0", "socket(AF_ALG)"),
    (libc::SYS_socket, "28,100001,0,0", "socket(AF_VSOCK)"),
    (libc::SYS_clone, "10000200,0,0,0", "clone(CLONE_NEWUSER)"),
    (libc::SYS_clone3, "@10000200/0,40,0,0", "clone3(CLONE_NEWUSER)"),
    (libc::SYS_unshare, "10000001,0,0,0", "unshare(CLONE_NEWUSER)"),
    (libc::SYS_personality, "40000,0,0,0", "personality(ADDR_NO_RANDOMIZE)"),
    (libc::SYS_personality, "7,0,0,0", "personality(other)"),
    (libc::SYS_ioctl, "ffffffff,5412,0,0", "ioctl(TIOCSTI)"),
];
const INSIDE: [(i64, &str); 7] = [
    (libc::SYS_socket, "1,100001,0,0"),
    (libc::SYS_socket, "10,100003,0,0"),
    (libc::SYS_clone, "10000,0,0,0"),
    (libc::SYS_clone3, "@10000/0,40,0,0"),
    (libc::SYS_personality, "ffffffff,0,0,0"),
    (libc::SYS_ioctl, "ffffffff,5401,0,0"),
    (libc::SYS_mprotect, "0,0,7,0"),
];

/// Makes each of these calls twice in a container's cgroup.
fn made_in_a_container(parent: &TestCgroup) {
    let path = container(parent);
    let outside = OUTSIDE.iter().map(|&(nr, arguments, _)| (nr, arguments));
    let specs: Vec<String> =
        INSIDE.into_iter().chain(outside).map(|(nr, arguments)| format!("{nr}:2:{arguments}")).collect();
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"arguments", &path, &"native"];
    args.extend(specs.iter().map(|spec| spec as &dyn AsRef<OsStr>));
    KnownCalls::run(&args);
}

#[test]
fn the_built_in_policy_reports_each_unexpected_argument_once_with_its_process() {
    let parent = TestCgroup::new("argumentspolicy");
    let guard = Guard::start("  []", &[]);
    made_in_a_container(&parent);
    let lines = guard.wait_for_lines(&parent.label(), OUTSIDE.len());
    let mut found: Vec<String> =
        lines.iter().map(|line| format!("{}({})", text(line, "syscall"), text(line, "argument"))).collect();
    found.sort();
    let mut wanted = OUTSIDE.map(|(.., class)| class.to_owned());
    wanted.sort();
    assert_eq!(found, wanted);
    assert!(lines.iter().all(|line| text(&line["process"], "comm") == "known_calls"), "{lines:#?}");
    let scrape = guard.daemon.settled_scrape();
    let series = scrape.text.lines().filter(|line| line.starts_with("syscallmon_unexpected_syscalls_total{"));
    let series: Vec<&str> = series.filter(|line| line.contains(&parent.label())).collect();
    assert!(series.iter().all(|line| line.ends_with(" 2") && line.contains(r#",argument=""#)), "{series:#?}");
    assert_eq!((series.len(), scrape.value("syscallmon_arguments_counted")), (OUTSIDE.len(), Some(1)));
}

#[test]
fn without_arguments_policies_judge_numbers_and_say_so() {
    let parent = TestCgroup::new("argumentsoff");
    let policy = "  - name: shop\n    match: ['container_id!=\"\"']\n    extends: runtime-default\n    \
                  allow: ['unshare(CLONE_NEWUTS)']";
    let guard = Guard::start(policy, &["--probe.arguments=none"]);
    made_in_a_container(&parent);
    guard.wait_until_judged();
    assert!(guard.lines(&parent.label()).is_empty(), "all of these numbers are allowed");
    assert_eq!(guard.daemon.settled_scrape().value("syscallmon_arguments_counted"), Some(0));
    guard.daemon.wait_for_log("policies judge calls by number only");
}
