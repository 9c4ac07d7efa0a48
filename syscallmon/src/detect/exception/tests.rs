use proptest::prelude::*;

use super::*;
use crate::{
    detect::{self, PolicyList, Source, Unexpected},
    syscalls::{CallId, CallTable},
    workload::{Label, Labels},
};

/// A policy of its own for every workload, without exceptions.
const OWN: &str = "policies:\n  - name: web\n    match: ['node!=\"none\"']\n    allow: [read]\n    deny: [ptrace]\n    critical: [mount]\n";
/// The same, learning.
const LEARNING: &str = "policies:\n  - name: web\n    match: ['node!=\"none\"']\n    deny: [ptrace]\n    learn: {}\n";

fn policies(yaml: &str) -> detect::Policies {
    let list: PolicyList = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
    let source = |spec| Source { spec, profiles: Vec::new(), origin: "a.yaml".into() };
    detect::Policies::new(list.policies.into_iter().map(source).collect(), true, &CallTable::x86_64()).unwrap()
}

fn rows(yaml: &str) -> Vec<PolicyInForce> {
    let row = |policy: &std::sync::Arc<detect::Policy>| PolicyInForce {
        name: policy.name().to_string(),
        origin: policy.origin().to_string(),
        learns: policy.learn().is_some(),
    };
    policies(yaml).iter().map(row).collect()
}

/// Returns the judgement of every call of a workload. `learned` are its learned calls, if its policy learns.
fn judged(policies: &detect::Policies, metadata: &Labels, learned: &BTreeSet<CallId>) -> Vec<Option<Unexpected>> {
    let Some(policy) = policies.of(metadata) else { return Vec::new() };
    let learned = policy.learn().map(|_| learned);
    CallTable::x86_64().iter().map(|(id, _)| policy.judge(metadata, id, learned)).collect()
}

/// Returns the violation of a call that is unexpected.
fn violation(metadata: &Labels, call: CallId, (policy, unexpected): (&str, Unexpected)) -> ReportedCall {
    let call = CallTable::x86_64().call(call);
    ReportedCall {
        id: "0123456789abcdef".to_owned(),
        metadata: metadata.clone(),
        abi: call.abi.to_owned(),
        syscall: call.syscall.to_owned(),
        policy: policy.to_owned(),
        is_denied: unexpected.reason == detect::Reason::DenyList,
    }
}

fn printed(violations: &[ReportedCall], policies: &str) -> String {
    exceptions_yaml(&exceptions(violations, &rows(policies)).unwrap())
}

const POD: [(Label, &str); 7] = [
    (Label::Namespace, "shop"),
    (Label::Pod, "web-7d4b9c8f6d-x2k4q"),
    (Label::Container, "httpd"),
    (Label::ContainerId, "containerd://12"),
    (Label::Owner, "web"),
    (Label::OwnerKind, "Deployment"),
    (Label::Node, "node-1"),
];

fn metadata(labels: &[(Label, &str)]) -> Labels {
    Labels::new(labels.iter().map(|&(label, value)| (label, value.into())))
}

fn of(policy: &str, reason: &str, calls: &[(&str, &str)]) -> Vec<ReportedCall> {
    let one = |(number, (abi, syscall)): (usize, &(&str, &str))| ReportedCall {
        id: format!("{number:016x}"),
        metadata: metadata(&POD),
        abi: (*abi).to_owned(),
        syscall: (*syscall).to_owned(),
        policy: policy.to_owned(),
        is_denied: reason == "deny_list",
    };
    calls.iter().enumerate().map(one).collect()
}

