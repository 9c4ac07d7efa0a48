//! The profiles that are compared.

use std::{collections::BTreeSet, env, fs, path::PathBuf, time::SystemTime};

use serde_json::{Value, json};
use syscallmon::{
    profile::{Details, Evidence, Format, Observation, Plan, PlanOptions, ProfileFile, Provenance, SourceKind},
    syscalls::names,
};

/// Calls of a server, of several ABIs.
const CALLS: [(&str, &str); 12] = [
    ("x86_64", "openat"),
    ("x86_64", "stat"),
    ("x86_64", "fork"),
    ("x86_64", "arch_prctl"),
    ("x86_64", "socket"),
    ("x86_64", "epoll_wait"),
    ("x86_64", "semop"),
    ("x86_64", "pipe"),
    ("ia32", "socketcall"),
    ("ia32", "mmap2"),
    ("x32", "rt_sigaction"),
    ("aarch64", "pipe2"),
];

/// Architectures of handwritten profiles: all that there are.
const EVERY: [&str; 5] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];

const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];

/// Returns generated profiles: of one ABI, of all of one architecture, of the other one, and of both.
pub(crate) fn generated() -> Vec<Value> {
    let of = |abis: &[&str], architectures: &[&'static str], strict| {
        let mut evidence = Evidence::new(SourceKind::Recording, "web");
        for (abi, syscall) in CALLS.into_iter().filter(|(abi, _)| abis.contains(abi)) {
            evidence.add(abi, syscall, &Observation { count: 1, ..Observation::default() });
        }
        let architectures = architectures.to_vec();
        let runtime = BTreeSet::from(["openat2", "statx", "fchdir"]);
        let plan = Plan::new(&evidence, &PlanOptions { architectures, strict, runtime, ..PlanOptions::default() });
        let provenance = Provenance::new(&evidence, None, SystemTime::UNIX_EPOCH);
        let files = Format::Oci.write(&plan, &provenance, &Details::default()).unwrap();
        serde_json::from_slice(&files[0].content).unwrap()
    };
    vec![
        of(&["x86_64"], &[], false),
        of(&["x86_64", "ia32"], &[], false),
        of(&["x86_64", "ia32", "x32"], &[], true),
        of(&["x86_64"], &["aarch64"], true),
        of(&["x86_64", "ia32", "x32", "aarch64"], &["x86_64", "aarch64"], false),
    ]
}

/// Returns a profile of x86_64 with these calls, in a format.
pub(crate) fn written(format: Format, calls: &BTreeSet<&'static str>) -> Vec<ProfileFile> {
    let evidence = Evidence::new(SourceKind::Recording, "web");
    let plan = Plan::new(&evidence, &PlanOptions { requested: calls.clone(), ..PlanOptions::default() });
    let provenance = Provenance::new(&evidence, None, SystemTime::UNIX_EPOCH);
    let details = Details { name: "web".to_owned(), namespace: Some("shop".to_owned()), ..Details::default() };
    format.write(&plan, &provenance, &details).unwrap()
}

/// Returns calls of a simple program.
pub(crate) fn small() -> BTreeSet<&'static str> {
    ["read", "write", "openat", "stat", "fork", "epoll_wait", "select", "kill"].into()
}

/// Returns the daemon's own profile.
pub(crate) fn own() -> Value {
    serde_json::from_str(include_str!("../../src/command/profile/own.json")).unwrap()
}

