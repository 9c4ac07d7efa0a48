//! From evidence to what a profile allows, with the reason for each call. Formats write it down.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Evidence, Restriction,
    principles::{ALWAYS_ALLOWED, ANSWERED_WITH_ENOSYS},
    restriction::Arguments,
};
use crate::{
    process::printable_name,
    seccomp::architecture,
    syscalls::{Call, HARMLESS, IO_URING, names, siblings, split_argument},
};

/// What a profile contains.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The ABIs that the filter has, native ones first.
    pub abis: Vec<&'static str>,
    /// Allowed calls, with the reasons.
    pub allowed: BTreeMap<&'static str, BTreeSet<Why>>,
    /// Allowed calls that are allowed with some arguments only.
    pub restrictions: BTreeMap<&'static str, Restriction>,
    /// Calls that are answered with ENOSYS. All others are answered with EPERM.
    pub nonexistent: BTreeSet<&'static str>,
    /// What a person should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a profile allows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The workload made it.
    Observed,
    /// The workload tried it, and seccomp denied it. A person asked for it to be allowed.
    Denied,
    /// A person asked for it.
    Requested,
    /// The container runtime makes it before the program starts.
    Runtime,
    /// It takes the place of this observed call, on this or another architecture.
    InPlaceOf(&'static str),
    /// Every program needs it.
    Always,
    /// It gives no power, and is easily missed.
    Harmless,
}

/// What people can choose.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Native ABIs that the profile is for. Empty: the observed ones.
    pub architectures: Vec<&'static str>,
    /// Leave out siblings of observed calls.
    pub strict: bool,
    /// Calls that the runtime makes before the program starts.
    pub runtime: BTreeSet<&'static str>,
    /// Calls that a person asked for.
    pub requested: BTreeSet<&'static str>,
    /// Allow calls that seccomp denied, except for dangerous ones.
    pub allow_denied: bool,
    /// Allow calls with all arguments, and not only with observed ones.
    pub any_arguments: bool,
}

/// Native ABIs, each with the ABI of its 32-bit programs.
const NATIVE: [(&str, &[&str]); 2] = [("x86_64", &["ia32", "x32"]), ("aarch64", &["aarch32"])];

/// Maximum number of names in one warning.
const MAX_NAMED: usize = 12;

impl Plan {
    /// Plans a profile that allows what was observed and what programs need besides.
    #[must_use]
    pub fn new(evidence: &Evidence, options: &PlanOptions) -> Self {
        let mut plan = Self {
            abis: abis(evidence, options),
            allowed: BTreeMap::new(),
            restrictions: BTreeMap::new(),
            nonexistent: BTreeSet::new(),
            warnings: Vec::new(),
        };
        let observed: BTreeSet<&'static str> = plan.observed(evidence, options);
        for &name in &observed {
            for sibling in siblings(name) {
                if !options.strict || !is_sibling_here(&plan.abis, name, sibling) {
                    plan.allow(sibling, Why::InPlaceOf(name));
                }
            }
        }
        for name in &options.runtime {
            plan.allow(name, Why::Runtime);
        }
        for name in ALWAYS_ALLOWED {
            plan.allow(name, Why::Always);
        }
        for name in HARMLESS.into_iter().filter(|_| !options.strict) {
            plan.allow(name, Why::Harmless);
        }
        if !options.any_arguments {
            plan.restrict(&Arguments { evidence, allow_denied: options.allow_denied, strict: options.strict });
        }
        let nonexistent = ANSWERED_WITH_ENOSYS.into_iter().filter(|name| !plan.allowed.contains_key(name));
        plan.nonexistent = nonexistent.filter(|name| exists(&plan.abis, name)).collect();
        plan.warn_of_evidence(evidence, &observed);
        plan
    }

