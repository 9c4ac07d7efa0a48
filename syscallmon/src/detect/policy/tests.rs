//! What policies judge.

mod composition;
mod extending;

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    detect::{Match, Policies, PolicyList, Reason, Severity, Source, Unexpected},
    seccomp::Profile,
    syscalls::{CallId, CallTable},
    workload::{Label, Labels},
};

fn call(abi: &str, name: &str) -> CallId {
    let table = CallTable::x86_64();
    let mut calls = table.iter();
    calls.find(|(_, call)| (call.abi, call.syscall) == (abi, name)).unwrap_or_else(|| panic!("{abi}:{name}")).0
}

fn sources(yaml: &str, profile: Option<&str>) -> Vec<Source> {
    let list: PolicyList = serde_saphyr::from_str(yaml).unwrap();
    let profiles: Vec<Profile> = profile.into_iter().map(|json| Profile::parse(json).unwrap()).collect();
    let source = |spec| Source { spec, profiles: profiles.clone(), origin: "a.yaml".into() };
    list.policies.into_iter().map(source).collect()
}

fn policies(yaml: &str) -> Policies {
    Policies::new(sources(yaml, None), true, &CallTable::x86_64()).unwrap()
}

/// The built-in policy alone.
fn built_in() -> Policies {
    Policies::new(Vec::new(), true, &CallTable::x86_64()).unwrap()
}

fn container(pod: &str) -> Labels {
    let labels = [(Label::Namespace, "shop"), (Label::Pod, pod), (Label::ContainerId, "containerd://1")];
    Labels::new(labels.map(|(label, value)| (label, value.into())))
}

/// What the first policy of a file says of a call of pod `web`.
fn judge(yaml: &str, abi: &str, name: &str, learned: Option<&BTreeSet<CallId>>) -> Option<Unexpected> {
    let policies = policies(yaml);
    policies.iter().next().unwrap().judge(&container("web"), call(abi, name), learned)
}

/// The reason alone, of a policy for every container with these lines.
fn reason(lines: &str, abi: &str, name: &str) -> Option<Reason> {
    judge(&every_container(lines), abi, name, None).map(|unexpected| unexpected.reason)
}

fn every_container(lines: &str) -> String {
    format!("policies:\n- name: p\n  match: ['container_id!=\"\"']\n  {}\n", lines.replace('\n', "\n  "))
}

#[test]
fn without_configuration_every_container_has_the_built_in_policy_and_nothing_else_has_one() {
    let policies = built_in();
    assert_eq!(policies.of(&container("web")).map(|policy| policy.name().as_ref()), Some("runtime-default"));
    let service = Labels::new([(Label::Cgroup, "/system.slice/cron.service".into())]);
    assert_eq!(policies.of(&service), None);
    assert_eq!(Policies::new(Vec::new(), false, &CallTable::x86_64()).unwrap().of(&container("web")), None);
}

#[test]
fn the_built_in_policy_expects_what_servers_do() {
    let policies = built_in();
    let policy = policies.of(&container("web")).unwrap();
    for name in ["read", "accept4", "clone", "clone3", "socket", "personality", "process_vm_readv", "chroot", "mbind"] {
        assert_eq!(policy.judge(&container("web"), call("x86_64", name), None), None, "{name}");
    }
}