/// Returns the default profile of Podman, which is Docker's with more calls. It has conditions.
pub(crate) fn runtime_default() -> Value {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain([PathBuf::from("/usr/share/containers")]);
    let mut files = places.map(|place| place.join("seccomp.json"));
    let file = files.find(|file| file.is_file()).expect("seccomp.json of Podman: run `cargo xtask setup --for test`");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn profile(default: &str, rules: &[Value]) -> Value {
    json!({"defaultAction": default, "architectures": EVERY, "syscalls": rules})
}

fn compared(index: u32, op: &str, value: u64, value_two: u64) -> Value {
    json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": value_two})
}

fn allow(names: &[&str], args: &[Value]) -> Value {
    json!({"names": names, "action": "SCMP_ACT_ALLOW", "args": args})
}

/// Returns profiles with every operator, and with several rules and comparisons of one call.
pub(crate) fn with_comparisons() -> Vec<Value> {
    let mut profiles = Vec::new();
    for op in OPERATORS {
        for (value, value_two) in [(0, 0), (1, 1), (0xff, 0x0f), (1 << 31, 0), (0x1_0000_0002, 2), (u64::MAX, 7)] {
            let rule = allow(&["openat", "socket", "semop"], &[compared(1, op, value, value_two)]);
            profiles.push(profile("SCMP_ACT_ERRNO", &[rule]));
        }
    }
    let family = |family| allow(&["socket"], &[compared(0, "EQ", family, 0)]);
    let both = [compared(0, "EQ", 2, 0), compared(1, "GT", 5, 0)];
    let range = [compared(0, "GE", 10, 0), compared(0, "LT", 20, 0)];
    for rules in [
        vec![family(1), family(2), family(10)],
        vec![family(1), allow(&["socket"], &[])],
        vec![allow(&["socket"], &[]), family(1)],
        vec![allow(&["openat", "semget"], &both), allow(&["openat"], &[compared(2, "LE", 3, 0)])],
        vec![allow(&["openat", "bind"], &range)],
        vec![allow(&["socketcall"], &[compared(0, "EQ", 3, 0)]), allow(&["bind", "shmat"], &[])],
        vec![allow(&["ipc", "socketcall"], &[])],
        vec![allow(&["accept4", "semtimedop", "recvmmsg", "msgctl", "send", "recv", "shmctl"], &[])],
    ] {
        profiles.push(profile("SCMP_ACT_ERRNO", &rules));
    }
    profiles
}

/// Returns profiles with every action, as the default and in rules, and with error numbers.
pub(crate) fn with_actions() -> Vec<Value> {
    let actions = ["ALLOW", "LOG", "TRACE", "ERRNO", "TRAP", "KILL", "KILL_THREAD", "KILL_PROCESS"];
    let rule = |name: &str, action: &str| json!({"names": [name], "action": format!("SCMP_ACT_{action}")});
    let calls = ["read", "write", "openat", "close", "mmap", "bind", "kill", "getpid"];
    let rules: Vec<Value> = calls.iter().zip(actions).map(|(name, action)| rule(name, action)).collect();
    let mut profiles: Vec<Value> =
        actions.iter().map(|action| profile(&format!("SCMP_ACT_{action}"), &rules)).collect();
    let numbered = json!({"names": ["clone3", "swapcontext"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38});
    let twice = [rule("read", "KILL"), rule("read", "ALLOW"), numbered, rule("read", "ERRNO"), rule("clone3", "ALLOW")];
    profiles.push(profile("SCMP_ACT_ERRNO", &twice));
    profiles.push(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {"name": "read", "action": "SCMP_ACT_ALLOW"},
            {"names": ["statx"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}));
    profiles
}

/// Returns pseudo-random profiles, the same in every run. They are simple, because libseccomp 2.5.4 errs in others:
///
/// - A call has one rule with comparisons of different arguments, or several rules that compare one argument with
///   values, or by order with values that have the same upper half. In one with a rule for values below 922573919 and
///   a rule for values above 1 << 55, libseccomp allows 922573919 (`Profile::fragile_comparisons`).
/// - They are for x86_64 alone. In filters for ia32, x32 and arm64, libseccomp sometimes compares the architecture
///   instead of the number of the call, and so refuses every call of the ABI.
pub(crate) fn random() -> Vec<Value> {
    let names: Vec<&str> = names::system_calls().iter().copied().collect();
    let mut random = fastrand::Rng::with_seed(11);
    (0..60)
        .map(|_| {
            let mut pool: Vec<&str> = (0..6).map(|_| names[random.usize(..names.len())]).collect();
            pool.extend(["socket", "semop"]);
            pool.sort_unstable();
            pool.dedup();
            let rules: Vec<Value> = pool.into_iter().flat_map(|name| random_rules(&mut random, name)).collect();
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})
        })
        .collect()
}

fn random_rules(random: &mut fastrand::Rng, name: &str) -> Vec<Value> {
    let index = random.u32(..6);
    if random.bool() {
        let values: Vec<u64> = (0..random.usize(1..5)).map(|_| random.u64(..) >> random.u32(0..64)).collect();
        return values.iter().map(|&value| allow(&[name], &[compared(index, "EQ", value, 0)])).collect();
    }
    if random.bool() {
        let upper = (random.u64(..) >> random.u32(0..64)) & !u64::from(u32::MAX);
        let mut ordered = || {
            let value = upper | u64::from(random.u32(..) >> random.u32(0..32));
            allow(&[name], &[compared(index, ["LT", "LE", "GT", "GE"][random.usize(..4)], value, 0)])
        };
        return [ordered(), ordered()].into();
    }
    let mut indices: Vec<u32> = (0..6).collect();
    random.shuffle(&mut indices);
    indices.truncate(random.usize(..4));
    let mut comparison = |index| {
        let value = random.u64(..) >> random.u32(0..64);
        compared(index, OPERATORS[random.usize(..OPERATORS.len())], value, value & random.u64(..))
    };
    let args: Vec<Value> = indices.into_iter().map(&mut comparison).collect();
    vec![allow(&[name], &args)]
}
