//! The decisions of the filter that libseccomp compiles from a profile.
//!
//! A test compares them with the filters of libseccomp itself. Not modelled:
//!
//! - Rules with comparisons and different actions for one call, if several match. The order of libseccomp is not
//!   documented; here, the first rule decides.
//! - The number -1, for which libseccomp takes the default action on every ABI.
//! - Mistakes of libseccomp 2.5 with comparisons of arguments: it merges some rules of one call wrongly, and some
//!   filters compare a value that they did not load. [`Profile::fragile_comparisons`] finds calls with such rules.
//! - The instructions that runc adds: numbers above the highest one that the profile names get ENOSYS.

use std::collections::{BTreeSet, HashMap};

use super::{
    Decision, Profile,
    architecture::{architecture, named},
    comparison::Comparison,
    multiplexed,
    rule::Rule,
};
use crate::syscalls::{CallId, CallTable, UNKNOWN};

/// The name of the machine's own architecture in objects of the security-profiles-operator.
const NATIVE: &str = "SCMP_ARCH_NATIVE";

/// Maximum rules of a call from which examples of arguments are made. More rules than this are no profile of a person.
const MAX_EXAMPLES: usize = 128;

/// Result of all rules for one name.
#[derive(Default)]
struct Ruling {
    may_try: bool,
    is_for_all_arguments: bool,
}

impl Profile {
    /// Returns what the filter decides about a call on this architecture's kernel, as libseccomp compiles the profile.
    /// `syscall` is [`UNKNOWN`] for numbers without a name.
    #[must_use]
    pub fn decide(&self, native: &'static str, abi: &str, syscall: &str, args: &[u64; 6]) -> Decision {
        if !self.abis(native).contains(&abi) {
            // libseccomp's action for an architecture that the filter does not have.
            return Decision::KillThread;
        }
        let bits = architecture(abi).filter(|known| known.is_narrow).map_or(u64::MAX, |_| u64::from(u32::MAX));
        let operation = multiplexed::operation(abi, syscall, args[0] & bits);
        let of_name = self.rules(native, syscall).map(|rule| (rule, false));
        let of_operation = operation.into_iter().flat_map(|name| self.rules(native, name)).map(|rule| (rule, true));
        let mut first = None;
        for (rule, is_operation) in of_name.chain(of_operation) {
            // libseccomp replaces comparisons by a rule without any.
            if rule.is_for_all_arguments() && !is_operation {
                return rule.decision();
            }
            if first.is_none() && rule.matches(args, bits, is_operation) {
                first = Some(rule.decision());
            }
        }
        first.unwrap_or_else(|| self.default_decision())
    }

    /// Returns the mildest decision about a call, whatever its arguments.
    #[must_use]
    pub fn decide_mildest(&self, native: &'static str, abi: &str, syscall: &str) -> Decision {
        if !self.abis(native).contains(&abi) {
            return Decision::KillThread;
        }
        if let Some(rule) = self.rules(native, syscall).find(|rule| rule.is_for_all_arguments()) {
            return rule.decision();
        }
        let operations = multiplexed::operations(abi, syscall).flat_map(|name| self.rules(native, name));
        let rules = self.rules(native, syscall).chain(operations);
        rules.map(Rule::decision).chain([self.default_decision()]).min().unwrap_or(Decision::KillThread)
    }

    /// Returns the mildest decision about a class of arguments, whatever the other arguments; that about the call if
    /// its arguments are in memory. By default, calls of the class `other` have arguments of further classes, too.
    #[must_use]
    pub fn decide_mildest_of_class(&self, table: &CallTable, class: CallId) -> Decision {
        let (call, native) = (table.call(class), table.native_abi());
        let mut mildest: Option<Decision> = None;
        for class in table.with_details(class) {
            for example in table.examples(class) {
                // Arguments that do not matter for the class have values that rules compare with.
                let rules = self.rules(native, call.name()).take(MAX_EXAMPLES);
                let compared = rules.map(|rule| rule.matching(example)).filter(|args| table.has_class(class, args));
                for args in [example].into_iter().chain(compared.filter(|args| *args != example)) {
                    let decision = self.decide(native, call.abi, call.name(), &args);
                    if decision == Decision::Allow {
                        return decision;
                    }
                    mildest = Some(mildest.map_or(decision, |known| known.min(decision)));
                }
            }
        }
        mildest.unwrap_or_else(|| self.decide_mildest(native, call.abi, call.name()))
    }