#[test]
fn a_call_of_the_built_in_policy_is_allowed_by_a_new_policy_that_extends_it() {
    let text = printed(&of(BUILT_IN, "not_allowed", &[("x86_64", "mount"), ("ia32", "getpid")]), "policies: []");
    let expected = "# A file for --policy.directory, or for `policies` in the configuration file.\npolicies:\n\
        \x20 # shop/Deployment/web/httpd: ia32:getpid, x86_64:mount. Violation 0000000000000000, 0000000000000001.\n\
        \x20 - name: allow-shop-deployment-web-httpd\n    extends: runtime-default\n    \
        match: [{namespace: \"shop\", owner: \"web\", owner_kind: \"Deployment\", container: \"httpd\"}]\n    \
        allow: [\"ia32:getpid\", \"x86_64:mount\"]\n";
    assert_eq!(text, expected);
    let denied = printed(&of(BUILT_IN, "deny_list", &[("x86_64", "ptrace")]), "policies: []");
    assert!(denied.contains("    exceptions:\n      - match: [{namespace: \"shop\""), "{denied}");
}

#[test]
fn a_class_of_arguments_is_allowed_and_no_other_of_its_call() {
    let table = CallTable::x86_64();
    for class in ["socket(AF_ALG)", "socket(AF_INET,SOCK_RAW)", "mmap(PROT_WRITE|PROT_EXEC)"] {
        let text = printed(&of("web", "not_allowed", &[("x86_64", class)]), OWN);
        let (policies, metadata) = (policies(&format!("{OWN}{text}")), metadata(&POD));
        let policy = policies.of(&metadata).unwrap();
        let is_expected = |name| policy.judge(&metadata, table.id("x86_64", name).unwrap(), None).is_none();
        let allowed = [class, "socket(AF_VSOCK)", "mprotect(PROT_WRITE|PROT_EXEC)"].map(is_expected);
        assert_eq!(allowed, [true, false, false], "{class}: {text}");
    }
}

#[test]
fn a_call_of_an_own_policy_is_an_exception_of_it() {
    let text = printed(&of("web", "not_allowed", &[("x86_64", "mount")]), OWN);
    let expected = "# shop/Deployment/web/httpd: x86_64:mount. Violation 0000000000000000.\n\
        # Add this to the policy web in a.yaml. If the policy has exceptions, add only the item.\n    exceptions:\n      \
        - match: [{namespace: \"shop\", owner: \"web\", owner_kind: \"Deployment\", container: \"httpd\"}]\n        \
        allow: [\"x86_64:mount\"]\n";
    assert_eq!(text, expected);
}

#[test]
fn a_call_of_a_learning_policy_can_also_be_a_line_of_the_baseline() {
    let text = printed(&of("web", "not_learned", &[("x86_64", "chroot"), ("x86_64", "mount")]), LEARNING);
    assert!(text.contains("#   \"x86_64/chroot\": \"\", \"x86_64/mount\": \"\",\n"), "{text}");
    assert!(text.contains("in shop_Deployment_web_httpd-") && text.contains("    exceptions:\n"), "{text}");
    // The line would not help.
    let denied = printed(&of("web", "deny_list", &[("x86_64", "ptrace")]), LEARNING);
    assert!(!denied.contains("baselines/"), "{denied}");
}

#[test]
fn what_cannot_be_allowed_is_an_error_that_says_why() {
    let error = |violations: &[ReportedCall], yaml| exceptions(violations, &rows(yaml)).unwrap_err().to_string();
    let gone = of("gone\u{1b}[2J", "not_allowed", &[("x86_64", "mount")]);
    let text = error(&gone, OWN);
    assert!(text.contains("its policy gone\\u{1b}[2J is not in force any more"), "{text}");
    let mut nobody = of("web", "not_allowed", &[("x86_64", "mount")]);
    nobody[0].metadata = Labels::default();
    assert!(error(&nobody, OWN).contains("not known by name"));
    for hostile in ["mount\"]\n    deny: []", "socket(\"]", "socket(AF_ALG,)", "socket()", "(AF_ALG)", "socket(AF_ALG"] {
        let hostile = of("web", "not_allowed", &[("x86_64", hostile)]);
        assert!(error(&hostile, OWN).contains("no policy can name its call"), "{hostile:?}");
    }
}

