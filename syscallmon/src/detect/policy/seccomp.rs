//! Seccomp profiles: the JSON of the OCI runtime specification (`linux.seccomp`), with Docker's extension.
//!
//! syscallmon does not see arguments, so a call that is allowed for some arguments counts as allowed. So does a call
//! that the profile denies by name with ENOSYS, because programs are expected to try it and fall back (clone3 in
//! Docker's profile).

use std::collections::HashMap;

use serde::Deserialize;

use crate::syscalls::{CallTable, UNKNOWN, runtime_default::CAPABILITIES};

/// The error number for a call that does not exist.
const ENOSYS: u32 = 38;

/// Names of an architecture in libseccomp, in Docker, and here.
struct Arch {
    seccomp: &'static str,
    docker: &'static str,
    abi: &'static str,
}

const ARCHES: [Arch; 5] = [
    Arch { seccomp: "SCMP_ARCH_X86_64", docker: "amd64", abi: "x86_64" },
    Arch { seccomp: "SCMP_ARCH_X86", docker: "x86", abi: "ia32" },
    Arch { seccomp: "SCMP_ARCH_X32", docker: "x32", abi: "x32" },
    Arch { seccomp: "SCMP_ARCH_AARCH64", docker: "arm64", abi: "aarch64" },
    Arch { seccomp: "SCMP_ARCH_ARM", docker: "arm", abi: "aarch32" },
];

/// A profile, as runtimes parse it. Keys without influence on allowed calls are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: SeccompAction,
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
    names: Vec<String>,
    action: SeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    args: Vec<serde::de::IgnoredAny>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum SeccompAction {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(
        rename = "SCMP_ACT_KILL",
        alias = "SCMP_ACT_KILL_PROCESS",
        alias = "SCMP_ACT_KILL_THREAD",
        alias = "SCMP_ACT_TRAP",
        alias = "SCMP_ACT_NOTIFY"
    )]
    Refuse,
}

impl SeccompAction {
    fn allows(self) -> bool {
        matches!(self, Self::Allow | Self::Log | Self::Trace)
    }
}

impl Profile {
    /// Parses a profile.
    ///
    /// # Errors
    ///
    /// When it is not a profile.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
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
    fn abis(&self, native: &'static str) -> Vec<&'static str> {
        let abi_of = |name: &String| ARCHES.iter().find(|arch| arch.seccomp == name).map(|arch| arch.abi);
        let is_native = |map: &&ArchMap| abi_of(&map.architecture) == Some(native);
        let subs = self.arch_map.iter().filter(is_native).flat_map(|map| &map.sub_architectures);
        self.architectures.iter().chain(subs).filter_map(abi_of).chain([native]).collect()
    }
}

impl Rule {
    /// Whether a rule applies to a container with the usual capabilities, on a kernel that syscallmon supports.
    fn holds(&self, native: &str) -> bool {
        let has_cap = |cap: &String| CAPABILITIES.contains(&cap.as_str());
        let is_here = |arch: &String| ARCHES.iter().any(|known| known.docker == arch && known.abi == native);
        let Condition { caps, arches, .. } = &self.includes;
        let included = caps.iter().all(has_cap) && (arches.is_empty() || arches.iter().any(is_here));
        let Condition { caps, arches, min_kernel } = &self.excludes;
        included && !caps.iter().any(has_cap) && !arches.iter().any(is_here) && min_kernel.is_none()
    }

    /// Whether programs may try the call.
    fn may_try(&self) -> bool {
        self.action.allows() || (self.action == SeccompAction::Errno && self.errno_ret == Some(ENOSYS))
    }
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
        let profile = Profile::parse(include_str!("../../command/seccomp_profile.json")).unwrap();
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
