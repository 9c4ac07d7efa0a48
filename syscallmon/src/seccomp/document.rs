//! A profile as written, and its decisions.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Architecture, Decision,
    architecture::ARCHITECTURES,
    decision::{Action, ENOSYS},
    multiplexed,
};
use crate::syscalls::{CallTable, UNKNOWN, runtime_default::CAPABILITIES};

/// Maximum error number of the kernel (`MAX_ERRNO` in `linux/err.h`).
const MAX_ERRNO: u32 = 4095;

/// A profile, as runtimes parse it. Keys without influence on decisions are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: Action,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    architectures: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    arch_map: Vec<ArchMap>,
    #[serde(default, deserialize_with = "or_default")]
    syscalls: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    sub_architectures: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default, deserialize_with = "or_default")]
    names: Vec<String>,
    /// One name, in older profiles of Docker.
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    action: Action,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    args: Vec<Comparison>,
    #[serde(default, deserialize_with = "or_default")]
    includes: Condition,
    #[serde(default, deserialize_with = "or_default")]
    excludes: Condition,
}

/// Result of all rules for one name.
#[derive(Default)]
struct Ruling {
    may_try: bool,
    is_for_all_arguments: bool,
}

/// Conditions of a rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default, deserialize_with = "or_default")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    arches: Vec<String>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// A comparison of one argument.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Comparison {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// A text that is not a profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It cannot be parsed.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A rule contradicts the specification.
    #[error("rule {number} ({names}): {problem}")]
    Rule {
        /// Number of the rule, from 1.
        number: usize,
        /// Its names, shortened.
        names: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Two ways of naming architectures exclude each other.
    #[error("has architectures and archMap: runtimes refuse that")]
    Architectures,
    /// A default error number without an action that takes it.
    #[error("has a defaultErrnoRet without the defaultAction SCMP_ACT_ERRNO or SCMP_ACT_TRACE, or one above 4095")]
    DefaultErrno,
}

impl Profile {
    /// Parses a profile.
    ///
    /// # Errors
    ///
    /// When it is not a profile, or runtimes would refuse it.
    pub fn parse(json: &str) -> Result<Self, ProfileError> {
        serde_json::from_str::<Self>(json)?.validated()
    }

