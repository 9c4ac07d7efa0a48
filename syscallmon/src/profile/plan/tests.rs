use super::*;
use crate::profile::{Observation, Replica, SourceKind};

fn evidence(calls: &[(&str, &str, u64, u64)]) -> Evidence {
    let mut evidence = Evidence::new(SourceKind::Recording, "web");
    for &(abi, syscall, count, denied) in calls {
        evidence.add(abi, syscall, &Observation { count, denied, ..Observation::default() });
    }
    evidence
}

fn plan(calls: &[(&str, &str, u64, u64)], options: &PlanOptions) -> Plan {
    Plan::new(&evidence(calls), options)
}

fn warns(plan: &Plan, text: &str) -> bool {
    plan.warnings.iter().any(|warning| warning.contains(text))
}

#[test]
fn what_was_observed_is_allowed_with_its_siblings_and_what_every_program_needs() {
    let made = plan(&[("x86_64", "openat", 5, 0)], &PlanOptions::default());
    assert_eq!(made.abis, ["x86_64"]);
    assert_eq!(made.allowed["openat"], [Why::Observed].into());
    assert_eq!(made.allowed["open"], [Why::InPlaceOf("openat")].into());
    assert_eq!(made.allowed["exit_group"], [Why::Always].into());
    assert_eq!(made.allowed["getrusage"], [Why::Harmless].into());
    assert!(!made.allowed.contains_key("mount") && !made.allowed.contains_key("socket"));
    assert!(made.nonexistent.contains("clone3") && !made.nonexistent.contains("openat2"));
}

#[test]
fn a_strict_profile_has_no_siblings_of_the_same_architecture() {
    let options = PlanOptions { strict: true, ..PlanOptions::default() };
    let made = plan(&[("x86_64", "open", 5, 0)], &options);
    assert!(made.allowed.contains_key("open") && !made.allowed.contains_key("openat"));
    assert!(!made.allowed.contains_key("getrusage"));
    let options = PlanOptions { architectures: vec!["aarch64"], ..options };
    let made = plan(&[("x86_64", "open", 5, 0)], &options);
    assert!(made.allowed.contains_key("openat") && !made.allowed.contains_key("open"));
    assert!(warns(&made, "no call was observed on aarch64"));
}

#[test]
fn calls_that_other_architectures_lack_are_translated_or_reported() {
    let options = PlanOptions { architectures: vec!["x86_64", "aarch64"], ..PlanOptions::default() };
    let calls = [("x86_64", "fork", 1, 0), ("x86_64", "dup2", 1, 0), ("x86_64", "arch_prctl", 1, 0)];
    let both = plan(&calls, &options);
    assert!(["clone", "dup3", "arch_prctl"].iter().all(|name| both.allowed.contains_key(name)));
    let options = PlanOptions { architectures: vec!["aarch64"], ..PlanOptions::default() };
    let other = plan(&calls, &options);
    assert!(!other.allowed.contains_key("arch_prctl") && !other.allowed.contains_key("dup2"));
    assert!(warns(&other, "lack calls that were observed: arch_prctl"));
}

#[test]
fn denied_calls_are_allowed_only_on_request_and_never_if_dangerous() {
    let calls = [("x86_64", "read", 1, 0), ("x86_64", "flock", 0, 3), ("x86_64", "mount", 0, 3)];
    let cautious = plan(&calls, &PlanOptions::default());
    assert!(!cautious.allowed.contains_key("flock") && warns(&cautious, "flock, mount"));
    let healed = plan(&calls, &PlanOptions { allow_denied: true, ..PlanOptions::default() });
    assert!(healed.allowed.contains_key("flock") && !healed.allowed.contains_key("mount"));
}

#[test]
fn operations_of_io_uring_need_its_system_calls() {
    let made = plan(&[("io_uring", "openat", 5, 0)], &PlanOptions::default());
    assert!(made.allowed.contains_key("io_uring_enter") && !made.allowed.contains_key("openat"));
    assert!(warns(&made, "dangerous calls: io_uring_enter"));
}

#[test]
fn calls_of_32_bit_programs_bring_their_abi() {
    let made = plan(&[("x86_64", "read", 1, 0), ("ia32", "mmap2", 1, 0)], &PlanOptions::default());
    assert_eq!(made.abis, ["x86_64", "ia32"]);
    assert!(made.allowed.contains_key("mmap2"));
}

