//! What a profile would do to a workload, how two profiles differ, and how much of the kernel a profile leaves open.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Evidence,
    danger::{self, Danger},
    principles::{ALWAYS_ALLOWED, ANSWERED_WITH_ENOSYS},
};
use crate::{
    process::printable_name,
    seccomp::{Decision, Profile},
    syscalls::{CallTable, HARMLESS, IO_URING, UNKNOWN, runtime_default, siblings},
};

/// A profile against evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Calls that the workload makes and the profile refuses.
    pub breaks: Vec<Finding>,
    /// Calls that the workload makes and the profile answers with ENOSYS. Libraries use another call.
    pub falls_back: Vec<Finding>,
    /// Calls that seccomp denied the workload, and that the profile refuses.
    pub denied: Vec<Finding>,
    /// Calls without which a container does not start, and that the profile refuses.
    pub missing_at_start: Vec<&'static str>,
    /// Calls that the profile allows and nobody makes, except for those that profiles allow on principle.
    pub unused: Vec<&'static str>,
    /// Whether the profile refuses every call.
    pub refuses_everything: bool,
    /// What a person should know, one sentence each.
    pub warnings: Vec<String>,
}

/// A call that a profile refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The ABI.
    pub abi: &'static str,
    /// The call.
    pub syscall: &'static str,
    /// How often it was made or denied.
    pub count: u64,
    /// Number of replicas that made it, or tried.
    pub replicas: usize,
    /// What the profile does.
    pub decision: String,
    /// What the call gives, if it is dangerous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub danger: Option<&'static str>,
}

impl Check {
    /// Compares a profile with evidence. `needed` are the calls without which the runtime cannot start a container;
    /// `runtime` are all that it makes.
    #[must_use]
    pub fn new(
        profile: &Profile,
        evidence: &Evidence,
        needed: &BTreeSet<&'static str>,
        runtime: &BTreeSet<&'static str>,
    ) -> Self {
        let mut check = Self { warnings: warnings(profile, evidence), ..Self::default() };
        for (call, seen) in evidence.calls.iter().filter(|(call, _)| call.abi != IO_URING) {
            let decision = profile.decide_mildest(native(call.abi), call.abi, call.syscall);
            let finding = |count, replicas| Finding {
                abi: call.abi,
                syscall: call.syscall,
                count,
                replicas,
                decision: decision.to_string(),
                danger: danger::of(call.syscall).map(Danger::reason),
            };
            if decision.allows() {
                continue;
            }
            if seen.count > 0 {
                let is_probed = decision.is_nonexistent() && ANSWERED_WITH_ENOSYS.contains(&call.syscall);
                let list = if is_probed { &mut check.falls_back } else { &mut check.breaks };
                list.push(finding(seen.count, seen.replicas.len()));
            }
            if seen.denied > 0 && !decision.is_nonexistent() {
                check.denied.push(finding(seen.denied, seen.denied_replicas.len()));
            }
        }
        let natives = natives(evidence);
        let allowed: BTreeSet<&'static str> = natives.iter().flat_map(|native| allowed(profile, native)).collect();
        let is_needed_here =
            |name: &&str| natives.iter().any(|native| crate::syscalls::names::call(native, name).is_some());
        check.missing_at_start =
            needed.iter().copied().filter(|name| !allowed.contains(name) && is_needed_here(name)).collect();
        check.refuses_everything = allowed.is_empty();
        check.unused = unused(&allowed, evidence, runtime);
        check
    }

    /// Whether the profile can be enforced: nothing breaks, the container starts, and no ordinary call is denied.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let ordinary = self.denied.iter().any(|finding| finding.danger.is_none());
        self.breaks.is_empty() && self.missing_at_start.is_empty() && !self.refuses_everything && !ordinary
    }

    /// Returns the calls that a healed profile allows, and the dangerous ones that are left to a person.
    #[must_use]
    pub fn suggestion(&self) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
        let refused = self.breaks.iter().chain(&self.denied).map(|finding| finding.syscall);
        refused.chain(self.missing_at_start.iter().copied()).partition(|name| danger::of(name).is_none())
    }
}

/// Returns the profile with more allowed calls. All other keys and rules stay.
#[must_use]
pub fn with_allowed(mut profile: Value, names: &BTreeSet<&'static str>) -> Value {
    // An object of the operator has the profile under `spec`.
    let is_object = profile.get("kind").is_some();
    let content = if is_object { profile.get_mut("spec") } else { Some(&mut profile) };
    let Some(content) = content.and_then(Value::as_object_mut).filter(|_| !names.is_empty()) else { return profile };
    let rules = content.entry("syscalls").or_insert(Value::Null);
    if rules.is_null() {
        *rules = json!([]);
    }
    let Some(rules) = rules.as_array_mut() else { return profile };
    let is_new = |name: &Value| name.as_str().is_none_or(|name| !names.contains(name));
    rules.retain_mut(|rule| {
        let has_old_name = rule.get("name").is_some_and(|name| !is_new(name));
        let Some(listed) = rule.get_mut("names").and_then(Value::as_array_mut) else { return !has_old_name };
        listed.retain(is_new);
        !listed.is_empty()
    });
    rules.push(json!({"names": names, "action": "SCMP_ACT_ALLOW"}));
    profile
}

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
    /// The call.
    pub syscall: &'static str,
    /// The decision of the first profile.
    pub before: String,
    /// The decision of the second profile.
    pub after: String,
    /// What the call gives, if it is dangerous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub danger: Option<&'static str>,
}