    /// Returns the rules for a name in a filter of this architecture, in their order. libseccomp has no rules with the
    /// action of the default.
    fn rules(&self, native: &'static str, syscall: &str) -> impl Iterator<Item = &Rule> {
        let default = self.default_decision();
        // No rule has a number without a name.
        let rules = self.by_name.get(syscall).filter(|_| syscall != UNKNOWN).into_iter().flatten();
        let rules = rules.filter_map(|&index| self.syscalls.get(index));
        rules.filter(move |rule| rule.applies(native) && rule.decision() != default)
    }

    /// Returns names in rules that no table of calls has: misspelled, or of a newer kernel. Runtimes ignore them.
    #[must_use]
    pub fn unknown_names(&self) -> BTreeSet<&str> {
        let known = crate::syscalls::names::system_calls();
        self.by_name.keys().map(String::as_str).filter(|name| !known.contains(name)).collect()
    }

    /// Returns calls with rules that libseccomp 2.5 can compile wrongly, so that the filter allows other values.
    ///
    /// They compare one argument several times, once by order, with values whose upper 32 bits differ. Measured with
    /// libseccomp 2.5.4 and random values: a third of these filters were wrong, and none of others.
    #[must_use]
    pub fn fragile_comparisons(&self) -> BTreeSet<&str> {
        let is_fragile = |rules: &[usize]| {
            let args = || rules.iter().flat_map(|&index| &self.syscalls[index].args);
            (0..6).any(|index| {
                let of_one = || args().filter(|comparison| comparison.index == index);
                let halves: BTreeSet<u64> = of_one().map(Comparison::upper_half).collect();
                halves.len() > 1 && of_one().any(Comparison::is_ordered)
            })
        };
        self.by_name.iter().filter(|(_, rules)| is_fragile(rules)).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether the filter is for a native ABI: the profile names it or one of its other ABIs, or names none and this is
    /// the machine's.
    #[must_use]
    pub fn names_architecture(&self, native: &'static str) -> bool {
        let names = self.architectures.iter().chain(self.arch_map.iter().map(|map| &map.architecture));
        let mut names = names.filter(|name| *name != NATIVE).peekable();
        if names.peek().is_none() {
            return native == CallTable::native().native_abi();
        }
        names.any(|name| named(name).is_some_and(|known| known.native == native))
    }

    /// Whether it has Docker's extensions. containerd ignores them, so rules with a condition always apply there.
    #[must_use]
    pub fn has_extensions(&self) -> bool {
        !self.arch_map.is_empty() || self.syscalls.iter().any(Rule::has_conditions)
    }

    /// Whether it allows each call, by id. Filters do not see operations of io_uring, so none of them is allowed.
    #[must_use]
    pub fn calls(&self, table: &CallTable) -> Vec<bool> {
        let native = table.native_abi();
        let abis = self.abis(native);
        let mut rulings: HashMap<&str, Ruling> = HashMap::new();
        for rule in self.syscalls.iter().filter(|rule| rule.applies(native)) {
            for name in &rule.names {
                let ruling = rulings.entry(name).or_default();
                ruling.may_try |= rule.may_try();
                ruling.is_for_all_arguments |= rule.is_for_all_arguments();
            }
        }
        let default = self.default_action.allows();
        // No rule has a number without a name.
        rulings.remove(UNKNOWN);
        let allows = |name| rulings.get(name).map_or(default, |of| of.may_try || (default && !of.is_for_all_arguments));
        let allows_any = |abi, name| allows(name) || multiplexed::operations(abi, name).any(allows);
        table.iter().map(|(_, call)| abis.contains(&call.abi) && allows_any(call.abi, call.syscall)).collect()
    }

    /// Whether it allows each class of arguments, in the order of ids. A class whose arguments are in memory, where the
    /// filter cannot see them, is allowed if the call is.
    #[must_use]
    pub fn classes(&self, table: &CallTable) -> Vec<bool> {
        let calls = self.calls(table);
        let is_allowed = |id: CallId| {
            let (call, examples) = (table.call(id), table.examples(id));
            let may_try = |args: &[u64; 6]| {
                let decision = self.decide(table.native_abi(), call.abi, call.name(), args);
                decision.allows() || decision.is_nonexistent()
            };
            let has_call = calls.get(usize::from(table.call_of_class(id).0)).copied().unwrap_or(false);
            has_call && (examples.is_empty() || examples.iter().any(may_try))
        };
        table.all().map(|(id, _)| id).filter(|&id| table.is_class(id)).map(is_allowed).collect()
    }

    /// Returns the ABIs of an architecture that the filter allows at all: the native one always, others if the profile
    /// has them.
    #[must_use]
    pub fn abis(&self, native: &'static str) -> BTreeSet<&'static str> {
        let is_native = |name: &String| named(name).is_some_and(|known| known.abi == native);
        let maps = self.arch_map.iter().filter(|map| is_native(&map.architecture));
        let names = self.architectures.iter().chain(maps.flat_map(|map| &map.sub_architectures));
        let known = names.filter_map(|name| named(name)).filter(|known| known.native == native);
        known.map(|known| known.abi).chain([native]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(default: &str, architectures: &str, rules: &str) -> Profile {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_{default}", "architectures": [{architectures}], "syscalls": [{rules}]}}"#
        );
        Profile::parse(&json).unwrap()
    }

    fn rule(name: &str, action: &str, args: &str) -> String {
        format!(r#"{{"names": ["{name}"], "action": "SCMP_ACT_{action}", "args": [{args}]}}"#)
    }

    fn equal(index: u32, value: u64) -> String {
        format!(r#"{{"index": {index}, "value": {value}, "op": "SCMP_CMP_EQ"}}"#)
    }

    const X86: &str = r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X86""#;

    #[test]
    fn the_mildest_decision_is_one_that_some_arguments_get() {
        let mildest = |default, rules: &[String]| {
            profile(default, "", &rules.join(",")).decide_mildest("x86_64", "x86_64", "personality")
        };
        let allow_some = rule("personality", "ALLOW", &equal(0, 8));
        assert_eq!(mildest("KILL", std::slice::from_ref(&allow_some)), Decision::Allow);
        assert_eq!(mildest("ERRNO", &[allow_some, rule("personality", "KILL", "")]), Decision::KillThread);
        assert_eq!(mildest("ALLOW", &[rule("personality", "ERRNO", &equal(0, 0))]), Decision::Allow);
        assert_eq!(mildest("KILL", &[]), Decision::KillThread);
    }

    #[test]
    fn two_comparisons_of_one_argument_are_two_rules() {
        let rules = rule("socket", "ALLOW", &format!("{}, {}", equal(0, 1), equal(0, 2)));
        let profile = profile("ERRNO", "", &rules);
        let allowed = |family| profile.decide("x86_64", "x86_64", "socket", &[family, 0, 0, 0, 0, 0]).allows();
        assert_eq!([1, 2, 3].map(allowed), [true, true, false]);
    }

    #[test]
    fn operations_of_socketcall_are_allowed_without_comparison_of_the_first_argument() {
        let profile = profile("ERRNO", X86, &rule("socket", "ALLOW", &equal(0, 2)));
        let decide = |operation| profile.decide("x86_64", "ia32", "socketcall", &[operation, 0, 0, 0, 0, 0]);
        assert_eq!([1, 2].map(|operation| decide(operation).allows()), [true, false]);
        assert_eq!(profile.decide_mildest("x86_64", "ia32", "socketcall"), Decision::Allow);
        let table = CallTable::x86_64();
        let calls = profile.calls(&table);
        let id = table.id("ia32", "socketcall").unwrap();
        assert!(calls[usize::from(id.0)]);
    }

    #[test]
    fn classes_of_arguments_have_the_decisions_about_their_values() {
        let masked = r#"{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}"#;
        let rules = [
            rule("socket", "ALLOW", &equal(0, 1)),
            rule("clone", "ALLOW", masked),
            rule("clone3", "ERRNO", "").replace("\"args\": []", "\"errnoRet\": 38"),
            rule("personality", "ALLOW", &equal(0, 0xffff_ffff)),
        ];
        let profile = profile("ERRNO", X86, &rules.join(","));
        let table = CallTable::x86_64();
        let classes = profile.classes(&table);
        let first = table.iter().count();
        let allowed = |name| classes[usize::from(table.id("x86_64", name).unwrap().0) - first];
        for name in ["socket(AF_UNIX)", "clone(other)", "clone3(CLONE_NEWUSER)", "personality(query)"] {
            assert!(allowed(name), "{name}");
        }
        for name in ["socket(AF_ALG)", "socket(other)", "clone(CLONE_NEWUSER)", "personality(other)", "ioctl(TIOCSTI)"]
        {
            assert!(!allowed(name), "{name}");
        }
    }

    #[test]
    fn the_mildest_decision_about_a_class_is_one_that_some_of_its_arguments_get() {
        let stream = format!("{}, {}", equal(0, 2), equal(1, 1));
        let masked = r#"{"index": 0, "value": 268435456, "valueTwo": 268435456, "op": "SCMP_CMP_MASKED_EQ"}"#;
        let rules =
            [rule("socket", "ALLOW", &stream), rule("prctl", "ALLOW", &equal(0, 15)), rule("unshare", "ALLOW", masked)];
        let (profile, table) = (profile("ERRNO", X86, &rules.join(",")), CallTable::x86_64());
        let decide = |name| profile.decide_mildest_of_class(&table, table.id("x86_64", name).unwrap());
        for name in ["socket(AF_INET)", "prctl(other)", "prctl(PR_SET_NAME)", "unshare(CLONE_NEWUSER)"] {
            assert_eq!(decide(name), Decision::Allow, "{name}");
        }
        for name in ["socket(AF_INET,SOCK_RAW)", "socket(AF_INET6)", "prctl(PR_SET_MM)", "clone3(other)"] {
            assert_eq!(decide(name), Decision::Errno(1), "{name}");
        }
    }

    #[test]
    fn comparisons_on_32_bit_abis_are_of_32_bits() {
        let profile = profile("ERRNO", X86, &rule("openat", "ALLOW", &equal(1, (1 << 32) + 5)));
        let decide = |abi, value| profile.decide("x86_64", abi, "openat", &[0, value, 0, 0, 0, 0]).allows();
        assert_eq!([decide("ia32", 5), decide("x86_64", 5), decide("x86_64", (1 << 32) + 5)], [true, false, true]);
    }

    #[test]
    fn abis_are_those_of_the_architecture() {
        let both = profile("ERRNO", r#""SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM""#, "");
        assert_eq!(both.abis("x86_64"), ["x86_64"].into());
        assert_eq!(both.abis("aarch64"), ["aarch32", "aarch64"].into());
        assert!(both.names_architecture("x86_64") && both.names_architecture("aarch64"));
        let native = profile("ERRNO", r#""SCMP_ARCH_NATIVE""#, "");
        assert!(native.names_architecture(CallTable::native().native_abi()));
        let compat = profile("ERRNO", r#""SCMP_ARCH_X86""#, "");
        assert!(compat.names_architecture("x86_64") && !compat.names_architecture("aarch64"));
    }

    #[test]
    fn decisions_take_no_longer_in_profiles_with_many_names() {
        let names: Vec<String> = (0..200_000).map(|number| format!("\"call{number}\"")).collect();
        let rules = format!(r#"{{"names": [{}], "action": "SCMP_ACT_ALLOW"}}"#, names.join(","));
        let profile = profile("ERRNO", "", &rules);
        let start = std::time::Instant::now();
        for _ in 0..10_000 {
            assert!(!profile.decide_mildest("x86_64", "x86_64", "openat").allows());
        }
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}
