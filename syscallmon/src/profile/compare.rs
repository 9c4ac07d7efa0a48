//! How two profiles differ, and how much of the kernel a profile leaves open.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::danger::{self, Danger};
use crate::{
    seccomp::{Decision, Profile},
    syscalls::{Call, CallId, CallTable, IO_URING, UNKNOWN, runtime_default},
};

/// How two profiles differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Calls about which they decide differently.
    pub changes: Vec<Change>,
}

/// A call about which two profiles decide differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The ABI.
    pub abi: &'static str,
    /// The call; a class of its arguments, as `socket(AF_ALG)`, if they agree about others.
    pub syscall: &'static str,
    /// The decision of the first profile.
    pub before: String,
    /// The decision of the second profile.
    pub after: String,
    /// What the call gives, if it is dangerous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub danger: Option<&'static str>,
}

impl Change {
    fn new(call: Call, before: Decision, after: Decision) -> Self {
        let danger = danger::of(call.syscall).map(Danger::reason);
        Self { abi: call.abi, syscall: call.syscall, before: before.to_string(), after: after.to_string(), danger }
    }
}

impl Comparison {
    /// Compares two profiles on all architectures that one of them names.
    #[must_use]
    pub fn new(before: &Profile, after: &Profile) -> Self {
        let mut changes = Vec::new();
        for table in tables() {
            let native = table.native_abi();
            for (id, call) in table.iter().filter(|(_, call)| call.abi != IO_URING) {
                if !before.names_architecture(native) && !after.names_architecture(native) {
                    continue;
                }
                let decide = |profile: &Profile| profile.decide_mildest(native, call.abi, call.syscall);
                let (old, new) = (decide(before), decide(after));
                if old != new {
                    changes.push(Change::new(call, old, new));
                } else if old.allows() {
                    let decide = |profile: &Profile, class| profile.decide_mildest_of_class(&table, class);
                    let classes = table.classes(id).map(|class| (class, decide(before, class), decide(after, class)));
                    let differing = classes.filter(|(_, old, new)| old != new);
                    changes.extend(differing.map(|(class, old, new)| Change::new(table.call(class), old, new)));
                }
            }
        }
        Self { changes }
    }
}

/// How much of the kernel a profile leaves open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Surface {
    /// By native ABI.
    pub architectures: BTreeMap<&'static str, Open>,
}

/// The open calls of one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Open {
    /// Number of calls that the kernel has.
    pub kernel: usize,
    /// Number of calls that the default profile of runtimes allows.
    pub runtime_default: usize,
    /// Number of calls that this profile allows.
    pub profile: usize,
    /// Calls that this profile allows with some arguments only, with the classes of these.
    pub restricted: BTreeMap<&'static str, Vec<&'static str>>,
    /// Other ABIs of the architecture that the filter lets in.
    pub other_abis: Vec<&'static str>,
    /// Number of dangerous calls: of the kernel, and of the default profile.
    pub dangerous: [usize; 2],
    /// Dangerous calls that this profile allows, with what they give.
    pub dangerous_left: BTreeMap<&'static str, &'static str>,
}

impl Surface {
    /// Measures a profile on the architectures that it names.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        let named = |table: &CallTable| profile.names_architecture(table.native_abi());
        let open = |table: CallTable| {
            let native = table.native_abi();
            let calls: BTreeSet<&'static str> = table
                .iter()
                .filter(|(_, call)| call.abi == native && call.syscall != UNKNOWN)
                .map(|(_, call)| call.syscall)
                .collect();
            let default = |name: &&&str| runtime_default::allows(name);
            let dangerous = |name: &&&str| danger::of(name).is_some();
            let allowed = allowed(profile, native);
            let left = allowed.iter().filter_map(|name| Some((*name, danger::of(name)?.reason())));
            let open = Open {
                kernel: calls.len(),
                runtime_default: calls.iter().filter(default).count(),
                profile: allowed.len(),
                restricted: restricted(profile, &table),
                other_abis: profile.abis(native).into_iter().filter(|abi| *abi != native).collect(),
                dangerous: [
                    calls.iter().filter(dangerous).count(),
                    calls.iter().filter(dangerous).filter(default).count(),
                ],
                dangerous_left: left.collect(),
            };
            (native, open)
        };
        Self { architectures: tables().into_iter().filter(named).map(open).collect() }
    }
}

fn tables() -> [CallTable; 2] {
    [CallTable::x86_64(), CallTable::aarch64()]
}

/// Returns the native ABI of the architecture that has an ABI.
pub(super) fn native(abi: &str) -> &'static str {
    if abi.starts_with("aarch") { "aarch64" } else { "x86_64" }
}

