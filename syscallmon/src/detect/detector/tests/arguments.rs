//! Classes of arguments are judged and learned; the number of such a call is not judged beside them.

use super::*;

fn knowing(policies: &str) -> Detector {
    let mut detector = judges(policies);
    detector.knows_arguments(true);
    detector
}

/// What a workload did: each call, and the classes of its arguments.
const MADE: [(&str, u64); 7] = [
    ("socket", 7),
    ("socket(AF_UNIX)", 4),
    ("socket(AF_ALG)", 3),
    ("clone", 2),
    ("clone(CLONE_NEWUSER)", 2),
    ("unshare", 1),
    ("unshare(CLONE_NEWUSER)", 1),
];

fn counted(detector: &mut Detector, calls: &[(&str, u64)]) -> Vec<(&'static str, u64)> {
    let delta = made(detector, named(None), calls);
    count(detector, delta);
    let mut found: Vec<_> = unexpected(detector).into_iter().map(|(_, call, count)| (call, count)).collect();
    found.sort_unstable();
    found
}

#[test]
fn the_built_in_policy_judges_arguments_where_they_are_known() {
    let found = counted(&mut knowing("[]"), &MADE);
    assert_eq!(found, [("clone(CLONE_NEWUSER)", 2), ("socket(AF_ALG)", 3), ("unshare(CLONE_NEWUSER)", 1)]);
    // Without classes, the number decides.
    let numbers = MADE.iter().copied().filter(|(name, _)| !name.contains('(')).collect::<Vec<_>>();
    assert_eq!(counted(&mut judges("[]"), &numbers), [("unshare", 1)]);
}

#[test]
fn a_list_of_classes_expects_the_number_where_arguments_are_not_known() {
    let policy = "[{name: shop, match: [{namespace: shop}], allow: ['socket(AF_UNIX)', '*:clone(other)']}]";
    let found = counted(&mut knowing(policy), &MADE);
    assert_eq!(found, [("clone(CLONE_NEWUSER)", 2), ("socket(AF_ALG)", 3), ("unshare(CLONE_NEWUSER)", 1)]);
    assert_eq!(counted(&mut judges(policy), &[("socket", 7), ("clone", 2), ("unshare", 1)]), [("unshare", 1)]);
}

#[test]
fn every_list_takes_classes() {
    let policy = "[{name: shop, match: [{namespace: shop}], allow: ['*'], deny: ['socket(AF_ALG)'], \
                  critical: ['socket(AF_ALG)', 'unshare']}]";
    let mut detector = knowing(policy);
    assert_eq!(counted(&mut detector, &MADE), [("socket(AF_ALG)", 3)]);
    assert_eq!(detector.violations.iter().next().unwrap().severity, crate::detect::Severity::Critical);
    let policy = "[{name: shop, match: [{namespace: shop}], allow: ['socket'], \
                  exceptions: [{match: [{container: web}], allow: ['clone(CLONE_NEWUSER)', 'unshare']}]}]";
    assert_eq!(counted(&mut knowing(policy), &MADE), []);
}

#[test]
fn a_class_that_extends_a_denied_call_is_allowed_by_its_name() {
    let policy =
        "[{name: shop, match: [{namespace: shop}], extends: runtime-default, allow: ['ptrace(PTRACE_TRACEME)']}]";
    let calls = [("ptrace", 3), ("ptrace(PTRACE_TRACEME)", 2), ("ptrace(PTRACE_ATTACH)", 1)];
    assert_eq!(counted(&mut knowing(policy), &calls), [("ptrace(PTRACE_ATTACH)", 1)]);
}

#[test]
fn classes_are_learned_and_others_are_unexpected_then() {
    let mut detector = knowing("[{name: learned, match: [{namespace: shop}], learn: {}}]");
    let with_owner = || named(Some("web"));
    let learned = made(&detector, with_owner(), &[("socket", 4), ("socket(AF_UNIX)", 4), ("clone3(other)", 1)]);
    count(&mut detector, learned);
    let key: BaselineKey = "shop/Deployment/web/web".parse().unwrap();
    let text = detector.baselines.get(&key).unwrap().to_json().unwrap();
    assert!(text.contains("x86_64/socket(AF_UNIX)") && !text.contains("\"x86_64/socket\""), "{text}");
    let calls = Arc::clone(&detector.calls);
    assert!(crate::detect::Baseline::from_json(text.as_bytes(), &calls).is_ok());
    assert!(detector.baselines.approve(&key, SystemTime::UNIX_EPOCH));
    let more = [("socket", 3), ("socket(AF_UNIX)", 1), ("socket(AF_ALG)", 2), ("clone(other)", 1)];
    let delta = made(&detector, with_owner(), &more);
    count(&mut detector, delta);
    let found: Vec<_> = unexpected(&detector).into_iter().map(|(_, call, count)| (call, count)).collect();
    assert_eq!(found, [("socket(AF_ALG)", 2)]);
}

#[test]
fn an_event_of_the_number_is_not_judged_and_that_of_the_class_is() {
    let mut detector = knowing("[]");
    for name in ["unshare", "unshare(CLONE_NEWUSER)"] {
        let event = first(&detector, name);
        detector.judge_first(&named(None), event);
    }
    let found: Vec<&str> = detector.violations.iter().map(|violation| violation.call.syscall).collect();
    assert_eq!(found, ["unshare(CLONE_NEWUSER)"]);
    let violation = serde_json::to_value(detector.violations.iter().next().unwrap()).unwrap();
    assert_eq!((&violation["syscall"], &violation["argument"]), (&"unshare".into(), &"CLONE_NEWUSER".into()));
}