#[test]
fn the_built_in_policy_distinguishes_escapes_from_unusual_calls() {
    let policies = built_in();
    let policy = policies.of(&container("web")).unwrap();
    let judge = |abi, name| policy.judge(&container("web"), call(abi, name), None);
    let unexpected = |severity, reason| Some(Unexpected { severity, reason });
    for name in ["unshare", "mount", "bpf", "init_module", "setns", "open_by_handle_at", "keyctl", "userfaultfd"] {
        assert_eq!(judge("x86_64", name), unexpected(Severity::Critical, Reason::NotAllowed), "{name}");
    }
    assert_eq!(judge("x86_64", "ptrace"), unexpected(Severity::Critical, Reason::DenyList));
    assert_eq!(judge("x86_64", "kcmp"), unexpected(Severity::Warning, Reason::NotAllowed));
    assert_eq!(judge("x86_64", "io_uring_setup"), unexpected(Severity::Warning, Reason::NotAllowed));
    assert_eq!(judge("x86_64", "unknown"), unexpected(Severity::Warning, Reason::UnknownNumber));
    assert_eq!(judge("ia32", "unknown"), unexpected(Severity::Warning, Reason::UnknownNumber));
    assert_eq!(judge("ia32", "getpid"), unexpected(Severity::Warning, Reason::Abi));
    assert_eq!(judge("ia32", "mount"), unexpected(Severity::Critical, Reason::Abi));
    assert_eq!(judge("io_uring", "openat"), unexpected(Severity::Warning, Reason::Abi));
}

#[test]
fn every_call_that_is_critical_by_default_would_be_unexpected() {
    let policies = built_in();
    let policy = policies.of(&container("web")).unwrap();
    let table = CallTable::x86_64();
    let is_critical = |id| {
        let unexpected = policy.judge(&container("web"), id, None);
        unexpected.is_some_and(|unexpected| unexpected.severity == Severity::Critical)
    };
    // All classes of a critical call are critical.
    let is_whole = |id| table.is_class(id) && is_critical(table.call_of_class(id));
    let critical: BTreeSet<&str> =
        table.all().filter(|&(id, _)| is_critical(id) && !is_whole(id)).map(|(_, call)| call.syscall).collect();
    let list = include_str!("runtime_default.yaml").split_once("critical:").unwrap().1;
    let written = list.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect::<BTreeSet<_>>();
    assert_eq!(critical, written);
}

#[test]
fn the_kernels_own_calls_are_never_unexpected() {
    for name in ["restart_syscall", "uretprobe"] {
        assert_eq!(reason("allow: [read]\ndeny: ['*:*']", "x86_64", name), None, "{name}");
    }
    assert_eq!(reason("allow: [read]", "ia32", "restart_syscall"), None);
    assert_eq!(reason("allow: [read]\ndeny: ['*:*']", "x86_64", "read"), Some(Reason::DenyList));
}

#[test]
fn what_is_allowed_in_one_abi_is_not_in_another() {
    let lines = "allow: ['@file-system', 'ia32:@basic-io', 'io_uring:openat']";
    assert_eq!(reason(lines, "x86_64", "openat"), None);
    assert_eq!(reason(lines, "ia32", "read"), None);
    assert_eq!(reason(lines, "ia32", "openat"), Some(Reason::NotAllowed));
    assert_eq!(reason(lines, "x32", "openat"), Some(Reason::Abi));
    assert_eq!(reason(lines, "io_uring", "openat"), None);
    assert_eq!(reason(lines, "io_uring", "unlinkat"), Some(Reason::NotAllowed));
    assert_eq!(reason("allow: [unknown]", "x86_64", "unknown"), None);
}

#[test]
fn what_is_denied_is_denied_in_every_abi_and_by_io_uring() {
    let lines = "allow: ['*:*']\ndeny: [openat, 'ia32:ptrace']";
    for abi in ["x86_64", "ia32", "x32", "io_uring"] {
        assert_eq!(reason(lines, abi, "openat"), Some(Reason::DenyList), "{abi}");
    }
    assert_eq!(reason(lines, "ia32", "ptrace"), Some(Reason::DenyList));
    assert_eq!(reason(lines, "x86_64", "ptrace"), None);
}

#[test]
fn severity_is_the_policys_but_for_critical_calls() {
    let severity = |name| {
        let yaml = every_container("severity: info\nallow: [read]\ncritical: ['@module']");
        judge(&yaml, "x86_64", name, None).map(|unexpected| unexpected.severity)
    };
    assert_eq!(severity("openat"), Some(Severity::Info));
    assert_eq!(severity("finit_module"), Some(Severity::Critical));
    assert_eq!(severity("read"), None);
}