/// Returns the table of the architecture with a native ABI.
pub(super) fn table(native: &str) -> CallTable {
    if native == "aarch64" { CallTable::aarch64() } else { CallTable::x86_64() }
}

/// Returns the calls of a native ABI that a profile allows, at least for some arguments.
pub(super) fn allowed(profile: &Profile, native: &'static str) -> BTreeSet<&'static str> {
    let table = table(native);
    let calls = table.iter().filter(|(_, call)| call.abi == native && call.syscall != UNKNOWN);
    let is_allowed = |name: &&'static str| profile.decide_mildest(native, native, name).allows();
    calls.map(|(_, call)| call.syscall).filter(is_allowed).collect()
}

/// Returns the calls of the native ABI that a profile allows with some arguments only, with the classes of these. Calls
/// with arguments in memory, or without a class, are left out.
fn restricted(profile: &Profile, table: &CallTable) -> BTreeMap<&'static str, Vec<&'static str>> {
    let is_native = |id, call: Call| call.abi == table.native_abi() && table.is_always_classed(id);
    let mut restricted = BTreeMap::new();
    for (id, call) in table.iter().filter(|&(id, call)| is_native(id, call)) {
        let classes = || table.classes(id).filter(|&class| !table.examples(class).is_empty());
        let allows = |class: &CallId| profile.decide_mildest_of_class(table, *class).allows();
        let allowed = classes().filter(allows).map(|class| table.call(class).argument()).collect::<Vec<_>>();
        if !allowed.is_empty() && allowed.len() < classes().count() {
            restricted.insert(call.syscall, allowed);
        }
    }
    restricted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::check::tests::WEB;

    #[test]
    fn two_profiles_differ_in_what_they_decide_and_not_in_how_they_are_written() {
        let before = Profile::parse(WEB).unwrap();
        let after = WEB.replace("\"mount\"", "\"pause\"").replace("\"flock\"", "\"flock\", \"flock\"");
        let Comparison { changes } = Comparison::new(&before, &Profile::parse(&after).unwrap());
        let changes: Vec<_> = changes.iter().map(|change| (change.syscall, change.after.as_str())).collect();
        assert_eq!(changes, [("pause", "allowed"), ("mount", "refused with EPERM")]);
        assert_eq!(Comparison::new(&before, &before).changes, []);
    }

    #[test]
    fn the_surface_of_one_architecture_has_no_abi_of_another() {
        let both =
            WEB.replacen('{', r#"{"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],"#, 1);
        let surface = Surface::new(&Profile::parse(&both).unwrap());
        let others = |native| surface.architectures[native].other_abis.clone();
        assert_eq!((others("x86_64"), others("aarch64")), (vec!["x32"], vec![]));
    }

    #[test]
    fn the_surface_counts_calls_and_names_dangerous_ones() {
        let surface = Surface::new(&Profile::parse(WEB).unwrap());
        let open = &surface.architectures[CallTable::native().native_abi()];
        assert_eq!((open.profile, open.dangerous_left.keys().copied().collect::<Vec<_>>()), (4, vec!["mount"]));
        assert!(open.kernel > open.runtime_default && open.runtime_default > 200);
    }

    #[test]
    fn profiles_that_allow_different_arguments_of_a_call_differ_in_their_classes() {
        let of = |families: &[u32]| {
            let rule = |family| {
                let args = format!(r#"[{{"index": 0, "value": {family}, "op": "SCMP_CMP_EQ"}}]"#);
                format!(r#"{{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": {args}}}"#)
            };
            let rules: Vec<String> = families.iter().map(rule).collect();
            let json = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}]}}"#, rules.join(","));
            Profile::parse(&json).unwrap()
        };
        let changes = |before: &[u32], after: &[u32]| {
            let Comparison { changes } = Comparison::new(&of(before), &of(after));
            changes.iter().map(|change| format!("{} {}", change.syscall, change.after)).collect::<Vec<_>>()
        };
        assert_eq!(changes(&[1, 40], &[1, 38]), ["socket(AF_ALG) allowed", "socket(AF_VSOCK) refused with EPERM"]);
        assert_eq!(changes(&[], &[1]), ["socket allowed"], "the call itself differs");
        let native = CallTable::native().native_abi();
        let restricted = &Surface::new(&of(&[1, 38])).architectures[native].restricted;
        assert_eq!(restricted["socket"], ["AF_UNIX", "AF_ALG"]);
        assert_eq!(restricted.len(), 1);
        let whole = Surface::new(&Profile::parse(WEB).unwrap());
        assert!(whole.architectures[native].restricted.is_empty());
    }
}
