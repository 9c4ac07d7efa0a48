//! What a policy inherits, by examples.

use super::*;

#[test]
fn a_policy_that_extends_another_one_adds_to_its_lists() {
    let of = |lines: &str, abi, name| judge(&every_container(lines), abi, name, None).map(|found| found.reason);
    let io_uring = "extends: runtime-default\nallow: [io_uring_setup, '@debug']";
    assert_eq!(of(io_uring, "x86_64", "io_uring_setup"), None);
    assert_eq!(of(io_uring, "x86_64", "openat"), None, "inherited");
    assert_eq!(of(io_uring, "x86_64", "ptrace"), Some(Reason::DenyList), "a set does not lift a deny");
    assert_eq!(of("extends: runtime-default\nallow: ['*:*']", "ia32", "ptrace"), Some(Reason::DenyList));
    assert_eq!(of("extends: runtime-default\nallow: ['*:*']", "ia32", "mount"), None);
    let debugger = "extends: runtime-default\nallow: [ptrace]";
    assert_eq!(of(debugger, "x86_64", "ptrace"), None, "it is named");
    assert_eq!(of(debugger, "ia32", "ptrace"), Some(Reason::DenyList), "as far as it is named");
    assert_eq!(of("extends: runtime-default\ndeny: [read]", "x86_64", "read"), Some(Reason::DenyList));
    assert_eq!(of("extends: runtime-default\ndeny: [read]\nallow: [read]", "x86_64", "read"), Some(Reason::DenyList));
}

#[test]
fn severity_and_learning_are_inherited_and_replaced() {
    let yaml = "policies:\n- {name: base, match: [{pod: none}], severity: info, learn: {quiet_for: 2h}, allow: [read]}\n\
                - {name: same, match: [{pod: a}], extends: base}\n\
                - {name: other, match: [{pod: b}], extends: base, severity: critical, learn: {quiet_for: 3h}}\n";
    let policies = policies(yaml);
    let quiet = |name| {
        let policy = policies.iter().find(|policy| policy.name().as_ref() == name).unwrap();
        let unexpected = policy.judge(&container("x"), call("x86_64", "openat"), None).unwrap();
        (policy.learn().unwrap().quiet_for.as_secs() / 3600, unexpected.severity)
    };
    assert_eq!((quiet("same"), quiet("other")), ((2, Severity::Info), (3, Severity::Critical)));
}

#[test]
fn exceptions_are_inherited_unless_a_nearer_policy_denies_the_call() {
    let yaml = "policies:\n- {name: base, match: [{pod: none}], allow: [read], deny: [ptrace, kcmp],\n  \
                exceptions: [{match: [{pod: gdb}], allow: [ptrace, kcmp]}]}\n\
                - {name: child, match: [{namespace: shop}], extends: base, deny: [kcmp]}\n\
                - {name: grandchild, match: [{namespace: shop}], extends: child, exceptions: [{match: [{pod: web}], allow: [mount]}]}\n";
    let policies = policies(yaml);
    let judge = |name, pod, call_name| {
        let policy = policies.iter().find(|policy| policy.name().as_ref() == name).unwrap();
        policy.judge(&container(pod), call("x86_64", call_name), None).map(|unexpected| unexpected.reason)
    };
    for name in ["child", "grandchild"] {
        assert_eq!(judge(name, "gdb", "ptrace"), None, "{name}");
        assert_eq!(judge(name, "gdb", "kcmp"), Some(Reason::DenyList), "{name}");
        assert_eq!(judge(name, "web", "ptrace"), Some(Reason::DenyList), "{name}");
    }
    assert_eq!((judge("grandchild", "web", "mount"), judge("child", "web", "mount")), (None, Some(Reason::NotAllowed)));
    assert!(policies.look_at(Label::Pod));
}

/// The line that decides is named, with the policy that has it.
#[test]
fn a_decision_names_the_line_and_the_policy() {
    let yaml = "policies:\n- name: base\n  match: [{pod: none}]\n  extends: runtime-default\n  allow:\n  - io_uring_setup\n  - bpf\n  \
                deny: [kcmp]\n- name: web\n  match: [{namespace: shop}]\n  extends: base\n  severity: info\n  seccomp: [x.json]\n  \
                exceptions:\n  - match: [{pod: gdb}]\n    allow:\n    - ptrace\n";
    let profile =
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let table = CallTable::x86_64();
    let policies = Policies::new(sources(yaml, Some(profile)), true, &table).unwrap();
    let web = policies.iter().find(|policy| policy.name().as_ref() == "web").unwrap();
    let decision = |pod, abi, name| web.decision(&container(pod), call(abi, name), &table).to_string();
    assert_eq!(decision("web", "x86_64", "bpf"), "allow has bpf (policy base, a.yaml:7:5)");
    assert_eq!(decision("web", "x86_64", "kcmp"), "deny has kcmp (policy base, a.yaml:8:10)");
    assert_eq!(decision("gdb", "x86_64", "ptrace"), "an exception allows ptrace (policy web, a.yaml:17:7)");
    assert!(decision("web", "x86_64", "ptrace").starts_with("deny has ptrace (policy runtime-default, built in:"));
    assert!(
        decision("web", "x86_64", "read").starts_with("allow has @runtime-default (policy runtime-default, built in:")
    );
    assert_eq!(decision("web", "x86_64", "mount"), "no list has it (policy web, a.yaml:9:3)");
    assert_eq!(decision("web", "x86_64", "acct"), "the seccomp profile x.json allows it (policy web, a.yaml:13:13)");
    assert_eq!(decision("web", "x86_64", "restart_syscall"), "the kernel makes programs call it");
    let severity = |name| web.severity_decision(call("x86_64", name), &table, policies.built_in()).to_string();
    assert!(
        severity("mount").starts_with("critical has mount (policy runtime-default, built in:"),
        "{}",
        severity("mount")
    );
    assert_eq!(severity("kcmp"), "severity is info (policy web, a.yaml:9:3)");
}
