//! `linux.seccomp` of the OCI runtime specification (`config-linux.md`).
//!
//! Plain, without Docker's extensions: containerd reads a file straight into the structure of the specification and
//! ignores `archMap`, `includes` and `excludes`. Provenance stands under a key that runtimes ignore.

use serde::Serialize;

use crate::{
    profile::{Plan, Provenance},
    seccomp::architecture,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    default_action: &'static str,
    default_errno_ret: u16,
    architectures: Vec<&'static str>,
    syscalls: Vec<Rule>,
    #[serde(rename = "x-syscallmon", skip_serializing_if = "Option::is_none")]
    provenance: Option<Annotation<'a>>,
}

#[derive(Serialize)]
struct Annotation<'a> {
    #[serde(flatten)]
    provenance: &'a Provenance,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

/// A rule for some calls.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) names: Vec<&'static str>,
    pub(super) action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errno_ret: Option<u16>,
}

/// The action for everything that no rule allows.
pub(super) const DEFAULT_ACTION: &str = "SCMP_ACT_ERRNO";

pub(super) fn write(plan: &Plan, provenance: Option<&Provenance>) -> serde_json::Result<String> {
    let document = Document {
        default_action: DEFAULT_ACTION,
        default_errno_ret: 1,
        architectures: architectures(plan),
        syscalls: rules(plan),
        provenance: provenance.map(|provenance| Annotation { provenance, warnings: &plan.warnings }),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

pub(super) fn architectures(plan: &Plan) -> Vec<&'static str> {
    plan.abis.iter().filter_map(|abi| architecture(abi)).map(|architecture| architecture.seccomp).collect()
}

pub(super) fn rules(plan: &Plan) -> Vec<Rule> {
    let allow = Rule { names: plan.allowed.keys().copied().collect(), action: "SCMP_ACT_ALLOW", errno_ret: None };
    let nonexistent =
        Rule { names: plan.nonexistent.iter().copied().collect(), action: "SCMP_ACT_ERRNO", errno_ret: Some(38) };
    [allow, nonexistent].into_iter().filter(|rule| !rule.names.is_empty()).collect()
}