#[test]
fn exceptions_are_for_those_that_they_select_and_win_over_deny() {
    let yaml =
        every_container("allow: [read]\ndeny: [ptrace]\nexceptions: [{match: [{pod: gdb}], allow: [ptrace, mount]}]");
    let policies = policies(&yaml);
    let policy = policies.iter().next().unwrap();
    let reason = |pod, name| policy.judge(&container(pod), call("x86_64", name), None).map(|found| found.reason);
    assert_eq!((reason("gdb", "ptrace"), reason("gdb", "mount")), (None, None));
    assert_eq!((reason("web", "ptrace"), reason("web", "mount")), (Some(Reason::DenyList), Some(Reason::NotAllowed)));
    assert_eq!(reason("gdb", "setns"), Some(Reason::NotAllowed));
    let learned = BTreeSet::new();
    let denied = |pod| {
        let found = policies.judge_while_learning(policy, &container(pod), call("x86_64", "ptrace"), &learned);
        found.map(|found| found.reason)
    };
    assert_eq!((denied("gdb"), denied("web")), (None, Some(Reason::DenyList)));
    assert!(policies.look_at(Label::Pod) && !policies.look_at(Label::Owner));
}

#[test]
fn what_was_learned_is_expected_unless_it_is_denied() {
    let yaml = every_container("learn: {}\ndeny: [ptrace]");
    let learned: BTreeSet<CallId> = [call("x86_64", "read"), call("ia32", "read"), call("x86_64", "ptrace")].into();
    let reason = |abi, name| judge(&yaml, abi, name, Some(&learned)).map(|unexpected| unexpected.reason);
    assert_eq!((reason("x86_64", "read"), reason("ia32", "read")), (None, None));
    assert_eq!(reason("x86_64", "openat"), Some(Reason::NotLearned));
    assert_eq!(reason("ia32", "openat"), Some(Reason::NotLearned));
    assert_eq!(reason("x32", "openat"), Some(Reason::Abi));
    assert_eq!(reason("x86_64", "unknown"), Some(Reason::UnknownNumber));
    assert_eq!(reason("x86_64", "ptrace"), Some(Reason::DenyList));
}

/// What a policy for every container says of native calls while it learns, of which these were learned.
fn while_learning(yaml: &str, name: &str, learned: &[&str]) -> Option<Unexpected> {
    let policies = policies(&every_container(yaml));
    let learned = learned.iter().map(|name| call("x86_64", name)).collect();
    let policy = policies.iter().next().unwrap();
    policies.judge_while_learning(policy, &container("web"), call("x86_64", name), &learned)
}

#[test]
fn while_a_policy_learns_what_is_denied_or_critical_is_judged() {
    let critical = |reason| Some(Unexpected { severity: Severity::Critical, reason });
    let listed = "learn: {}\ndeny: [ptrace]\ncritical: [ptrace, mount]";
    assert_eq!(while_learning(listed, "ptrace", &["ptrace"]), critical(Reason::DenyList));
    assert_eq!(while_learning(listed, "mount", &[]), critical(Reason::NotAllowed));
    assert_eq!(while_learning(listed, "mount", &["mount"]), None, "somebody has added it");
    assert_eq!(while_learning(listed, "unshare", &[]), None);
    assert_eq!(while_learning("learn: {}\nseverity: critical", "openat", &[]), None, "a severity is no list");
}

#[test]
fn a_policy_that_learns_has_the_built_in_one_s_critical_calls_unless_it_says_otherwise() {
    let critical = Some(Unexpected { severity: Severity::Critical, reason: Reason::NotAllowed });
    assert_eq!(while_learning("learn: {}", "unshare", &[]), critical);
    assert_eq!(while_learning("learn: {}\nallow: [unshare]", "unshare", &[]), None);
    assert_eq!(while_learning("learn: {}\ncritical: []", "unshare", &[]), None);
    assert_eq!(while_learning("learn: {}\ncritical: [mount]", "unshare", &[]), None);
}

