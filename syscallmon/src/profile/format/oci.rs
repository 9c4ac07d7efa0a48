//! `linux.seccomp` of the OCI runtime specification (`config-linux.md`).
//!
//! Plain, without Docker's extensions: containerd reads a file straight into the structure of the specification and
//! ignores `archMap`, `includes` and `excludes`. Provenance stands under a key that runtimes ignore.

use serde::Serialize;

use crate::{
    profile::{Plan, Provenance},
    seccomp::architecture,
    syscalls::arguments::Condition,
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
    #[serde(skip_serializing_if = "<[Comparison]>::is_empty")]
    pub(super) args: Vec<Comparison>,
}

/// A comparison of an argument.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::profile) struct Comparison {
    index: u8,
    /// The mask, or the value if all bits are compared.
    value: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_two: Option<u64>,
    op: &'static str,
}

impl From<&Condition> for Comparison {
    fn from(&Condition { argument, mask, value }: &Condition) -> Self {
        // Kubernetes reads numbers of objects as 64 bits with a sign, so no mask has all bits.
        if mask == u64::MAX {
            return Self { index: argument, value, value_two: None, op: "SCMP_CMP_EQ" };
        }
        Self { index: argument, value: mask, value_two: Some(value), op: "SCMP_CMP_MASKED_EQ" }
    }
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
    const ALLOW: &str = "SCMP_ACT_ALLOW";
    let is_whole = |name: &&&'static str| !plan.restrictions.contains_key(**name);
    let whole = plan.allowed.keys().filter(is_whole).copied().collect();
    let allow = Rule { names: whole, action: ALLOW, errno_ret: None, args: Vec::new() };
    let mut nonexistent = plan.nonexistent.clone();
    let mut restricted = Vec::new();
    for (&name, restriction) in &plan.restrictions {
        if restriction.comparisons.is_empty() {
            nonexistent.insert(name);
        }
        restricted.extend(restriction.comparisons.iter().map(|list| Rule {
            names: vec![name],
            action: ALLOW,
            errno_ret: None,
            args: list.iter().map(Comparison::from).collect(),
        }));
    }
    let names = nonexistent.into_iter().collect();
    let nonexistent = Rule { names, action: "SCMP_ACT_ERRNO", errno_ret: Some(38), args: Vec::new() };
    let rules = [allow].into_iter().chain(restricted).chain([nonexistent]);
    rules.filter(|rule| !rule.names.is_empty()).collect()
}
