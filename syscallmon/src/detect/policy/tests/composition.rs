//! Properties of policies that extend each other.

use std::{collections::BTreeMap, fmt::Write as _};

use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::detect::{
    DecidingList::{Allow, Critical, Deny, Exceptions, Kernel, None as Nothing},
    Policy, PolicyEntry, PolicyFile, Unprefixed,
};

/// Items that overlap: single calls, sets, ABIs, everything.
const ITEMS: [&str; 16] = [
    "read",
    "openat",
    "mount",
    "ptrace",
    "kcmp",
    "@debug",
    "@mount",
    "@file-system",
    "ia32:read",
    "ia32:ptrace",
    "ia32:*",
    "*",
    "*:*",
    "*:ptrace",
    "io_uring:openat",
    "unknown",
];

const PODS: [&str; 3] = ["web", "gdb", "db"];

/// The lists of a policy.
#[derive(Clone, Debug, Default)]
struct Lists {
    allow: Vec<&'static str>,
    deny: Vec<&'static str>,
    critical: Option<Vec<&'static str>>,
    severity: Option<&'static str>,
    /// Pod and calls.
    exceptions: Vec<(&'static str, Vec<&'static str>)>,
}

fn items(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(ITEMS.to_vec(), count)
}

fn lists() -> impl Strategy<Value = Lists> {
    let exceptions = prop::collection::vec((prop::sample::select(PODS.to_vec()), items(1..=2)), 0..=2);
    let severity = prop::option::of(prop::sample::select(vec!["info", "warning", "critical"]));
    (items(0..=4), items(0..=2), prop::option::of(items(0..=2)), severity, exceptions)
        .prop_map(|(allow, deny, critical, severity, exceptions)| Lists { allow, deny, critical, severity, exceptions })
}