impl Comparison {
    /// Compares two profiles on all architectures that one of them names.
    #[must_use]
    pub fn new(before: &Profile, after: &Profile) -> Self {
        let mut changes = Vec::new();
        for table in tables() {
            let native = table.native_abi();
            for (_, call) in table.iter().filter(|(_, call)| call.abi != IO_URING) {
                if !before.names_architecture(native) && !after.names_architecture(native) {
                    continue;
                }
                let decide = |profile: &Profile| profile.decide_mildest(native, call.abi, call.syscall);
                let (old, new) = (decide(before), decide(after));
                if old != new {
                    let (before, after) = (old.to_string(), new.to_string());
                    let danger = danger::of(call.syscall).map(Danger::reason);
                    changes.push(Change { abi: call.abi, syscall: call.syscall, before, after, danger });
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
fn native(abi: &str) -> &'static str {
    if abi.starts_with("aarch") { "aarch64" } else { "x86_64" }
}

/// Returns the native ABIs of the evidence; this machine's if there is none.
fn natives(evidence: &Evidence) -> BTreeSet<&'static str> {
    let seen = evidence.calls.keys().filter(|call| call.abi != IO_URING).map(|call| native(call.abi));
    let natives: BTreeSet<&'static str> = seen.collect();
    if natives.is_empty() { [CallTable::native().native_abi()].into() } else { natives }
}

/// Returns the calls of a native ABI that a profile allows, at least for some arguments.
fn allowed(profile: &Profile, native: &'static str) -> BTreeSet<&'static str> {
    let table = if native == "aarch64" { CallTable::aarch64() } else { CallTable::x86_64() };
    let calls = table.iter().filter(|(_, call)| call.abi == native && call.syscall != UNKNOWN);
    let is_allowed = |name: &&'static str| profile.decide_mildest(native, native, name).allows();
    calls.map(|(_, call)| call.syscall).filter(is_allowed).collect()
}

fn unused(
    allowed: &BTreeSet<&'static str>,
    evidence: &Evidence,
    runtime: &BTreeSet<&'static str>,
) -> Vec<&'static str> {
    let made: BTreeSet<&str> =
        evidence.calls.iter().filter(|(_, seen)| seen.count > 0).map(|(call, _)| call.syscall).collect();
    let has_use = |name: &&str| {
        let by_principle = ALWAYS_ALLOWED.contains(name) || HARMLESS.contains(name) || runtime.contains(name);
        by_principle || made.contains(name) || siblings(name).iter().any(|sibling| made.contains(sibling))
    };
    allowed.iter().copied().filter(|name| !has_use(name)).collect()
}

fn warnings(profile: &Profile, evidence: &Evidence) -> Vec<String> {
    let mut warnings = Vec::new();
    let unknown = profile.unknown_names();
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().take(12).map(|name| printable_name(name)).collect();
        warnings.push(format!(
            "these names are in no table of system calls, so runtimes ignore them: {}",
            names.join(", ")
        ));
    }
    let fragile = profile.fragile_comparisons();
    if !fragile.is_empty() {
        let names: Vec<String> = fragile.iter().take(12).map(|name| printable_name(name)).collect();
        warnings.push(format!(
            "libseccomp 2.5 can compile comparisons of one argument with values above 32 bits wrongly, so the filter \
             may allow other values: {}",
            names.join(", ")
        ));
    }
    if profile.has_extensions() {
        warnings.push(
            "archMap, includes and excludes are Docker's: containerd ignores them, so in Kubernetes rules with a \
             condition always apply"
                .to_owned(),
        );
    }
    if evidence.calls.values().all(|seen| seen.count == 0) {
        warnings.push("the sources have no calls of the workload".to_owned());
    }
    if profile.decide_mildest("x86_64", "x86_64", "exit_group") != Decision::Allow {
        warnings.push("programs cannot end: the profile does not allow exit_group".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Observation, SourceKind};

    const WEB: &str = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read", "exit_group", "execve", "mount"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["statx", "flock"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;

    fn evidence(calls: &[(&str, u64, u64)]) -> Evidence {
        let mut evidence = Evidence::new(SourceKind::Daemon, "d");
        for &(syscall, count, denied) in calls {
            evidence.add("x86_64", syscall, &Observation { count, denied, ..Observation::default() });
        }
        evidence
    }

    fn check(profile: &str, calls: &[(&str, u64, u64)], needed: &[&'static str]) -> Check {
        let needed = needed.iter().copied().collect();
        Check::new(&Profile::parse(profile).unwrap(), &evidence(calls), &needed, &BTreeSet::new())
    }

    fn names(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.syscall).collect()
    }

    #[test]
    fn a_call_that_the_workload_makes_and_the_profile_refuses_breaks_it() {
        let calls = [("read", 1, 0), ("openat", 5, 0), ("statx", 1, 0), ("flock", 1, 0)];
        let check = check(WEB, &calls, &["execve", "close"]);
        assert_eq!((names(&check.breaks), names(&check.falls_back)), (vec!["flock", "openat"], vec!["statx"]));
        assert_eq!((check.missing_at_start.as_slice(), check.unused.as_slice()), (&["close"][..], &["mount"][..]));
        assert!(!check.is_ok());
    }

    #[test]
    fn denied_calls_are_problems_unless_they_are_dangerous() {
        let attacked = check(WEB, &[("read", 1, 0), ("bpf", 0, 2)], &[]);
        assert!(attacked.is_ok() && attacked.denied[0].danger.is_some());
        let broken = check(WEB, &[("read", 1, 0), ("kill", 0, 2), ("statx", 0, 9)], &[]);
        assert_eq!((names(&broken.denied), broken.is_ok()), (vec!["kill"], false));
    }

    #[test]
    fn a_profile_that_refuses_everything_fails() {
        let all = check(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#, &[], &[]);
        assert!(all.refuses_everything && !all.is_ok());
        assert!(all.warnings.iter().any(|warning| warning.contains("exit_group")));
    }

    #[test]
    fn comparisons_that_libseccomp_compiles_wrongly_are_warned_of() {
        let rule = |op, value: u64| {
            let args = json!([{"index": 1, "value": value, "op": format!("SCMP_CMP_{op}")}]);
            json!({"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args})
        };
        let warns = |rules: [Value; 2]| {
            let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}).to_string();
            check(&profile, &[], &[]).warnings.iter().any(|text| text.contains("libseccomp") && text.contains("ioctl"))
        };
        assert!(warns([rule("LT", 922_573_919), rule("GT", 1 << 55)]));
        assert!(warns([rule("EQ", 5), rule("LE", 1 << 32)]));
        assert!(!warns([rule("LT", 38), rule("GT", 40)]), "the upper halves are equal");
        assert!(!warns([rule("EQ", 5), rule("NE", 1 << 32)]));
        let other = json!({"names": ["kill"], "action": "SCMP_ACT_ALLOW"});
        assert!(!warns([rule("GT", 1 << 55), other]));
    }

    #[test]
    fn a_suggestion_heals_what_is_ordinary_and_keeps_the_rest_of_the_profile() {
        let calls = [("flock", 1, 0), ("kill", 0, 1), ("bpf", 0, 2), ("read", 1, 0)];
        let (added, left) = check(WEB, &calls, &["close"]).suggestion();
        assert_eq!((added.clone(), left), (["close", "flock", "kill"].into(), ["bpf"].into()));
        let healed = with_allowed(serde_json::from_str(WEB).unwrap(), &added);
        assert_eq!(healed["syscalls"][1]["names"], json!(["statx"]), "no two rules contradict each other");
        let healed = healed.to_string();
        let again = check(&healed, &calls, &["close"]);
        assert!(again.is_ok() && names(&again.denied) == ["bpf"], "{again:?}");
    }

    #[test]
    fn a_healed_profile_keeps_the_form_that_it_had() {
        let healed = |profile: Value| with_allowed(profile, &["kill"].into());
        let rule = json!({"names": ["kill"], "action": "SCMP_ACT_ALLOW"});
        let old = json!({"name": "kill", "action": "SCMP_ACT_ERRNO"});
        let other = json!({"name": "read", "action": "SCMP_ACT_ALLOW"});
        assert_eq!(healed(json!({"spec": 7, "syscalls": [old, other]})), json!({"spec": 7, "syscalls": [other, rule]}));
        let object = json!({"kind": "SeccompProfile", "spec": {"syscalls": null}});
        assert_eq!(healed(object), json!({"kind": "SeccompProfile", "spec": {"syscalls": [rule]}}));
    }

    #[test]
    fn profiles_of_any_form_are_healed_without_a_panic() {
        let parts = [json!(null), json!(7), json!("kill"), json!([]), json!(["kill"]), json!({}), json!([["kill"], 7])];
        for part in parts {
            for profile in [
                part.clone(),
                json!({"syscalls": part}),
                json!({"kind": part, "spec": part}),
                json!({"syscalls": [{"names": part}, {"name": part}, part]}),
                json!({"kind": "SeccompProfile", "spec": {"syscalls": [{"names": [part]}, part]}}),
            ] {
                let _ = with_allowed(profile, &["kill"].into());
            }
        }
    }

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
}