#[test]
fn warnings_have_no_control_characters_and_are_short() {
    let mut evidence = evidence(&[("x86_64", "read", 1, 0)]);
    evidence.sources[0].name = format!("web\u{1b}[2J\n{}", "x".repeat(10_000));
    evidence.warn("calls may be missing");
    let plan = Plan::new(&evidence, &PlanOptions::default());
    assert!(plan.warnings.iter().all(|text| text.len() < 400 && !text.chars().any(char::is_control)));
}

const ALL: [&str; 2] = ["x86_64", "ia32"];

fn replica(name: &str) -> Replica {
    let (image, window) = (None, std::time::Duration::ZERO);
    Replica { name: name.to_owned(), image, from: None, to: None, saw_start: true, lost: 0, windows: 0, window }
}

/// Evidence of replicas, each with its calls and classes of arguments. A name that ends with `!` was denied.
fn of_replicas(replicas: &[&[&str]]) -> Evidence {
    let mut evidence = Evidence::new(SourceKind::Recording, "web");
    for names in replicas {
        let index = evidence.add_replica(replica("web")).unwrap();
        for name in *names {
            let seen = match name.strip_suffix('!') {
                Some(_) => Observation { denied: 1, denied_replicas: [index].into(), ..Observation::default() },
                None => Observation { count: 1, replicas: [index].into(), ..Observation::default() },
            };
            evidence.add("x86_64", name.trim_end_matches('!'), &seen);
        }
    }
    evidence
}

fn restricted(replicas: &[&[&str]], options: &PlanOptions) -> Plan {
    Plan::new(&of_replicas(replicas), options)
}

fn classes(plan: &Plan, call: &str) -> Option<Vec<&'static str>> {
    plan.restrictions.get(call).map(|restriction| restriction.classes.iter().copied().collect())
}

#[test]
fn a_call_is_allowed_with_the_arguments_that_were_observed() {
    let calls: &[&str] = &["read", "socket", "socket(AF_UNIX)", "socket(AF_INET)", "prctl", "prctl(PR_SET_MM)"];
    let made = restricted(&[calls, &["socket", "socket(AF_INET6)"]], &PlanOptions::default());
    let of_network = vec!["AF_INET", "AF_INET6", "AF_NETLINK,NETLINK_ROUTE", "AF_UNIX"];
    assert_eq!(classes(&made, "socket"), Some(of_network), "what name resolution needs, too");
    let strict = PlanOptions { strict: true, ..PlanOptions::default() };
    let made_strictly = restricted(&[calls, &["socket", "socket(AF_INET6)"]], &strict);
    assert_eq!(classes(&made_strictly, "socket"), Some(vec!["AF_INET", "AF_INET6", "AF_UNIX"]));
    assert_eq!((classes(&made, "prctl"), made.restrictions.len()), (Some(vec!["PR_SET_MM"]), 2));
    assert!(made.allows("socket") && made.allows("socket(AF_UNIX)") && !made.allows("socket(AF_ALG)"));
    assert!(made.allows("read") && !made.allows("bind"));
    let any = restricted(&[calls], &PlanOptions { any_arguments: true, ..PlanOptions::default() });
    assert!(any.restrictions.is_empty() && any.allows("socket(AF_ALG)"));
}

#[test]
fn a_call_with_other_reasons_or_unknown_arguments_is_allowed_with_all() {
    let calls: &[&str] = &["socket", "socket(AF_UNIX)", "unshare", "unshare(CLONE_NEWNS)"];
    let whole = |replicas: &[&[&str]], options: &PlanOptions| classes(&restricted(replicas, options), "socket");
    let options = PlanOptions::default();
    assert!(whole(&[calls], &options).is_some());
    assert_eq!(whole(&[calls, &["socket"]], &options), None, "an old recording beside a new one");
    assert!(whole(&[calls, &["read"]], &options).is_some(), "the other replica makes no sockets");
    assert_eq!(whole(&[calls], &PlanOptions { requested: ["socket"].into(), ..options.clone() }), None);
    assert_eq!(whole(&[calls], &PlanOptions { runtime: ["socket"].into(), ..options.clone() }), None);
    let ioctl = restricted(&[&["ioctl", "ioctl(other)", "mprotect", "mprotect(PROT_WRITE|PROT_EXEC)"]], &options);
    assert!(ioctl.restrictions.is_empty(), "a filter would need too many rules, or some calls have no class");
    let mut of_32_bit = of_replicas(&[calls]);
    of_32_bit.add("ia32", "socket", &Observation { count: 1, replicas: [0].into(), ..Observation::default() });
    assert!(!Plan::new(&of_32_bit, &options).restrictions.contains_key("socket"));
}