#[test]
fn the_built_in_critical_calls_are_critical_in_every_policy_that_does_not_say_otherwise() {
    let severity =
        |lines: &str, name| judge(&every_container(lines), "x86_64", name, None).map(|unexpected| unexpected.severity);
    assert_eq!(severity("allow: [read]", "unshare"), Some(Severity::Critical));
    assert_eq!(severity("allow: [read]\nseverity: info", "mount"), Some(Severity::Critical));
    assert_eq!(severity("allow: [read]\nseverity: info", "openat"), Some(Severity::Info));
    assert_eq!(severity("allow: [read]\ncritical: []", "unshare"), Some(Severity::Warning));
    assert_eq!(severity("allow: [read]\ncritical: [mount]", "unshare"), Some(Severity::Warning));
    assert_eq!(severity("allow: [read]\ncritical: [mount]", "mount"), Some(Severity::Critical));
    assert_eq!(severity("extends: runtime-default\ncritical: [kcmp]", "kcmp"), Some(Severity::Critical));
    assert_eq!(severity("extends: runtime-default\ncritical: [kcmp]", "unshare"), Some(Severity::Critical));
    assert_eq!(severity("extends: runtime-default\ncritical: []", "unshare"), Some(Severity::Warning));
}

#[test]
fn what_has_no_baseline_is_judged_by_its_policy_s_lists_and_the_built_in_policy() {
    let policies = policies(&every_container(
        "learn: {}\nallow: [bpf]\ndeny: [read]\nexceptions: [{match: [{pod: csi}], allow: [mount]}]",
    ));
    let judge = |pod, name| {
        let policy = policies.iter().next().unwrap();
        let found = policies.judge_unlearned(policy, &container(pod), call("x86_64", name));
        found.map(|(unexpected, policy)| (policy.to_string(), unexpected.severity, unexpected.reason))
    };
    let by = |policy: &str, severity, reason| Some((policy.to_owned(), severity, reason));
    assert_eq!(judge("web", "mount"), by("runtime-default", Severity::Critical, Reason::NotAllowed));
    assert_eq!(judge("web", "read"), by("p", Severity::Warning, Reason::DenyList));
    assert_eq!((judge("web", "openat"), judge("web", "bpf"), judge("csi", "mount")), (None, None, None));
}

#[test]
fn where_container_init_is_not_distinguished_only_denied_calls_are_judged_without_a_baseline() {
    let policies = policies(&every_container("learn: {}\ndeny: [ptrace]")).mixing_container_init();
    let policy = policies.iter().next().unwrap();
    for (name, is_unexpected) in [("mount", false), ("ptrace", true)] {
        let (metadata, call) = (container("web"), call("x86_64", name));
        assert_eq!(policies.judge_while_learning(policy, &metadata, call, &BTreeSet::new()).is_some(), is_unexpected);
        assert_eq!(policies.judge_unlearned(policy, &metadata, call).is_some(), is_unexpected, "{name}");
    }
}

#[test]
fn what_no_program_can_do_without_is_never_news() {
    let yaml = every_container("learn: {}");
    let judge = |learned: &[(&str, &str)], abi, name| {
        let learned: BTreeSet<CallId> = learned.iter().map(|&(abi, name)| call(abi, name)).collect();
        judge(&yaml, abi, name, Some(&learned)).map(|unexpected| unexpected.reason)
    };
    let native = [("x86_64", "read")];
    for name in ["exit_group", "rt_sigreturn", "restart_syscall", "futex", "munmap"] {
        assert_eq!(judge(&native, "x86_64", name), None, "{name}");
        assert_eq!(judge(&[("x86_64", "read"), ("ia32", "read")], "ia32", name), None, "{name}");
    }
    assert_eq!(judge(&native, "ia32", "exit_group"), Some(Reason::Abi), "nothing of this ABI was learned");
    assert_eq!(judge(&native, "x86_64", "execve"), Some(Reason::NotLearned), "another program");
}

