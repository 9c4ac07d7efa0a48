//! libseccomp as a judge: it compiles a profile, and its filter and `Profile::decide` must agree about every call.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use syscallmon::{
    seccomp::{Decision, Profile},
    syscalls::{Call, CallTable, UNKNOWN},
};
use syscallmon_common::{Abi, X32_BIT};

use crate::{
    arguments,
    bpf::{Data, Filter},
};

/// Debian's python3-seccomp belongs to Debian's Python.
const PYTHON: &str = "/usr/bin/python3";

/// Numbers that are compared in every ABI: more than any kernel has, and odd ones.
const ODD_NUMBERS: [u32; 3] = [9999, 0x3fff_ffff, 0x7fff_ffff];
pub(crate) const MAX_NUMBER: u32 = 600;

/// Calls with operations that profiles name.
const MULTIPLEXED: [&str; 2] = ["socketcall", "ipc"];

/// An ABI as the kernel shows it to filters.
pub(crate) struct Entry {
    pub(crate) abi: Abi,
    /// `AUDIT_ARCH_*` (`linux/audit.h`).
    pub(crate) arch: u32,
    /// A bit in every number.
    pub(crate) bit: u32,
    /// Arguments have 32 bits.
    is_narrow: bool,
}

const X86_64: [Entry; 3] = [
    Entry { abi: Abi::Native, arch: 0xc000_003e, bit: 0, is_narrow: false },
    Entry { abi: Abi::Compat, arch: 0x4000_0003, bit: 0, is_narrow: true },
    Entry { abi: Abi::X32, arch: 0xc000_003e, bit: 0x4000_0000, is_narrow: false },
];

const AARCH64: [Entry; 2] = [
    Entry { abi: Abi::Native, arch: 0xc000_00b7, bit: 0, is_narrow: false },
    Entry { abi: Abi::Compat, arch: 0x4000_0028, bit: 0, is_narrow: true },
];

/// A profile that libseccomp compiled.
pub(crate) struct Compiled {
    pub(crate) filter: Filter,
    /// Names that this libseccomp does not know, by ABI, so that it made no rules for them.
    unknown: BTreeMap<String, BTreeSet<String>>,
}

/// Compares all decisions about a profile on one architecture. Returns how many were compared.
pub(crate) fn compare(native: &'static str, document: &Value) -> u64 {
    let profile = Profile::from_value(document.clone()).unwrap();
    let compiled = compile(native, document);
    let (table, entries) = table_and_entries(native);
    let arguments = arguments::all(document);
    let compared_names = names_with_comparisons(document);
    let mut compared = 0;
    for entry in entries {
        // On x86_64, this bit makes a number one of x32.
        let is_of_x32 = |number: u32| native == "x86_64" && u64::from(number) & X32_BIT != 0;
        for number in (0..=MAX_NUMBER).chain(ODD_NUMBERS.into_iter().filter(|number| !is_of_x32(*number))) {
            let call = table.resolve(entry.abi, number.into());
            let is_known = !compiled.unknown[call.abi].contains(call.syscall);
            let name = if is_known { call.syscall } else { UNKNOWN };
            let is_compared = compared_names.contains(name) || MULTIPLEXED.contains(&name);
            let mut reads_arguments = is_compared;
            for args in &arguments {
                let args = args.map(|arg| if entry.is_narrow { arg & 0xffff_ffff } else { arg });
                let data = Data { number: number | entry.bit, arch: entry.arch, args };
                let outcome = compiled.filter.run(&data);
                let ours = profile.decide(native, call.abi, name, &args);
                assert_eq!(ours, outcome.decision, "{}/{name} ({number}) {args:x?} of {document}", call.abi);
                reads_arguments |= outcome.reads_arguments;
                compared += 1;
                if !reads_arguments {
                    // Neither the filter nor the profile looks at arguments of this call.
                    break;
                }
            }
        }
    }
    compared
}

/// Compares decisions about calls that the profile allows by their arguments, with pseudo-random arguments. Returns how
/// many were compared.
pub(crate) fn compare_random(native: &'static str, document: &Value, count: usize) -> u64 {
    let profile = Profile::from_value(document.clone()).unwrap();
    let (compiled, (table, entries)) = (compile(native, document), table_and_entries(native));
    let names = names_with_comparisons(document);
    let compared = |call: &str| names.contains(call) || MULTIPLEXED.contains(&call);
    let mut calls = Vec::new();
    for entry in entries {
        let numbers = (0..=MAX_NUMBER).map(|number| (number, table.resolve(entry.abi, number.into())));
        let is_known = |call: &Call| !compiled.unknown[call.abi].contains(call.syscall);
        let numbers = numbers.filter(|(_, call)| compared(call.syscall) && is_known(call));
        calls.extend(numbers.map(|(number, call)| (entry, number, call)));
    }
    for (args, (entry, number, call)) in arguments::random(document, count).into_iter().zip(calls.iter().cycle()) {
        let args = args.map(|arg| if entry.is_narrow { arg & 0xffff_ffff } else { arg });
        let outcome = compiled.filter.run(&Data { number: number | entry.bit, arch: entry.arch, args });
        assert_eq!(profile.decide(native, call.abi, call.syscall, &args), outcome.decision, "{call:?} {args:x?}");
    }
    count as u64
}

/// Returns the calls of an architecture, and its ABIs.
pub(crate) fn table_and_entries(native: &str) -> (CallTable, &'static [Entry]) {
    match native {
        "aarch64" => (CallTable::aarch64(), &AARCH64),
        _ => (CallTable::x86_64(), &X86_64),
    }
}

/// Returns the names of calls that have rules with comparisons of arguments.
fn names_with_comparisons(document: &Value) -> BTreeSet<&str> {
    let rules = document["syscalls"].as_array().into_iter().flatten();
    let compared = rules.filter(|rule| rule["args"].as_array().is_some_and(|args| !args.is_empty()));
    compared.flat_map(|rule| rule["names"].as_array().into_iter().flatten()).filter_map(Value::as_str).collect()
}

/// Returns libseccomp's decision about a number of the native ABI with x32's bit.
pub(crate) fn decision_about(native: &'static str, document: &Value, number: u32) -> Decision {
    compile(native, document).filter.run(&Data { number, arch: X86_64[0].arch, args: [0; 6] }).decision
}

pub(crate) fn compile(native: &str, document: &Value) -> Compiled {
    let mut python = Command::new(PYTHON);
    python.args(["-c", include_str!("compile.py")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().expect("Debian's Python: run `cargo xtask setup --for test`");
    let job = json!({"native": native, "profile": document}).to_string();
    child.stdin.take().unwrap().write_all(job.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "libseccomp must compile {document}: run `cargo xtask setup --for test`");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    Compiled {
        filter: Filter::parse(result["filter"].as_str().unwrap()),
        unknown: serde_json::from_value(result["unknown"].clone()).unwrap(),
    }
}
