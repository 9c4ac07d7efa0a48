use serde_json::{Value, json};

use super::*;
use crate::profile::{SourceKind, with_allowed};

pub(in crate::profile) const WEB: &str = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
    {"names": ["read", "exit_group", "execve", "mount"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["statx", "flock"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;

fn evidence(calls: &[(&str, u64, u64)]) -> Evidence {
    let mut evidence = Evidence::new(SourceKind::Daemon, "d");
    for &(syscall, count, denied) in calls {
        evidence.add("x86_64", syscall, &Observation { count, denied, ..Observation::default() });
    }
    evidence
}

fn check(profile: &str, calls: &[(&str, u64, u64)], needed: &[&'static str]) -> Check {
    let needed = needed.iter().copied().collect();
    Check::new(&Profile::parse(profile).unwrap(), &evidence(calls), &needed, &BTreeSet::new())
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.syscall).collect()
}

#[test]
fn a_call_that_the_workload_makes_and_the_profile_refuses_breaks_it() {
    let calls = [("read", 1, 0), ("openat", 5, 0), ("statx", 1, 0), ("flock", 1, 0)];
    let check = check(WEB, &calls, &["execve", "close"]);
    assert_eq!((names(&check.breaks), names(&check.falls_back)), (vec!["flock", "openat"], vec!["statx"]));
    assert_eq!((check.missing_at_start.as_slice(), check.unused.as_slice()), (&["close"][..], &["mount"][..]));
    assert!(!check.is_ok());
}

#[test]
fn denied_calls_are_problems_unless_they_are_dangerous() {
    let attacked = check(WEB, &[("read", 1, 0), ("bpf", 0, 2)], &[]);
    assert!(attacked.is_ok() && attacked.denied[0].danger.is_some());
    let broken = check(WEB, &[("read", 1, 0), ("kill", 0, 2), ("statx", 0, 9)], &[]);
    assert_eq!((names(&broken.denied), broken.is_ok()), (vec!["kill"], false));
}

#[test]
fn a_profile_that_refuses_everything_fails() {
    let all = check(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#, &[], &[]);
    assert!(all.refuses_everything && !all.is_ok());
    assert!(all.warnings.iter().any(|warning| warning.contains("exit_group")));
}

#[test]
fn comparisons_that_libseccomp_compiles_wrongly_are_warned_of() {
    let rule = |op, value: u64| {
        let args = json!([{"index": 1, "value": value, "op": format!("SCMP_CMP_{op}")}]);
        json!({"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args})
    };
    let warns = |rules: [Value; 2]| {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}).to_string();
        check(&profile, &[], &[]).warnings.iter().any(|text| text.contains("libseccomp") && text.contains("ioctl"))
    };
    assert!(warns([rule("LT", 922_573_919), rule("GT", 1 << 55)]));
    assert!(warns([rule("EQ", 5), rule("LE", 1 << 32)]));
    assert!(!warns([rule("LT", 38), rule("GT", 40)]), "the upper halves are equal");
    assert!(!warns([rule("EQ", 5), rule("NE", 1 << 32)]));
    let other = json!({"names": ["kill"], "action": "SCMP_ACT_ALLOW"});
    assert!(!warns([rule("GT", 1 << 55), other]));
}

#[test]
fn a_suggestion_heals_what_is_ordinary_and_keeps_the_rest_of_the_profile() {
    let calls = [("flock", 1, 0), ("kill", 0, 1), ("bpf", 0, 2), ("read", 1, 0)];
    let (added, left) = check(WEB, &calls, &["close"]).suggestion();
    assert_eq!((added.clone(), left), (["close", "flock", "kill"].into(), ["bpf"].into()));
    let healed = with_allowed(serde_json::from_str(WEB).unwrap(), &added);
    assert_eq!(healed["syscalls"][1]["names"], json!(["statx"]), "no two rules contradict each other");
    let healed = healed.to_string();
    let again = check(&healed, &calls, &["close"]);
    assert!(again.is_ok() && names(&again.denied) == ["bpf"], "{again:?}");
}

#[test]
fn a_healed_profile_keeps_the_form_that_it_had() {
    let healed = |profile: Value| with_allowed(profile, &["kill"].into());
    let rule = json!({"names": ["kill"], "action": "SCMP_ACT_ALLOW"});
    let old = json!({"name": "kill", "action": "SCMP_ACT_ERRNO"});
    let other = json!({"name": "read", "action": "SCMP_ACT_ALLOW"});
    assert_eq!(healed(json!({"spec": 7, "syscalls": [old, other]})), json!({"spec": 7, "syscalls": [other, rule]}));
    let object = json!({"kind": "SeccompProfile", "spec": {"syscalls": null}});
    assert_eq!(healed(object), json!({"kind": "SeccompProfile", "spec": {"syscalls": [rule]}}));
}

#[test]
fn profiles_of_any_form_are_healed_without_a_panic() {
    let parts = [json!(null), json!(7), json!("kill"), json!([]), json!(["kill"]), json!({}), json!([["kill"], 7])];
    for part in parts {
        for profile in [
            part.clone(),
            json!({"syscalls": part}),
            json!({"kind": part, "spec": part}),
            json!({"syscalls": [{"names": part}, {"name": part}, part]}),
            json!({"kind": "SeccompProfile", "spec": {"syscalls": [{"names": [part]}, part]}}),
        ] {
            let _ = with_allowed(profile, &["kill"].into());
        }
    }
}

/// A profile that allows sockets of two families, and processes without namespaces.
const RESTRICTED: &str = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
    {"names": ["read", "exit_group", "execve"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
     "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#;

#[test]
fn arguments_that_the_workload_uses_and_the_profile_refuses_are_findings() {
    let calls = [
        ("socket", 9, 2),
        ("socket(AF_UNIX)", 2, 0),
        ("socket(AF_NETLINK,NETLINK_ROUTE)", 2, 0),
        ("socket(AF_INET)", 5, 0),
        ("socket(AF_ALG)", 0, 2),
        ("clone", 3, 0),
        ("clone(other)", 3, 0),
        ("personality", 1, 0),
        ("personality(query)", 1, 0),
    ];
    let found = check(RESTRICTED, &calls, &[]);
    assert_eq!(
        (names(&found.breaks), names(&found.denied)),
        (vec!["personality", "socket(AF_INET)"], vec!["socket(AF_ALG)"])
    );
    let (added, left) = found.suggestion();
    assert_eq!((added.clone(), left), (["personality", "socket(AF_INET)"].into(), ["socket(AF_ALG)"].into()));
    let healed = with_allowed(serde_json::from_str(RESTRICTED).unwrap(), &added).to_string();
    let again = check(&healed, &calls, &[]);
    assert!(again.is_ok() && names(&again.denied) == ["socket(AF_ALG)"], "{again:?}");
    let decide = |args: [u64; 2]| {
        let profile = Profile::parse(&healed).unwrap();
        profile.decide("x86_64", "x86_64", "socket", &[args[0], args[1], 0, 0, 0, 0]).allows()
    };
    assert_eq!([[2, 1], [2, 3], [1, 1], [10, 1]].map(decide), [true, false, true, false]);
}

#[test]
fn arguments_that_a_filter_cannot_tell_from_others_are_left_to_a_person() {
    let args = r#""args": [{"index": 1, "value": 21505, "op": "SCMP_CMP_EQ"}]"#;
    let profile = RESTRICTED.replacen(
        r#"["clone"], "action": "SCMP_ACT_ALLOW","#,
        &format!(r#"["ioctl"], {args}, "action": "SCMP_ACT_ALLOW", "unused": [], "#),
        1,
    );
    let profile = profile
        .replace(r#""args": [{"index": 0, "value": 2114060288"#, r#""ignored": [{"index": 0, "value": 2114060288"#);
    let calls = [("ioctl", 2, 0), ("ioctl(KVM)", 1, 0), ("ioctl(other)", 1, 0)];
    let found = check(&profile, &calls, &[]);
    assert_eq!(names(&found.breaks), ["ioctl(KVM)"], "TCGETS counts as other by default");
    let both = rules_of_classes(&["ioctl(KVM)", "ioctl(other)", "clone3(other)", "personality(query)"].into());
    assert_eq!(both.into_keys().collect::<Vec<_>>(), ["personality"]);
    let left =
        Check { breaks: vec![Finding { syscall: "ioctl(other)", ..found.breaks[0].clone() }], ..Check::default() };
    assert_eq!(left.suggestion(), ([].into(), ["ioctl(other)"].into()));
}