#[test]
fn names_of_new_policies_are_valid_and_free() {
    let valid = |name: &str| serde_json::from_value::<detect::PolicyName>(name.into()).is_ok();
    for workload in
        ["shop/Deployment/web/httpd", "/", "", "unit:/system.slice/a.service", "\u{202e}\n{}[]", &"x".repeat(300)]
    {
        let name = name_of(workload, "0123456789abcdef");
        assert!(valid(&name) && valid(&numbered(&name, 1000)), "{workload:?}: {name}");
    }
    let taken = "policies: [{name: allow-shop-deployment-web-httpd, match: [{pod: a}], allow: [read]}]";
    let text = printed(&of(BUILT_IN, "not_allowed", &[("x86_64", "mount")]), taken);
    assert!(text.contains("name: allow-shop-deployment-web-httpd-2\n"), "{text}");
}

/// Values that a container can choose.
fn value() -> impl Strategy<Value = String> {
    "([a-z]{1,4}|[\\PC\n\r\t\u{1b}\u{202e}\u{2028}\"'\\\\{}\\[\\]*?:#&!|>%@`,-]{1,10})"
}

/// A workload, one with the same names after a restart, and the labels that tell it from others.
fn workload() -> impl Strategy<Value = (Labels, Labels, Vec<Label>)> {
    (prop::array::uniform5(value()), 0..4_u8).prop_map(|(values, kind)| {
        let names = match kind {
            0 => vec![Label::Namespace, Label::Owner, Label::OwnerKind, Label::Container],
            1 => vec![Label::Namespace, Label::Owner, Label::OwnerKind],
            2 => vec![Label::Runtime, Label::Container],
            _ => vec![Label::Cgroup],
        };
        let lasting: Vec<_> = names.iter().copied().zip(values.iter().map(|value| value.as_str().into())).collect();
        let with = |id: &str| {
            let changing = match kind {
                0 => vec![(Label::Pod, format!("web-{id}").into()), (Label::ContainerId, id.into())],
                1 => vec![(Label::Pod, format!("web-{id}").into())],
                2 => vec![(Label::ContainerId, id.into()), (Label::Cgroup, id.into())],
                _ => vec![(Label::Node, id.into())],
            };
            Labels::new(lasting.iter().cloned().chain(changing))
        };
        (with("1"), with("2"), names)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn exactly_this_call_of_this_workload_is_allowed_and_nothing_else(
        (known, restarted, names) in workload(),
        call in 0_u16..1400,
        policy in prop::sample::select(vec![OWN, LEARNING, "policies: []\n"]),
        learned in prop::collection::btree_set((0_u16..1400).prop_map(CallId), 0..20),
    ) {
        let (call, before) = (CallId(call), policies(policy));
        let judged_before = judged(&before, &known, &learned);
        let unexpected = judged_before.get(usize::from(call.0)).copied().flatten();
        prop_assume!(unexpected.is_some());
        let name = before.of(&known).unwrap().name().to_string();
        let text = printed(&[violation(&known, call, (&name, unexpected.unwrap()))], policy);
        prop_assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{2028}', '\r']), "{text}");
        let after = policies(&if policy.contains("name: web") { format!("{policy}{text}") } else { text });
        let severity = |unexpected: &Option<Unexpected>| unexpected.map(|unexpected| unexpected.severity);
        for same in [&known, &restarted] {
            let (old, new) = (judged(&before, same, &learned), judged(&after, same, &learned));
            for (number, (old, new)) in old.iter().zip(&new).enumerate() {
                let expected = if number == usize::from(call.0) { None } else { severity(old) };
                prop_assert_eq!(severity(new), expected, "call {}", number);
            }
        }
        for name in names {
            let changed = format!("{}x", known.get(name).map_or("", AsRef::as_ref));
            let other = known.with([(name, changed.as_str().into())]);
            prop_assert_eq!(judged(&before, &other, &learned), judged(&after, &other, &learned), "{:?}", name);
        }
    }
}