    /// Does the same for parsed JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_value(json: Value) -> Result<Self, ProfileError> {
        serde_json::from_value::<Self>(json)?.validated()
    }

    fn validated(mut self) -> Result<Self, ProfileError> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err(ProfileError::Architectures);
        }
        if !errno_fits(self.default_action, self.default_errno_ret) {
            return Err(ProfileError::DefaultErrno);
        }
        for (number, rule) in (1..).zip(&mut self.syscalls) {
            if let Some(problem) = rule.problem() {
                let names = rule.names.join(", ").chars().take(64).collect();
                return Err(ProfileError::Rule { number, names, problem });
            }
            rule.names.extend(Some(std::mem::take(&mut rule.name)).filter(|name| !name.is_empty()));
        }
        Ok(self)
    }

    /// Returns what the filter decides about a call on this architecture's kernel, as libseccomp compiles the profile.
    /// `syscall` is [`UNKNOWN`] for numbers without a name.
    #[must_use]
    pub fn decide(&self, native: &'static str, abi: &str, syscall: &str, args: &[u64; 6]) -> Decision {
        if !self.abis(native).contains(&abi) {
            // libseccomp's action for an architecture that the filter does not have.
            return Decision::KillThread;
        }
        let default = self.default_action.decision(errno(self.default_errno_ret));
        if syscall == UNKNOWN {
            return default;
        }
        let operation = multiplexed::operation(abi, syscall, args[0]);
        let names = |rule: &Rule| rule.names.iter().any(|name| name == syscall || Some(name.as_str()) == operation);
        // libseccomp has no rules with the action of the default. A rule without comparisons replaces others.
        let rules = self.syscalls.iter().filter(|rule| rule.holds(native) && names(rule));
        let mut rules: Vec<&Rule> = rules.filter(|rule| rule.decision() != default).collect();
        rules.sort_by_key(|rule| !rule.args.is_empty());
        let matching = rules.into_iter().find(|rule| rule.args.iter().all(|comparison| comparison.holds(args)));
        matching.map_or(default, Rule::decision)
    }

    /// Returns the decision for a call with any arguments: the mildest one.
    #[must_use]
    pub fn decide_mildest(&self, native: &'static str, abi: &str, syscall: &str) -> Decision {
        let default = self.decide(native, abi, syscall, &[0; 6]);
        if default == Decision::KillThread {
            return default;
        }
        let of_name = |rule: &&Rule| rule.holds(native) && rule.names.iter().any(|name| name == syscall);
        let decisions = self.syscalls.iter().filter(of_name).map(Rule::decision);
        if syscall == UNKNOWN { default } else { decisions.chain([default]).min().unwrap_or(default) }
    }

    /// Returns names in rules that no table of calls has: misspelled, or of a newer kernel. Runtimes ignore them.
    #[must_use]
    pub fn unknown_names(&self) -> BTreeSet<&str> {
        let known = crate::syscalls::names::system_calls();
        let names = self.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str);
        names.filter(|name| !known.contains(name)).collect()
    }

    /// Whether the filter is for a native ABI: the profile names it, or names none and this is the machine's.
    #[must_use]
    pub fn names_architecture(&self, native: &'static str) -> bool {
        let abi_of = |name: &String| ARCHITECTURES.iter().find(|known| known.seccomp == name).map(|known| known.abi);
        let named = self.architectures.iter().chain(self.arch_map.iter().map(|map| &map.architecture));
        let named: BTreeSet<_> = named.map(abi_of).collect();
        if named.is_empty() { native == CallTable::native().native_abi() } else { named.contains(&Some(native)) }
    }

    /// Whether it has Docker's extensions. containerd ignores them, so rules with a condition always apply there.
    #[must_use]
    pub fn has_extensions(&self) -> bool {
        let conditional = |rule: &Rule| rule.includes != Condition::default() || rule.excludes != Condition::default();
        !self.arch_map.is_empty() || self.syscalls.iter().any(conditional)
    }

    /// Whether it allows each call, by id. Filters do not see operations of io_uring, so none of them is allowed.
    #[must_use]
    pub fn calls(&self, table: &CallTable) -> Vec<bool> {
        let native = table.native_abi();
        let abis = self.abis(native);
        let mut rulings: HashMap<&str, Ruling> = HashMap::new();
        for rule in self.syscalls.iter().filter(|rule| rule.holds(native)) {
            for name in &rule.names {
                let ruling = rulings.entry(name).or_default();
                ruling.may_try |= rule.may_try();
                ruling.is_for_all_arguments |= rule.args.is_empty();
            }
        }
        let default = self.default_action.allows();
        // No rule has a number without a name.
        rulings.remove(UNKNOWN);
        let allows = |name| rulings.get(name).map_or(default, |of| of.may_try || (default && !of.is_for_all_arguments));
        table.iter().map(|(_, call)| abis.contains(&call.abi) && allows(call.syscall)).collect()
    }

    /// Returns the ABIs that the filter allows at all. The architecture's own is always allowed, others if the profile
    /// has them.
    #[must_use]
    pub fn abis(&self, native: &'static str) -> Vec<&'static str> {
        let abi_of = |name: &String| ARCHITECTURES.iter().find(|arch| arch.seccomp == name).map(|arch| arch.abi);
        let is_native = |map: &&ArchMap| abi_of(&map.architecture) == Some(native);
        let subs = self.arch_map.iter().filter(is_native).flat_map(|map| &map.sub_architectures);
        self.architectures.iter().chain(subs).filter_map(abi_of).chain([native]).collect()
    }
}

impl Rule {
    /// Whether a rule applies to a container with the usual capabilities, on a kernel that syscallmon supports.
    fn holds(&self, native: &str) -> bool {
        let has_cap = |cap: &String| CAPABILITIES.contains(&cap.as_str());
        let is_here = |arch: &String| {
            ARCHITECTURES.iter().any(|Architecture { docker, abi, .. }| docker == arch && *abi == native)
        };
        let Condition { caps, arches, .. } = &self.includes;
        let included = caps.iter().all(has_cap) && (arches.is_empty() || arches.iter().any(is_here));
        let Condition { caps, arches, min_kernel } = &self.excludes;
        included && !caps.iter().any(has_cap) && !arches.iter().any(is_here) && min_kernel.is_none()
    }