#[test]
fn clone3_is_said_not_to_exist_where_clone_is_restricted() {
    let options = PlanOptions::default();
    for (calls, expected) in [
        (&["clone", "clone(other)"][..], &["other"][..]),
        (&["clone3", "clone3(other)"], &["other"]),
        (&["clone3", "clone3(other)", "clone", "clone(CLONE_NEWUSER)"], &["CLONE_NEWUSER", "other"]),
        (&["vfork"], &["other"]),
        (&["fork", "clone3", "clone3(CLONE_NEWPID)"], &["CLONE_NEWPID", "other"]),
    ] {
        let made = restricted(&[calls], &options);
        assert_eq!(classes(&made, "clone").as_deref(), Some(expected), "{calls:?}");
        assert_eq!(made.restrictions["clone3"].comparisons, Vec::<Vec<_>>::new(), "{calls:?}");
        assert!(!made.restrictions["clone"].comparisons.is_empty());
    }
    for calls in [
        &["clone3", "clone3(other)", "clone"][..],
        &["clone3", "clone3(unreadable)"],
        &["clone3", "clone3(CLONE_NEWTIME)", "clone", "clone(other)"],
    ] {
        let made = restricted(&[calls], &options);
        assert!(made.restrictions.is_empty(), "{calls:?}: {:?}", made.restrictions);
        assert_eq!(warns(&made, "time namespaces"), calls[1].contains("NEWTIME"));
    }
    let requested = PlanOptions { requested: ["clone3"].into(), ..options.clone() };
    assert!(restricted(&[&["clone", "clone(other)"]], &requested).restrictions.is_empty());
    let strict = restricted(&[&["clone3", "clone3(other)"]], &PlanOptions { strict: true, ..options });
    assert_eq!(strict.allowed["clone"], [Why::InPlaceOf("clone3")].into());
    assert!(!strict.allowed.contains_key("fork"));
}

#[test]
fn denied_arguments_are_allowed_only_on_request_and_never_if_dangerous() {
    let calls: &[&str] = &[
        "socket",
        "socket(AF_UNIX)",
        "socket!",
        "socket(AF_INET)!",
        "socket(AF_ALG)!",
        "clone3!",
        "clone",
        "clone(other)",
        "clone!",
        "clone(CLONE_NEWUSER)!",
        "personality!",
        "personality(query)!",
        "socketpair!",
    ];
    let cautious = restricted(&[calls], &PlanOptions::default());
    assert_eq!(classes(&cautious, "socket"), Some(vec!["AF_UNIX"]));
    assert!(warns(&cautious, "personality, socket(AF_ALG), socket(AF_INET), socketpair"), "{:?}", cautious.warnings);
    let healed = restricted(&[calls], &PlanOptions { allow_denied: true, ..PlanOptions::default() });
    assert_eq!(classes(&healed, "socket"), Some(vec!["AF_INET", "AF_INET6", "AF_NETLINK,NETLINK_ROUTE", "AF_UNIX"]));
    assert_eq!(
        (classes(&healed, "personality"), classes(&healed, "clone")),
        (Some(vec!["query"]), Some(vec!["other"]))
    );
    assert!(healed.allows("socketpair(AF_TIPC)"), "its denied arguments are not known");
    let attacked = PlanOptions { allow_denied: true, ..PlanOptions::default() };
    assert!(!restricted(&[&["read", "socket!", "socket(AF_ALG)!"]], &attacked).allows("socket"));
}

#[test]
fn dangerous_arguments_are_warned_of() {
    let made =
        restricted(&[&["clone", "clone(CLONE_NEWUSER)", "ptrace", "ptrace(PTRACE_ATTACH)"]], &PlanOptions::default());
    assert!(warns(&made, "dangerous calls: clone(CLONE_NEWUSER), ptrace"), "{:?}", made.warnings);
    let mut evidence = of_replicas(&[&["socket", "socket(AF_UNIX)"]]);
    evidence.add("ia32", "socketcall", &Observation { count: 1, ..Observation::default() });
    let made = Plan::new(&evidence, &PlanOptions::default());
    assert_eq!((made.abis.as_slice(), classes(&made, "socket")), (&ALL[..], Some(vec!["AF_UNIX"])));
    assert!(warns(&made, "every socket by socketcall"));
}