fn quoted(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("'{}'", item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

impl Lists {
    fn yaml(&self, name: &str, extends: Option<&str>) -> String {
        let mut yaml = format!("- name: {name}\n  match: [{{namespace: shop}}]\n  allow: {}\n", quoted(&self.allow));
        let _ = writeln!(yaml, "  deny: {}", quoted(&self.deny));
        // A root without an expected call needs another key.
        let extends = extends.map_or_else(String::new, |extends| format!("  extends: {extends}\n"));
        yaml += &extends;
        if let Some(critical) = &self.critical {
            let _ = writeln!(yaml, "  critical: {}", quoted(critical));
        }
        if let Some(severity) = self.severity {
            let _ = writeln!(yaml, "  severity: {severity}");
        }
        let exceptions: Vec<String> = self
            .exceptions
            .iter()
            .map(|(pod, allow)| format!("{{match: [{{pod: {pod}}}], allow: {}}}", quoted(allow)))
            .collect();
        yaml + &format!("  exceptions: [{}]\n", exceptions.join(", "))
    }

    fn names(items: &[&str], call: crate::syscalls::Call, unprefixed: Unprefixed) -> bool {
        items.iter().any(|item| item.parse::<PolicyEntry>().unwrap().names(call, "x86_64", unprefixed))
    }

    fn names_singly(items: &[&str], call: crate::syscalls::Call) -> bool {
        let entries = items.iter().map(|item| item.parse::<PolicyEntry>().unwrap());
        entries.filter(PolicyEntry::is_single).any(|entry| entry.names(call, "x86_64", Unprefixed::Native))
    }

    fn excepts(&self, pod: &str, call: crate::syscalls::Call) -> bool {
        let mut exceptions = self.exceptions.iter().filter(|(excepted, _)| *excepted == pod);
        exceptions.any(|(_, allow)| Self::names(allow, call, Unprefixed::Native))
    }
}

/// Compiles a chain: the last policy is the root. Returns the first one.
fn chain(lists: &[Lists]) -> Arc<Policy> {
    let names: Vec<String> = (0..lists.len()).map(|n| format!("p-{n}")).collect();
    let yaml: String =
        lists.iter().zip(0..).map(|(lists, n)| lists.yaml(&names[n], names.get(n + 1).map(String::as_str))).collect();
    let policies = policies(&format!("policies:\n{yaml}"));
    Arc::clone(policies.iter().next().unwrap())
}

/// Writes a single policy that says the same as a chain, from what the documents say about each call.
fn flattened(lists: &[Lists]) -> Arc<Policy> {
    let table = CallTable::x86_64();
    // A policy must allow something. Here, this names no call.
    let mut allow = vec!["aarch64:openat".to_owned()];
    let (mut deny, mut critical) = (Vec::new(), Vec::new());
    let mut exceptions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let built_in = built_in();
    for (id, call) in table.iter() {
        let item = format!("{}:{}", call.abi, call.syscall);
        let nearest = lists.iter().find_map(|lists| match lists {
            lists if Lists::names(&lists.deny, call, Unprefixed::Every) => Some(false),
            lists if Lists::names_singly(&lists.allow, call) => Some(true),
            _ => None,
        });
        let is_listed = lists.iter().any(|lists| Lists::names(&lists.allow, call, Unprefixed::Native));
        match nearest {
            Some(false) => deny.push(item.clone()),
            Some(true) => allow.push(item.clone()),
            None if is_listed => allow.push(item.clone()),
            None => {}
        }
        for pod in PODS {
            let decides =
                |lists: &&Lists| lists.excepts(pod, call) || Lists::names(&lists.deny, call, Unprefixed::Every);
            if lists.iter().find(decides).is_some_and(|lists| lists.excepts(pod, call)) {
                exceptions.entry(pod).or_default().push(item.clone());
            }
        }
        let written = lists.iter().take_while(|lists| lists.critical.as_ref().is_none_or(|list| !list.is_empty()));
        let is_cleared = lists.iter().any(|lists| lists.critical.as_ref().is_some_and(Vec::is_empty));
        let is_default = !is_cleared && lists.last().is_some_and(|root| root.critical.is_none());
        let is_written =
            written.flat_map(|lists| &lists.critical).any(|list| Lists::names(list, call, Unprefixed::Every));
        if is_written || (is_default && built_in.built_in().unwrap().is_critical(id)) {
            critical.push(item);
        }
    }
    let severity = lists.iter().find_map(|lists| lists.severity).unwrap_or("warning");
    let exceptions: Vec<String> = exceptions
        .iter()
        .map(|(pod, allow)| format!("{{match: [{{pod: {pod}}}], allow: {}}}", quoted(allow)))
        .collect();
    let [allow, deny, critical] = [allow, deny, critical].map(|items| quoted(&items));
    let yaml = format!(
        "policies:\n- name: p-0\n  match: [{{namespace: shop}}]\n  severity: {severity}\n  allow: {allow}\n  deny: {deny}\n  \
         critical: {critical}\n  exceptions: [{}]\n",
        exceptions.join(", ")
    );
    Arc::clone(policies(&yaml).iter().next().unwrap())
}

fn judgements(policy: &Policy) -> Vec<Option<Unexpected>> {
    let table = CallTable::x86_64();
    let judge = |pod| table.iter().map(move |(id, _)| (pod, id));
    PODS.into_iter().flat_map(judge).map(|(pod, id)| policy.judge(&container(pod), id, None)).collect()
}

/// A root must allow something.
fn root(lists: Lists) -> Lists {
    let allow = if lists.allow.is_empty() { vec!["read"] } else { lists.allow };
    Lists { allow, ..lists }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_chain_equals_the_flattened_policy(child in lists(), parent in lists(), base in lists()) {
        let lists = [child, parent, root(base)];
        let all = judgements(&chain(&lists));
        prop_assert_eq!(&all, &judgements(&flattened(&lists)));
        // The end of the chain can be flattened first.
        let [child, ..] = &lists;
        let yaml = child.yaml("child", Some("p-0"));
        let table = CallTable::x86_64();
        let flat = flattened(&lists[1..]);
        let before = Policies::new(sources(&format!("policies:\n{yaml}"), None), true, &table);
        prop_assert!(before.is_err(), "its parent is missing");
        let source = sources(&format!("policies:\n{yaml}"), None).remove(0);
        let child = Policy::new(source, Some(flat), &[], &table);
        prop_assert_eq!(&all, &judgements(&child));
    }

    #[test]
    fn a_child_widens_only_what_it_names(child in lists(), base in lists()) {
        let table = CallTable::x86_64();
        let base = root(base);
        let (of_base, of_child) = (chain(std::slice::from_ref(&base)), chain(&[child.clone(), base]));
        for pod in PODS {
            for (id, call) in table.iter() {
                let before = of_base.judge(&container(pod), id, None);
                let after = of_child.judge(&container(pod), id, None);
                let (Some(before), None) = (before, after) else { continue };
                let is_named = child.excepts(pod, call) || Lists::names_singly(&child.allow, call);
                let is_in_set = Lists::names(&child.allow, call, Unprefixed::Native);
                prop_assert!(is_named || is_in_set, "{call:?} for {pod}");
                prop_assert!(is_named || before.reason != Reason::DenyList, "{call:?} for {pod}");
            }
        }
    }

    #[test]
    fn the_decision_agrees_with_the_judgement(child in lists(), base in lists()) {
        let table = CallTable::x86_64();
        let policy = chain(&[child, root(base)]);
        let built_in = built_in();
        for pod in PODS {
            for (id, call) in table.iter().step_by(3) {
                let unexpected = policy.judge(&container(pod), id, None);
                let decision = policy.decision(&container(pod), id, &table);
                let expects = matches!(decision.list, Allow | Exceptions | Kernel);
                prop_assert_eq!(unexpected.is_none(), expects, "{:?}: {}", call, &decision);
                prop_assert!(expects || matches!(decision.list, Deny | Nothing));
                prop_assert!(decision.item.is_some() || matches!(decision.list, Kernel | Nothing), "{}", &decision);
                let severity = policy.severity_decision(id, &table, built_in.built_in());
                prop_assert_eq!(severity.list == Critical, policy.is_critical(id), "{}", &severity);
            }
        }
    }

    /// Policies extend any other ones: every policy is in force or has a mistake, and no chain is endless.
    #[test]
    fn cycles_never_loop(parents in prop::collection::vec(prop::option::of(0..12_usize), 1..12)) {
        let policy = |(parent, n): (&Option<usize>, usize)| {
            let extends = parent.map_or_else(String::new, |parent| format!("extends: p-{parent}, "));
            format!("- {{name: p-{n}, {extends}match: [{{pod: a}}], allow: [read]}}\n")
        };
        let file = |(n, yaml): (usize, String)| PolicyFile {
            origin: format!("{n}.yaml").into(),
            sources: sources(&format!("policies:\n{yaml}"), None),
            invalid: Vec::new(),
            is_whole: true,
        };
        let files = parents.iter().zip(0..).map(policy).enumerate().map(file);
        let (policies, mistakes) = Policies::from_files(files, false, &Policies::default(), &CallTable::x86_64());
        prop_assert_eq!(policies.iter().len() + mistakes.len(), parents.len());
        for policy in policies.iter() {
            prop_assert!(policy.depth() <= 8);
        }
        // A policy is in force exactly if its chain ends.
        for (n, _) in parents.iter().enumerate() {
            let mut at = Some(n);
            let mut steps = 0;
            let ends = loop {
                match at.and_then(|at| parents.get(at)) {
                    None => break at.is_none(),
                    Some(_) if steps == 8 => break false,
                    Some(parent) => at = *parent,
                }
                steps += 1;
            };
            let name = format!("p-{n}");
            prop_assert_eq!(policies.iter().any(|policy| **policy.name() == *name), ends, "{}", name);
        }
    }
}
