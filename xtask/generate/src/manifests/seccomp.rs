//! Checks the seccomp profile as container runtimes read it. The tests on the real kernel check that the daemon runs
//! with it.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{Deploy, or_else_mend};

const FILE: &str = "seccomp/syscallmon.json";
const REMEDY: &str = "mend syscallmon/src/command/profile/own.json and run `cargo xtask docs`";
const ARCHITECTURES: [&str; 2] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"];
/// Calls that this daemon never makes, and that help to escape from a container.
const NEVER: [&str; 10] = [
    "init_module",
    "io_uring_setup",
    "kexec_load",
    "keyctl",
    "mount",
    "open_by_handle_at",
    "process_vm_readv",
    "ptrace",
    "setns",
    "unshare",
];

/// The profile as containerd reads it: the OCI's `linux.seccomp`, which has no `archMap`, `includes` and `excludes`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    #[serde(rename = "defaultAction")]
    _default_action: String,
    #[serde(rename = "defaultErrnoRet")]
    _default_errno_ret: u32,
    architectures: Vec<String>,
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(rename = "comment")]
    _comment: Option<String>,
    names: Vec<String>,
    action: String,
    args: Option<serde_json::Value>,
    #[serde(rename = "errnoRet")]
    _errno_ret: Option<u32>,
}

/// Checks the profile.
pub(super) fn check(deploy: &Deploy) -> Result<()> {
    or_else_mend(REMEDY, check_text(&deploy.read(FILE)?).with_context(|| format!("deploy/{FILE}")))
}

fn check_text(text: &str) -> Result<()> {
    let profile: Profile = serde_json::from_str(text).context("container runtimes do not read it")?;
    ensure!(profile.architectures == ARCHITECTURES, "it is for {:?}", profile.architectures);
    ensure!(profile.syscalls.iter().all(|rule| !rule.names.is_empty()), "a rule is for no call");
    let mut seen = HashSet::new();
    for name in profile.syscalls.iter().filter(|rule| rule.args.is_none()).flat_map(|rule| &rule.names) {
        ensure!(seen.insert(name), "{name} is there twice");
    }
    let allowed = profile.syscalls.iter().filter(|rule| rule.action == "SCMP_ACT_ALLOW").flat_map(|rule| &rule.names);
    for name in allowed {
        ensure!(!NEVER.contains(&name.as_str()), "it allows {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(rules: &str) -> Result<()> {
        check_text(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                 "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [{rules}]}}"#
        ))
    }

    #[test]
    fn what_runtimes_would_not_read_or_should_not_allow_is_refused() {
        profile(r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW"}"#).unwrap();
        for (rules, message) in [
            (r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {}}"#, "do not read it"),
            (r#"{"names": [], "action": "SCMP_ACT_ALLOW"}"#, "for no call"),
            (r#"{"names": ["read", "read"], "action": "SCMP_ACT_ALLOW"}"#, "read is there twice"),
            (r#"{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW"}"#, "allows ptrace"),
        ] {
            let error = profile(rules).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