#[test]
fn what_a_seccomp_profile_allows_is_expected_besides_what_is_listed() {
    let yaml = every_container("allow: [write]\nseccomp: [x.json]");
    let profile =
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let policies = Policies::new(sources(&yaml, Some(profile)), true, &CallTable::x86_64()).unwrap();
    let judge = |name| policies.iter().next().unwrap().judge(&container("web"), call("x86_64", name), None);
    assert_eq!((judge("read"), judge("write")), (None, None));
    assert!(judge("openat").is_some());
}

#[test]
fn the_first_policy_that_selects_a_workload_is_its_own_and_the_built_in_one_is_last() {
    let policies = policies(
        "policies:\n- {name: web, match: [{pod: 'web-*'}], allow: [read]}\n- {name: shop, match: [{namespace: shop}], allow: [read]}\n",
    );
    let of = |pod| policies.of(&container(pod)).map(|policy| policy.name().to_string());
    assert_eq!((of("web-1").as_deref(), of("db").as_deref()), (Some("web"), Some("shop")));
    let names: Vec<&str> = policies.iter().map(|policy| policy.name().as_ref()).collect();
    assert_eq!(names, ["web", "shop", "runtime-default"]);
    let elsewhere = Labels::new([(Label::ContainerId, "docker://1".into())]);
    assert_eq!(policies.of(&elsewhere).map(|policy| policy.origin().as_ref()), Some("built in"));
}

#[test]
fn a_policy_of_the_built_in_ones_name_replaces_it() {
    let policies = policies("policies: [{name: runtime-default, match: [{namespace: shop}], allow: [read]}]\n");
    assert_eq!(policies.iter().map(|policy| policy.origin().as_ref()).collect::<Vec<_>>(), ["a.yaml"]);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let yaml = "policies:\n- {name: a, match: [{pod: a}], allow: [read]}\n- {name: a, match: [{pod: b}], allow: [read]}\n\
                - {name: b, match: [{pod: c}], extends: c}\n";
    let errors = Policies::new(sources(yaml, None), true, &CallTable::x86_64()).unwrap_err();
    let errors: Vec<String> = errors.iter().map(|mistake| mistake.error.to_string()).collect();
    assert_eq!(errors[0], "policy a: another policy in a.yaml has the same name");
    assert!(errors[1].starts_with("policy b extends c, which no file has") && errors.len() == 2, "{errors:?}");
}

#[test]
fn policies_that_say_the_same_are_equal() {
    let yaml = every_container("allow: [read]\nexceptions: [{match: [{pod: a}], allow: [mount]}]");
    assert_eq!(policies(&yaml), policies(&yaml));
    assert_ne!(policies(&yaml), policies(&yaml.replace("mount", "setns")));
    assert_ne!(policies(&yaml), policies(&yaml.replace("read", "write")));
    assert_eq!(Arc::new(built_in()), Arc::new(built_in()));
}

#[test]
fn the_runtimes_default_profile_is_shown_as_it_is() {
    let policies = built_in();
    let allows = |abi, name| policies.runtime_default_allows(call(abi, name));
    assert!(allows("x86_64", "read") && allows("ia32", "read") && allows("x86_64", "ptrace"));
    assert!(!allows("x86_64", "mount") && !allows("io_uring", "openat") && !allows("x86_64", "unknown"));
    assert!(!policies.runtime_default_allows(CallId(u16::MAX)));
}

