//! The narrowest exception for violations, as YAML to paste.

mod selector;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde::Serialize;

use self::selector::Selector;
use super::{BUILT_IN, BaselineKey, policy::BUILT_IN_ORIGIN};
use crate::{
    process::printable,
    syscalls::{UNKNOWN, split_argument},
    workload::Labels,
};

/// Maximum length of the name of a new policy, without what makes it unique. Names of policies have at most 63.
const MAX_NAME: usize = 40;

/// An unexpected call, as reported.
#[derive(Clone, Debug)]
pub struct ReportedCall {
    /// Id of its violation.
    pub id: String,
    /// Metadata of its workload.
    pub metadata: Labels,
    /// ABI.
    pub abi: String,
    /// Name of the call.
    pub syscall: String,
    /// Name of the policy that has reported it.
    pub policy: String,
    /// Whether the policy lists it in `deny`.
    pub is_denied: bool,
}

/// A policy in force.
#[derive(Clone, Debug)]
pub struct PolicyInForce {
    /// Its name.
    pub name: String,
    /// Its file, or `built in`.
    pub origin: String,
    /// Whether it learns.
    pub learns: bool,
}

/// Why there is no exception.
#[derive(Debug, thiserror::Error)]
pub enum ExceptionError {
    /// The policy is gone.
    #[error(
        "violation {id}: its policy {policy} is not in force any more, so there is nothing to allow (see syscallmon policy list)"
    )]
    NotInForce {
        /// The violation.
        id: String,
        /// The policy.
        policy: String,
    },
    /// No label tells the workload from others.
    #[error("violation {id}: its workload is not known by name, so no policy can select it alone")]
    Unnamed {
        /// The violation.
        id: String,
    },
    /// The name of the call has other characters than names of calls.
    #[error("violation {id}: no policy can name its call")]
    NotACall {
        /// The violation.
        id: String,
    },
}

/// One exception: calls of one workload under one policy.
#[derive(Clone, Debug, Serialize)]
pub struct Exception {
    policy: String,
    /// The file of the policy, or `built in`.
    origin: String,
    /// Whether the built-in policy has reported the calls, so that the exception is a policy of its own.
    is_new_policy: bool,
    /// The selector, as YAML.
    #[serde(rename = "match")]
    selector: String,
    /// Calls with their ABI, as in a policy.
    allow: BTreeSet<String>,
    violations: BTreeSet<String>,
    /// What a person should know, one line each.
    remarks: BTreeSet<String>,
    #[serde(skip)]
    name: String,
    /// Whether the policy denies one of the calls.
    #[serde(skip)]
    is_denied: bool,
    /// Lines for the baseline's file, if the policy learns, and the name of that file.
    #[serde(skip)]
    learned: Option<(BTreeSet<String>, String)>,
    #[serde(skip)]
    workload: String,
}

