//! Plans that allow some classes of arguments: their filters allow these classes and no others.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::Value;
use syscallmon::{
    profile::{Details, Evidence, Format, Observation, Plan, PlanOptions, Provenance, SourceKind},
    seccomp::Profile,
    syscalls::names,
};

use crate::{
    bpf::Data,
    judge::{self, MAX_NUMBER},
};

/// ABIs of the plans: all that there are.
const ABIS: [&str; 5] = ["x86_64", "ia32", "x32", "aarch64", "aarch32"];

/// Number of plans with pseudo-random sets of classes.
const RANDOM: usize = 20;

/// Maximum instructions of a filter: `BPF_MAXINSNS` of `linux/bpf_common.h`.
const MAX_INSTRUCTIONS: usize = 4096;

/// Names of the classes of each call. clone3 has those of clone, and its arguments are in memory.
fn classes_by_call() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut by_call: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for class in names::classes().iter().filter(|class| !class.starts_with("clone3(")) {
        by_call.entry(class.split_once('(').unwrap().0).or_default().push(*class);
    }
    by_call
}

fn plan(classes: impl Iterator<Item = &'static str>) -> Plan {
    let mut evidence = Evidence::new(SourceKind::Recording, "web");
    let seen = Observation { count: 1, ..Observation::default() };
    for class in classes {
        for abi in ABIS.iter().filter(|abi| names::call(abi, class).is_some()) {
            evidence.add(abi, class.split_once('(').unwrap().0, &seen);
            evidence.add(abi, class, &seen);
        }
    }
    Plan::new(&evidence, &PlanOptions::default())
}

/// Returns plans with one class of each call, so that each class is in one of them, and with some classes of each call.
pub(crate) fn plans() -> Vec<Plan> {
    let by_call = classes_by_call();
    let most = by_call.values().map(Vec::len).max().unwrap();
    let nth = |index: usize| plan(by_call.values().filter_map(move |classes| classes.get(index).copied()));
    let mut random = fastrand::Rng::with_seed(13);
    let mut plans: Vec<Plan> = (0..most).map(nth).collect();
    plans.extend((0..RANDOM).map(|_| {
        let share = random.u32(1..8);
        let classes: Vec<&str> = by_call.values().flatten().copied().filter(|_| random.u32(..8) < share).collect();
        plan(classes.into_iter())
    }));
    plans
}

/// Returns the profile of a plan in a format.
pub(crate) fn written(format: Format, plan: &Plan) -> Vec<u8> {
    let provenance = Provenance::new(&Evidence::default(), None, SystemTime::UNIX_EPOCH);
    let details = Details { name: "web".to_owned(), ..Details::default() };
    format.write(plan, &provenance, &details).unwrap().remove(0).content
}

/// Compares the decisions about arguments of every class on one architecture. Returns how many were compared.
pub(crate) fn compare(native: &'static str, plan: &Plan) -> u64 {
    let document: Value = serde_json::from_slice(&written(Format::Oci, plan)).unwrap();
    let (profile, compiled) = (Profile::from_value(document.clone()).unwrap(), judge::compile(native, &document));
    assert!(compiled.filter.len() <= MAX_INSTRUCTIONS, "{} instructions: {document}", compiled.filter.len());
    let (table, entries) = judge::table_and_entries(native);
    let mut compared = 0;
    for entry in entries {
        for number in 0..=MAX_NUMBER {
            let call = table.position(entry.abi, number.into());
            // socketcall is allowed as a whole, or taken apart by the rules of its operations.
            for class in table.classes(call).filter(|_| table.call(call).syscall != "socketcall") {
                let name = table.call(class);
                for args in table.examples(class) {
                    let filtered = compiled.filter.run(&Data { number: number | entry.bit, arch: entry.arch, args });
                    let ours = profile.decide(native, name.abi, name.name(), &args);
                    assert_eq!(ours, filtered.decision, "{name:?} {args:x?} of {document}");
                    assert_eq!(ours.allows(), plan.allows(name.syscall), "{name:?} {args:x?} of {document}");
                    compared += 1;
                }
            }
        }
    }
    compared + judge::compare(native, &document)
}

#[test]
fn plans_restrict_every_call_whose_arguments_are_in_registers() {
    let plans = plans();
    let restricted = |name: &&str| plans.iter().any(|plan| plan.restrictions.contains_key(*name));
    let whole: Vec<_> = classes_by_call().into_keys().filter(|name| !restricted(name)).collect();
    let expected = ["io_uring_setup", "mmap", "mmap2", "mprotect", "pkey_mprotect", "socketcall"];
    assert_eq!(whole, expected);
}
