//! What a profile would do to a workload.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    Confidence, Evidence, Observation,
    compare::{allowed, native, table},
    danger::{self, Danger},
    principles::{ALWAYS_ALLOWED, ANSWERED_WITH_ENOSYS},
    suggestion::rules_of_classes,
};
use crate::{
    process::printable_name,
    seccomp::{Decision, Profile},
    syscalls::{Call, CallTable, HARMLESS, IO_URING, siblings, split_argument},
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
    /// Dangerous calls that the workload makes and the profile allows.
    pub dangerous: Vec<Finding>,
    /// Calls that the profile allows and nobody makes, except for those that profiles allow on principle.
    pub unused: Vec<&'static str>,
    /// Whether the profile refuses every call.
    pub refuses_everything: bool,
    /// What a person should know, one sentence each.
    pub warnings: Vec<String>,
}

/// A call that a profile refuses, or allows although it is dangerous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The ABI.
    pub abi: &'static str,
    /// The call; a class of its arguments, as `socket(AF_ALG)`, if the profile allows others.
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
            check.judge(*call, seen, profile.decide_mildest(native(call.abi), call.abi, call.syscall));
        }
        // A class of a call that the profile refuses is no second finding.
        let is_allowed = |class: &Call| profile.decide_mildest(native(class.abi), class.abi, class.name()).allows();
        for (class, seen) in evidence.arguments.iter().filter(|(class, _)| is_allowed(class)) {
            let table = table(native(class.abi));
            if let Some(id) = table.id(class.abi, class.syscall) {
                check.judge(*class, seen, profile.decide_mildest_of_class(&table, id));
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

    /// Adds the findings about a call, or a class of its arguments.
    fn judge(&mut self, call: Call, seen: &Observation, decision: Decision) {
        let finding = |count, replicas| Finding {
            abi: call.abi,
            syscall: call.syscall,
            count,
            replicas,
            decision: decision.to_string(),
            danger: danger::of(call.syscall).map(Danger::reason),
        };
        if decision.allows() {
            if seen.count > 0 && danger::of(call.syscall).is_some() {
                self.dangerous.push(finding(seen.count, seen.replicas.len()));
            }
        } else if seen.count > 0 {
            let is_probed = decision.is_nonexistent() && ANSWERED_WITH_ENOSYS.contains(&call.name());
            let list = if is_probed { &mut self.falls_back } else { &mut self.breaks };
            list.push(finding(seen.count, seen.replicas.len()));
        }
        if !decision.allows() && seen.denied > 0 && !decision.is_nonexistent() {
            self.denied.push(finding(seen.denied, seen.denied_replicas.len()));
        }
    }

    /// Adds why it is too early to enforce the profile, if it is.
    #[must_use]
    pub fn with_confidence(mut self, confidence: &Confidence) -> Self {
        self.warnings.extend(confidence.warning());
        self
    }

    /// Whether the profile can be enforced: nothing breaks, the container starts, and no ordinary call is denied.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let ordinary = self.denied.iter().any(|finding| finding.danger.is_none());
        self.breaks.is_empty() && self.missing_at_start.is_empty() && !self.refuses_everything && !ordinary
    }

    /// Returns the calls and classes of arguments that a healed profile allows, and those that are left to a person:
    /// they are dangerous, or a filter cannot tell their arguments from others.
    #[must_use]
    pub fn suggestion(&self) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
        let refused = self.breaks.iter().chain(&self.denied).map(|finding| finding.syscall);
        let refused = refused.chain(self.missing_at_start.iter().copied());
        let (ordinary, mut left): (BTreeSet<_>, BTreeSet<_>) = refused.partition(|name| danger::of(name).is_none());
        let (calls, classes): (BTreeSet<_>, BTreeSet<_>) =
            ordinary.into_iter().partition(|name| split_argument(name).1.is_empty());
        let rules = rules_of_classes(&classes);
        let (classes, whole): (BTreeSet<_>, BTreeSet<_>) =
            classes.into_iter().partition(|class| rules.contains_key(split_argument(class).0));
        left.extend(whole);
        (calls.into_iter().chain(classes).collect(), left)
    }
}

/// Returns the native ABIs of the evidence; this machine's if there is none.
fn natives(evidence: &Evidence) -> BTreeSet<&'static str> {
    let seen = evidence.calls.keys().filter(|call| call.abi != IO_URING).map(|call| native(call.abi));
    let natives: BTreeSet<&'static str> = seen.collect();
    if natives.is_empty() { [CallTable::native().native_abi()].into() } else { natives }
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
pub(super) mod tests;