/// Returns the exceptions for these violations, one for each policy and selector.
///
/// # Errors
///
/// For the first violation that cannot be allowed.
pub fn exceptions(violations: &[ReportedCall], policies: &[PolicyInForce]) -> Result<Vec<Exception>, ExceptionError> {
    let mut exceptions: BTreeMap<(String, String), Exception> = BTreeMap::new();
    for violation in violations {
        let exception = exception(violation, policies)?;
        match exceptions.get_mut(&(exception.policy.clone(), exception.selector.clone())) {
            Some(known) => known.merge(exception),
            None => drop(exceptions.insert((exception.policy.clone(), exception.selector.clone()), exception)),
        }
    }
    let mut exceptions: Vec<Exception> = exceptions.into_values().collect();
    let mut names: BTreeSet<String> = policies.iter().map(|policy| policy.name.clone()).collect();
    for exception in exceptions.iter_mut().filter(|exception| exception.is_new_policy) {
        let mut number = 1;
        while names.contains(&numbered(&exception.name, number)) {
            number += 1;
        }
        exception.name = numbered(&exception.name, number);
        names.insert(exception.name.clone());
    }
    Ok(exceptions)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a text has the form of `socket`, or of `socket(AF_INET,SOCK_RAW)`.
fn is_call_or_class(text: &str) -> bool {
    let (call, argument) = split_argument(text);
    is_word(call) && (call == text || argument.split(['|', ',']).all(is_word))
}

fn numbered(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

fn exception(violation: &ReportedCall, policies: &[PolicyInForce]) -> Result<Exception, ExceptionError> {
    let ReportedCall { id, metadata, abi, syscall, policy, is_denied } = violation;
    let Some(row) = policies.iter().find(|row| row.name == *policy) else {
        return Err(ExceptionError::NotInForce { id: id.clone(), policy: printable(policy) });
    };
    let Some(Selector { yaml, remark }) = Selector::of(metadata) else {
        return Err(ExceptionError::Unnamed { id: id.clone() });
    };
    let call = format!("{abi}:{syscall}");
    if !is_word(abi) || !is_call_or_class(syscall) {
        return Err(ExceptionError::NotACall { id: id.clone() });
    }
    let kind = BaselineKey::of(metadata);
    let mut remarks: BTreeSet<String> = remark.map(|remark| format!("Note: {remark}.")).into_iter().collect();
    if syscall == UNKNOWN {
        remarks.insert(format!("Note: {call} allows every number that the ABI does not have."));
    }
    let is_new_policy = policy == BUILT_IN && row.origin == BUILT_IN_ORIGIN;
    let learning: Vec<&str> = policies.iter().filter(|row| row.learns).map(|row| row.name.as_str()).collect();
    if is_new_policy && !learning.is_empty() {
        remarks.insert(format!(
            "Note: if a policy that learns ({}) selects this workload, add the exception to that policy instead.",
            printable(&learning.join(", "))
        ));
    }
    let learned = kind.as_ref().filter(|_| row.learns && !*is_denied);
    let learned = learned.map(|kind| ([format!("\"{abi}/{syscall}\": \"\",")].into(), kind.file_name()));
    let workload = kind.map_or_else(|| metadata.to_string(), |kind| kind.to_string());
    Ok(Exception {
        name: name_of(&workload, id),
        policy: policy.clone(),
        origin: row.origin.clone(),
        is_new_policy,
        selector: yaml,
        allow: [call].into(),
        violations: [id.clone()].into(),
        remarks,
        is_denied: *is_denied,
        learned,
        workload,
    })
}

/// Returns a name for a policy: of the workload, and of the violation if that is not plain.
fn name_of(workload: &str, id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = workload.chars().map(plain).collect();
    let words = std::iter::once("allow").chain(words.split('-').filter(|word| !word.is_empty()));
    let name = words.collect::<Vec<_>>().join("-");
    if name.len() <= MAX_NAME && workload.is_ascii() {
        return name;
    }
    let short: String = name.chars().take(MAX_NAME).collect();
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("{}-{}", short.trim_end_matches('-'), digits.to_ascii_lowercase())
}

impl Exception {
    fn merge(&mut self, other: Self) {
        self.allow.extend(other.allow);
        self.violations.extend(other.violations);
        self.remarks.extend(other.remarks);
        self.is_denied |= other.is_denied;
        self.learned = self.learned.take().zip(other.learned).map(|((mut lines, file), (more, _))| {
            lines.extend(more);
            (lines, file)
        });
    }

    /// Returns what it allows for which workload, in lines of a comment.
    fn head(&self) -> String {
        let list = |items: &BTreeSet<String>| items.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let (calls, ids) = (list(&self.allow), list(&self.violations));
        let mut head = format!("# {}: {calls}. Violation {}.\n", printable(&self.workload), printable(&ids));
        for remark in &self.remarks {
            let _ = writeln!(head, "# {remark}");
        }
        head
    }

    fn calls(&self) -> String {
        let calls: Vec<String> = self.allow.iter().map(|call| selector::quoted(call)).collect();
        format!("[{}]", calls.join(", "))
    }

    /// Returns an item of `exceptions`, for a policy in a list.
    fn item(&self) -> String {
        format!("      - match: [{}]\n        allow: {}\n", self.selector, self.calls())
    }

    /// Returns a policy of its own, without the key above it.
    fn new_policy(&self) -> String {
        let mut text = format!("  - name: {}\n    extends: {BUILT_IN}\n    match: [{}]\n", self.name, self.selector);
        if self.is_denied {
            // An exception allows calls that the built-in policy denies, too.
            text + "    exceptions:\n" + &self.item()
        } else {
            let _ = writeln!(text, "    allow: {}", self.calls());
            text
        }
    }
}

/// Returns the text for people: exceptions of own policies first, then one file with new policies.
#[must_use]
pub fn exceptions_yaml(exceptions: &[Exception]) -> String {
    let (new, own): (Vec<_>, Vec<_>) = exceptions.iter().partition(|exception| exception.is_new_policy);
    let mut parts: Vec<String> = own.into_iter().map(addition).collect();
    if !new.is_empty() {
        let mut text =
            "# A file for --policy.directory, or for `policies` in the configuration file.\npolicies:\n".to_owned();
        for exception in new {
            text += &exception.head().lines().fold(String::new(), |text, line| text + "  " + line + "\n");
            text += &exception.new_policy();
        }
        parts.push(text);
    }
    parts.join("\n")
}

/// Returns the addition to an own policy.
fn addition(exception: &Exception) -> String {
    let (policy, origin) = (printable(&exception.policy), printable(&exception.origin));
    let mut text = exception.head();
    let _ = writeln!(
        text,
        "# Add this to the policy {policy} in {origin}. If the policy has exceptions, add only the item."
    );
    if let Some((lines, file)) = &exception.learned {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let _ = writeln!(text, "# Or add to \"calls\" in {file}, below baselines/ in the state directory:");
        let _ = writeln!(text, "#   {}", lines.join(" "));
    }
    text + "    exceptions:\n" + &exception.item()
}
