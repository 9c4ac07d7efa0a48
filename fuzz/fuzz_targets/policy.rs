//! Parses any text as a file of policies, and each of its lines as an item of a list of calls.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use syscallmon::{
    detect::{BUILT_IN, MAX_MISTAKES, Policies, PolicyEntry, PolicyList, PolicySpec, Reason, Source, Unprefixed},
    settings::fuzzing::policies,
    syscalls::{CallId, CallTable},
    workload::{Label, Labels},
};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let table = CallTable::native();
    text.lines().take(5).for_each(|line| entry(line, &table));
    let items = policies(&text);
    let is_line = |line: String| line.len() > 1 && line.len() <= 4100 && !line.contains('\n');
    assert!(items.mistakes.iter().all(|mistake| is_line(mistake.to_string())), "{:?}", items.mistakes);
    assert!(items.mistakes.len() <= MAX_MISTAKES + 1 && (items.invalid.is_empty() || !items.mistakes.is_empty()));
    let whole = serde_saphyr::from_str::<PolicyList>(&text);
    if let Ok(PolicyList { policies }) = whole.as_ref() {
        assert!(items.mistakes.is_empty() && items.valid == *policies, "{:?}", items.mistakes);
    }
    // Compiling takes most of the time, and the built-in policy is the same each time.
    if !items.valid.is_empty() {
        judged(items.valid, data.len() % 16 == 0, &table);
    }
});

/// Checks that an item allows no more calls than the same item denies.
fn entry(line: &str, table: &CallTable) {
    match line.parse::<PolicyEntry>() {
        Ok(entry) => {
            for (_, call) in table.iter() {
                let names = |unprefixed| entry.names(call, table.native_abi(), unprefixed);
                assert!(names(Unprefixed::Every) || !names(Unprefixed::Native), "{entry}: {call:?}");
            }
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Checks that compiled policies judge every call. A call that is unexpected while the policy learns is also unexpected
/// with an empty baseline. A denied call is unexpected in every phase.
fn judged(specs: Vec<PolicySpec>, has_built_in: bool, table: &CallTable) {
    // A policy with the name of the built-in policy replaces it.
    let has_built_in = has_built_in && !specs.iter().any(|spec| spec.name.text().as_ref() == BUILT_IN);
    let source = |spec| Source { spec, profiles: Vec::new(), origin: "fuzz".into() };
    let sources = specs.into_iter().map(source).collect();
    let Ok(policies) = Policies::new(sources, has_built_in, table) else { return };
    let metadata = Labels::new([(Label::Namespace, "shop".into()), (Label::ContainerId, "containerd://1".into())]);
    assert!(!has_built_in || policies.of(&metadata).is_some(), "the built-in policy is for every container");
    for policy in policies.iter() {
        for (id, _) in table.iter().step_by(7).chain([(CallId(u16::MAX), table.call(CallId(0)))]) {
            let unexpected = policy.judge(&metadata, id, Some(&BTreeSet::new()));
            let is_in_deny_list = unexpected.is_some_and(|unexpected| unexpected.reason == Reason::DenyList);
            let learning = policies.judge_while_learning(policy, &metadata, id, &BTreeSet::new());
            assert!(unexpected.is_some() || learning.is_none(), "{}", policy.name());
            assert!(learning.is_some() || !is_in_deny_list, "{}", policy.name());
            let unlearned = policies.judge_unlearned(policy, &metadata, id);
            assert!(unlearned.is_some() || !is_in_deny_list, "{}", policy.name());
        }
    }
}