/// Blocks of YAML in the documents with policies.
fn documented(fence: &str) -> Vec<&'static str> {
    let documents = [
        include_str!("../../../../README.md"),
        include_str!("../../../../docs/alerts.md"),
        include_str!("../../../../docs/faq.md"),
        include_str!("../../../../docs/learning.md"),
        include_str!("../../../../docs/policies.md"),
    ];
    let blocks = documents.iter().flat_map(|document| document.split(fence).skip(1));
    blocks.filter_map(|block| block.split("```").next()).collect()
}

/// Policy files in the documents, also those that are values of the chart.
fn documented_policies() -> Vec<String> {
    let mut files: Vec<String> = documented("```yaml\n").into_iter().map(str::to_owned).collect();
    for values in documented("```yaml values.yaml\n") {
        let values: serde_json::Value = serde_saphyr::from_str(values).unwrap();
        files.extend(values["policies"].as_object().unwrap().values().map(ToString::to_string));
    }
    files
}

#[test]
fn every_example_of_the_documentation_is_a_policy() {
    let files = documented_policies();
    assert!(files.len() >= 12, "{files:?}");
    for file in &files {
        policies(file);
    }
    let selectors = documented("```yaml").into_iter().flat_map(str::lines);
    let in_comments: Vec<&str> = selectors.filter_map(|line| line.trim().strip_prefix("# match: ")).collect();
    assert!(in_comments.len() >= 10, "{in_comments:?}");
    for selector in in_comments {
        serde_saphyr::from_str::<Match>(selector).unwrap();
    }
}

/// A policy replaces the built-in one, so an example that only allows more must have the rest of it.
#[test]
fn examples_that_allow_more_keep_the_rest_of_the_built_in_policy() {
    const EXAMPLES: [&str; 5] = ["backup", "network-plugin", "cni", "database", "legacy"];
    let (container, table) = (container("web"), CallTable::x86_64());
    let built_in = built_in();
    let built_in = built_in.of(&container).unwrap();
    let severity = |unexpected: Unexpected| unexpected.severity;
    let mut found = BTreeSet::new();
    for policies in documented_policies().iter().map(|file| policies(file)) {
        for policy in policies.iter().filter(|policy| EXAMPLES.contains(&policy.name().as_ref())) {
            for (id, call) in table.iter() {
                let expected = built_in.judge(&container, id, None).map(severity);
                let judged = policy.judge(&container, id, None).map(severity);
                assert!(judged == expected || judged.is_none(), "{}: {call:?} {judged:?}", policy.name());
            }
            found.insert(policy.name().to_string());
        }
    }
    assert_eq!(found.len(), EXAMPLES.len(), "{found:?}");
}

#[test]
fn the_documentation_says_of_every_critical_call_what_it_is_for() {
    let documentation = include_str!("../../../../docs/policies.md");
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let documented: BTreeSet<&str> = rows.flat_map(|(calls, _)| calls.trim_end_matches('`').split("`, `")).collect();
    let list = include_str!("runtime_default.yaml").split_once("critical:").unwrap().1;
    for call in list.lines().filter_map(|line| line.trim().strip_prefix("- ")) {
        assert!(documented.contains(call), "{call}");
    }
}

#[test]
fn the_built_in_policy_means_the_same_on_arm() {
    let table = CallTable::aarch64();
    let policies = Policies::new(Vec::new(), true, &table).unwrap();
    let policy = policies.of(&container("web")).unwrap();
    let reason = |abi, name| {
        let (id, _) = table.iter().find(|(_, call)| (call.abi, call.syscall) == (abi, name)).unwrap();
        policy.judge(&container("web"), id, None).map(|unexpected| unexpected.reason)
    };
    assert_eq!((reason("aarch64", "openat"), reason("aarch64", "clone3")), (None, None));
    assert_eq!(reason("aarch64", "mount"), Some(Reason::NotAllowed));
    assert_eq!(reason("aarch32", "openat"), Some(Reason::Abi));
    assert_eq!(reason("aarch64", "ptrace"), Some(Reason::DenyList));
}