    /// Whether programs may try the call.
    fn may_try(&self) -> bool {
        self.action.allows() || self.decision() == Decision::Errno(ENOSYS)
    }

    fn decision(&self) -> Decision {
        self.action.decision(errno(self.errno_ret))
    }

    /// Returns why runtimes would refuse it.
    fn problem(&self) -> Option<&'static str> {
        let index_fits = |comparison: &Comparison| comparison.index < 6;
        if self.names.is_empty() == self.name.is_empty() {
            Some("needs names, or one name")
        } else if !errno_fits(self.action, self.errno_ret) {
            Some("has an errnoRet without the action SCMP_ACT_ERRNO or SCMP_ACT_TRACE, or one above 4095")
        } else if !self.args.iter().all(index_fits) {
            Some("compares an argument that no call has: the last index is 5")
        } else {
            None
        }
    }
}

impl Comparison {
    fn holds(&self, args: &[u64; 6]) -> bool {
        let Some(&argument) = args.get(self.index as usize) else { return false };
        match self.op {
            Operator::NotEqual => argument != self.value,
            Operator::Less => argument < self.value,
            Operator::LessOrEqual => argument <= self.value,
            Operator::Equal => argument == self.value,
            Operator::GreaterOrEqual => argument >= self.value,
            Operator::Greater => argument > self.value,
            // `value` is the mask.
            Operator::MaskedEqual => argument & self.value == self.value_two,
        }
    }
}

fn errno(number: Option<u32>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok())
}

/// Whether the action takes the error number, if there is one.
fn errno_fits(action: Action, errno: Option<u32>) -> bool {
    errno.is_none_or(|errno| matches!(action, Action::Errno | Action::Trace) && errno <= MAX_ERRNO)
}

