//! A profile as written.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Decision, decision::Action, rule::Rule};

/// Maximum error number of the kernel (`MAX_ERRNO` in `linux/err.h`).
const MAX_ERRNO: u32 = 4095;

/// A profile, as runtimes parse it. Keys without influence on decisions are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub(super) default_action: Action,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) architectures: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) arch_map: Vec<ArchMap>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) syscalls: Vec<Rule>,
    /// Rules of each name, as indices into `syscalls`.
    #[serde(skip)]
    pub(super) by_name: HashMap<String, Vec<usize>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArchMap {
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) sub_architectures: Vec<String>,
}

/// A text that is not a profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It cannot be parsed.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is something else than an object. Runtimes refuse an array, which this parser could read.
    #[error("is not a JSON object")]
    NotObject,
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
    #[error("has both architectures and archMap: runtimes refuse that")]
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
        if json.trim_start().starts_with('[') {
            return Err(ProfileError::NotObject);
        }
        serde_json::from_str::<Self>(json)?.validated()
    }

    /// Does the same for parsed JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_value(json: Value) -> Result<Self, ProfileError> {
        if !json.is_object() {
            return Err(ProfileError::NotObject);
        }
        serde_json::from_value::<Self>(json)?.validated()
    }

    fn validated(mut self) -> Result<Self, ProfileError> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err(ProfileError::Architectures);
        }
        if !errno_fits(self.default_action, self.default_errno_ret) {
            return Err(ProfileError::DefaultErrno);
        }
        for (index, rule) in self.syscalls.iter_mut().enumerate() {
            if let Some(problem) = rule.problem() {
                let names = rule.names.join(", ").chars().take(64).collect();
                return Err(ProfileError::Rule { number: index + 1, names, problem });
            }
            rule.names.extend(Some(std::mem::take(&mut rule.name)).filter(|name| !name.is_empty()));
            for name in &rule.names {
                let rules = self.by_name.entry(name.clone()).or_default();
                if rules.last() != Some(&index) {
                    rules.push(index);
                }
            }
        }
        Ok(self)
    }

    pub(super) fn default_decision(&self) -> Decision {
        self.default_action.decision(errno(self.default_errno_ret))
    }
}

pub(super) fn errno(number: Option<u32>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok())
}

/// Whether the action takes the error number, if there is one.
pub(super) fn errno_fits(action: Action, errno: Option<u32>) -> bool {
    errno.is_none_or(|errno| matches!(action, Action::Errno | Action::Trace) && errno <= MAX_ERRNO)
}

/// `null` counts as absent, as in Go.
pub(super) fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
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
            r#"["SCMP_ACT_ALLOW"]"#,
            "{}",
            r#"{"defaultAction": "ALLOW"}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "read", "action": "SCMP_ACT_ALLOW"}]}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}"#,
        ] {
            assert!(Profile::parse(json).is_err(), "{json}");
        }
    }
}