    /// Allows what was observed and requested. Returns the names.
    fn observed(&mut self, evidence: &Evidence, options: &PlanOptions) -> BTreeSet<&'static str> {
        let mut observed = BTreeSet::new();
        for (call, observation) in evidence.calls.iter().filter(|(call, _)| call.abi != IO_URING) {
            if observation.count > 0 {
                observed.insert(call.syscall);
                self.allow(call.syscall, Why::Observed);
            } else if observation.denied > 0 && options.allow_denied && super::danger::of(call.syscall).is_none() {
                observed.insert(call.syscall);
                self.allow(call.syscall, Why::Denied);
            }
        }
        // Only these calls reach io_uring's operations.
        if evidence.calls.iter().any(|(call, observation)| call.abi == IO_URING && observation.count > 0) {
            for name in ["io_uring_enter", "io_uring_setup"] {
                observed.insert(name);
                self.allow(name, Why::Observed);
            }
        }
        for name in &options.requested {
            observed.insert(name);
            self.allow(name, Why::Requested);
        }
        observed
    }

    /// Restricts calls to the arguments that are known, if all are.
    fn restrict(&mut self, arguments: &Arguments<'_>) {
        self.restrictions = arguments.restrictions(&mut self.allowed, &mut self.warnings);
        let is_unused = |restriction: &Restriction| restriction.classes.is_empty();
        let unused: Vec<&str> = self.restrictions.extract_if(.., |_, of| is_unused(of)).map(|(name, _)| name).collect();
        self.allowed.retain(|name, _| !unused.contains(name));
        let is_multiplexed = self.abis.contains(&"ia32") && self.allowed.contains_key("socketcall");
        if is_multiplexed && self.restrictions.contains_key("socket") {
            let text = "32-bit programs can make every socket by socketcall, whose arguments a filter cannot see";
            self.warnings.push(text.to_owned());
        }
    }

    /// Whether it allows a call, or a class of arguments as `socket(AF_UNIX)`.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let (call, argument) = split_argument(name);
        let has = |restriction: &Restriction| argument.is_empty() || restriction.classes.contains(argument);
        self.allowed.contains_key(call) && self.restrictions.get(call).is_none_or(has)
    }

    /// Allows a call if one of the ABIs has it.
    fn allow(&mut self, name: &'static str, why: Why) {
        if exists(&self.abis, name) {
            self.allowed.entry(name).or_default().insert(why);
        }
    }

    fn warn_of_evidence(&mut self, evidence: &Evidence, observed: &BTreeSet<&'static str>) {
        for source in &evidence.sources {
            let sentence = |warning: &String| format!("{}: {}", printable_name(&source.name), printable_name(warning));
            let sentences = source.warnings.iter().map(sentence);
            self.warnings.extend(sentences);
        }
        if evidence.unknown_numbers > 0 {
            let calls = evidence.unknown_numbers;
            self.warnings.push(format!("{calls} calls have a number that no table has; the profile refuses them"));
        }
        let shortened = |names: Vec<String>| {
            let more = names.len().saturating_sub(MAX_NAMED);
            let text = names.into_iter().take(MAX_NAMED).collect::<Vec<_>>().join(", ");
            if more > 0 { format!("{text} and {more} more") } else { text }
        };
        if !evidence.unrecognized.is_empty() {
            let names = evidence.unrecognized.iter().map(|name| printable_name(name)).collect();
            self.warnings.push(format!(
                "this version of syscallmon does not know these calls, so the profile refuses them: {}",
                shortened(names)
            ));
        }
        let denied = |(call, observation): (&Call, &super::Observation)| {
            (observation.denied > 0 && !self.allows(call.syscall)).then_some(call.syscall.to_owned())
        };
        let is_of_allowed = |(class, _): &(&Call, &super::Observation)| self.allows(class.name());
        let classes: Vec<_> = evidence.arguments.iter().filter(is_of_allowed).collect();
        let denied: BTreeSet<String> =
            evidence.calls.iter().chain(classes.iter().copied()).filter_map(denied).collect();
        if !denied.is_empty() {
            let names = shortened(denied.into_iter().collect());
            self.warnings.push(format!(
                "seccomp already denies calls that the workload tries, and so does the profile: {names}"
            ));
        }
        let is_dangerous = |name: &&str| super::danger::of(name).is_some();
        let classes = classes.into_iter().filter(|(class, seen)| seen.count > 0 && !is_dangerous(&class.name()));
        let made = observed.iter().copied().chain(classes.map(|(class, _)| class.syscall));
        let dangerous: BTreeSet<&str> = made.filter(is_dangerous).collect();
        let dangerous: Vec<String> = dangerous.into_iter().map(str::to_owned).collect();
        if !dangerous.is_empty() {
            self.warnings.push(format!("the profile allows dangerous calls: {}", shortened(dangerous)));
        }
        let untranslated = |name: &&&'static str| {
            !exists(&self.abis, name) && !siblings(name).iter().any(|sibling| self.allowed.contains_key(sibling))
        };
        let lost: Vec<String> = observed.iter().filter(untranslated).map(|&name| name.to_owned()).collect();
        if !lost.is_empty() {
            let names = shortened(lost);
            self.warnings.push(format!("the chosen architectures lack calls that were observed: {names}"));
        }
        let seen: BTreeSet<&str> = evidence.calls.keys().map(|call| call.abi).collect();
        for (native, _) in NATIVE.iter().filter(|(native, _)| self.abis.contains(native) && !seen.contains(native)) {
            let text = format!("no call was observed on {native}: its calls are translated from other architectures");
            self.warnings.push(text);
        }
    }
}

/// Whether every ABI that has the sibling has the call as well, so that the sibling is no translation.
fn is_sibling_here(abis: &[&'static str], name: &str, sibling: &str) -> bool {
    abis.iter().filter(|abi| names::call(abi, sibling).is_some()).all(|abi| names::call(abi, name).is_some())
}

/// Whether one of the ABIs has the call.
fn exists(abis: &[&'static str], name: &str) -> bool {
    abis.iter().any(|abi| names::call(abi, name).is_some())
}

/// Returns the ABIs of the profile. Without a chosen architecture, those of the evidence.
fn abis(evidence: &Evidence, options: &PlanOptions) -> Vec<&'static str> {
    let seen: BTreeSet<&str> =
        evidence.calls.iter().filter(|(_, seen)| seen.count > 0).map(|(call, _)| call.abi).collect();
    let mut abis = Vec::new();
    for (native, compat) in NATIVE {
        let has_any = seen.contains(native) || compat.iter().any(|abi| seen.contains(abi));
        if options.architectures.is_empty() && !has_any
            || !options.architectures.is_empty() && !options.architectures.contains(&native)
        {
            continue;
        }
        abis.push(native);
        abis.extend(compat.iter().filter(|abi| seen.contains(**abi)));
    }
    if abis.is_empty() {
        abis.push(if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" });
    }
    debug_assert!(abis.iter().all(|abi| architecture(abi).is_some()), "every ABI has a name in profiles");
    abis
}

#[cfg(test)]
mod tests;