/// `null` counts as absent, as in Go.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::{CallTable, IO_URING};

    /// Returns the allowed calls on x86_64, as `abi:name`.
    fn allowed(json: &str) -> Vec<String> {
        let table = CallTable::x86_64();
        let calls = Profile::parse(json).unwrap().calls(&table);
        let allowed = table.iter().zip(calls).filter(|(_, allowed)| *allowed);
        allowed.map(|((_, call), _)| format!("{}:{}", call.abi, call.syscall)).collect()
    }

    fn with_rules(rules: &str) -> Vec<String> {
        allowed(&format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{rules}]}}"#))
    }

    #[test]
    fn what_is_allowed_logged_or_traced_is_allowed_and_nothing_else() {
        let rule = |name, action| format!(r#"{{"names": ["{name}"], "action": "SCMP_ACT_{action}"}}"#);
        let actions = [("read", "ALLOW"), ("write", "LOG"), ("open", "TRACE"), ("bpf", "KILL"), ("mount", "NOTIFY")];
        let rules: Vec<String> = actions.iter().map(|&(name, action)| rule(name, action)).collect();
        assert_eq!(with_rules(&rules.join(",")), ["x86_64:read", "x86_64:write", "x86_64:open"]);
    }

    #[test]
    fn what_is_allowed_for_some_arguments_is_allowed() {
        let arguments = r#""args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]"#;
        let rule = format!(r#"{{"names": ["personality"], "action": "SCMP_ACT_ALLOW", {arguments}}}"#);
        assert_eq!(with_rules(&rule), ["x86_64:personality"]);
        let refused = format!(r#"{{"names": ["personality"], "action": "SCMP_ACT_ERRNO", {arguments}}}"#);
        let profile = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{refused}]}}"#);
        assert!(allowed(&profile).contains(&"x86_64:personality".to_owned()));
    }

    #[test]
    fn a_call_that_is_said_not_to_exist_may_be_tried() {
        let rule = |errno| format!(r#"{{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": {errno}}}"#);
        assert_eq!(with_rules(&rule(38)), ["x86_64:clone3"]);
        assert_eq!(with_rules(&rule(1)), [""; 0]);
    }

    #[test]
    fn a_profile_that_allows_by_default_denies_what_it_names() {
        let calls = allowed(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_KILL"}]}"#,
        );
        let has = |call: &str| calls.iter().any(|allowed| allowed == call);
        assert!(has("x86_64:mount") && has("x86_64:unknown"));
        assert!(!has("x86_64:ptrace") && !has("ia32:getpid") && !has("io_uring:openat"));
    }

    #[test]
    fn the_abis_that_the_profile_has_are_allowed_their_calls() {
        let read = r#""syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]"#;
        let profile = |arches: &str| allowed(&format!(r#"{{"defaultAction": "SCMP_ACT_KILL", {arches}, {read}}}"#));
        let both = ["x86_64:read", "ia32:read"];
        assert_eq!(profile(r#""architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]"#), both);
        let map = |arch, sub| format!(r#""archMap": [{{"architecture": "{arch}", "subArchitectures": {sub}}}]"#);
        assert_eq!(profile(&map("SCMP_ARCH_X86_64", r#"["SCMP_ARCH_X86"]"#)), both);
        assert_eq!(profile(&map("SCMP_ARCH_AARCH64", r#"["SCMP_ARCH_ARM"]"#)), ["x86_64:read"]);
        assert_eq!(profile(&map("SCMP_ARCH_RISCV64", "null")), ["x86_64:read"]);
    }

    #[test]
    fn rules_hold_for_the_usual_capabilities_on_this_architecture_and_a_new_kernel() {
        for (condition, holds) in [
            (r#""includes": {"caps": ["CAP_SYS_CHROOT"]}"#, true),
            (r#""includes": {"caps": ["CAP_SYS_CHROOT", "CAP_SYS_ADMIN"]}"#, false),
            (r#""excludes": {"caps": ["CAP_SYS_ADMIN"]}"#, true),
            (r#""excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}"#, false),
            (r#""includes": {"arches": ["amd64", "x32"]}"#, true),
            (r#""includes": {"arches": ["arm64"]}"#, false),
            (r#""excludes": {"arches": ["s390", "s390x"]}"#, true),
            (r#""excludes": {"arches": ["amd64"]}"#, false),
            (r#""includes": {"minKernel": "4.8"}"#, true),
            (r#""excludes": {"minKernel": "4.8"}"#, false),
            (r#""includes": {}, "excludes": null"#, true),
        ] {
            let rule = format!(r#"{{"names": ["read"], "action": "SCMP_ACT_ALLOW", {condition}}}"#);
            assert_eq!(!with_rules(&rule).is_empty(), holds, "{condition}");
        }
    }

    #[test]
    fn an_unknown_number_is_no_name_that_a_profile_could_have() {
        assert_eq!(with_rules(r#"{"names": ["unknown", "read"], "action": "SCMP_ACT_ALLOW"}"#), ["x86_64:read"]);
    }

    #[test]
    fn names_that_no_table_has_are_passed_over_as_runtimes_do() {
        assert_eq!(
            with_rules(r#"{"names": ["swapcontext", "read"], "action": "SCMP_ACT_ALLOW", "comment": "x"}"#),
            ["x86_64:read"]
        );
    }

    #[test]
    fn the_daemons_own_profile_can_be_read() {
        let profile = Profile::parse(include_str!("../command/profile/own.json")).unwrap();
        let table = CallTable::native();
        let calls = profile.calls(&table);
        let allowed = |abi: &str, name: &str| {
            table.iter().zip(&calls).any(|((_, call), allowed)| (call.abi, call.syscall) == (abi, name) && *allowed)
        };
        assert!(allowed(table.native_abi(), "openat"));
        assert!(!allowed(table.native_abi(), "ptrace") && !allowed(IO_URING, "openat"));
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"defaultAction": "ALLOW"}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "read", "action": "SCMP_ACT_ALLOW"}]}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}"#,
        ] {
            assert!(Profile::parse(json).is_err(), "{json}");
        }
    }
}
