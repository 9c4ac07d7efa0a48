//! Rules that sum calls by class, in `prometheus/rules.yaml`. They are made from systemd's sets, because `PromQL` has
//! no sets.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use syscallmon::syscalls::sets;

use super::Deploy;

const FILE: &str = "prometheus/rules.yaml";
const BEGIN: &str = "# classes:begin\n";
const END: &str = "# classes:end\n";
const REMARK: &str = "\
# Made by `cargo xtask manifests` from systemd's sets. Sets overlap; a call is in the first of these classes that has it, so that
# classes add up to what there is, but for the calls that are in none of them. With metrics.syscalls=set,
# a daemon has the label `set` instead, and each set is in one class. With metrics.syscalls=none, it has neither, and no class.
";

/// Classes and their sets, the most informative class first.
const CLASSES: [(&str, &[&str]); 9] = [
    (
        "administration",
        &["@module", "@mount", "@raw-io", "@reboot", "@swap", "@clock", "@debug", "@keyring", "@cpu-emulation"],
    ),
    ("network-io", &["@network-io"]),
    ("basic-io", &["@basic-io"]),
    ("file-system", &["@file-system"]),
    ("io-event", &["@io-event", "@aio"]),
    ("ipc", &["@ipc"]),
    ("timer", &["@timer"]),
    ("process", &["@process", "@signal", "@setuid"]),
    ("default", &["@default"]),
];

/// Writes the group into the rules, or checks that it is up to date.
pub(super) fn make(deploy: &Deploy) -> Result<()> {
    let rules = deploy.read(FILE)?;
    let with_group = replace(&rules, &group()?)
        .with_context(|| format!("deploy/{FILE} needs the line {BEGIN:?}, and {END:?} after it: put them back"))?;
    deploy.put(FILE, &with_group)
}

fn replace(rules: &str, group: &str) -> Option<String> {
    let (before, rest) = rules.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{REMARK}{group}{END}{after}"))
}

fn group() -> Result<String> {
    let rule = |(class, calls): &(&str, Vec<&str>)| {
        let (sets, calls) = (exported_sets(calls).into_iter().collect::<Vec<_>>().join("|"), calls.join("|"));
        format!(
            "  - record: namespace_class:syscallmon_syscalls:rate5m\n    labels: {{class: {class}}}\n    \
             expr: sum by (cluster, namespace) (rate(syscallmon_syscalls_total{{syscall=~\"{calls}\"}}[5m]) or \
             rate(syscallmon_syscalls_total{{set=~\"{sets}\"}}[5m]))\n"
        )
    };
    let rules: String = classes()?.iter().map(rule).collect();
    Ok(format!("- name: syscallmon.classes\n  rules:\n{rules}"))
}

/// Returns the values of the label `set` under which these calls are exported.
fn exported_sets(calls: &[&str]) -> BTreeSet<&'static str> {
    calls.iter().filter_map(|call| sets::smallest_with(call)).collect()
}

/// Returns every class with its calls. Each call is in one class only.
fn classes() -> Result<Vec<(&'static str, Vec<&'static str>)>> {
    let mut taken = BTreeSet::new();
    let mut calls_of = |sets: &[&str]| -> Result<Vec<&'static str>> {
        let mut calls = Vec::new();
        for set in sets {
            let members = sets::members(set).with_context(|| format!("systemd has no {set}: mend CLASSES"))?;
            calls.extend(members.into_iter().filter(|call| taken.insert(*call)));
        }
        Ok(calls)
    };
    CLASSES.iter().map(|(class, sets)| Ok((*class, calls_of(sets)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_one_class_at_most() {
        let classes = classes().unwrap();
        let all: Vec<&str> = classes.iter().flat_map(|(_, calls)| calls.iter().copied()).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
        for (call, class) in [("mount", "administration"), ("openat", "file-system"), ("close", "basic-io")] {
            let found = classes.iter().find(|(_, calls)| calls.contains(&call)).map(|(class, _)| *class);
            assert_eq!(found, Some(class), "{call}");
        }
    }

    /// A class then has the same sum by name and by set.
    #[test]
    fn a_class_has_all_calls_of_its_sets() {
        for (class, calls) in classes().unwrap() {
            let sets = exported_sets(&calls);
            let exported = |call: &str| sets::smallest_with(call).is_some_and(|set| sets.contains(set));
            let members = sets.iter().filter_map(|set| sets::members(set)).flatten();
            let all: BTreeSet<&str> = members.filter(|call| exported(call)).collect();
            assert_eq!(all, calls.into_iter().collect::<BTreeSet<_>>(), "{class}");
        }
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let rules = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(replace(&rules, "new\n").unwrap(), format!("a\n{BEGIN}{REMARK}new\n{END}b\n"));
        assert_eq!(replace("a\nb\n", "new\n"), None);
    }
}
