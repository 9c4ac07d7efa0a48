//! A policy as written: an item of `policies:`.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    extends::MAX_DEPTH,
    node::{Node, Position},
    reading::{self, read_whole},
};
use crate::detect::{FileSize, MAX_EXPRESSIONS, MAX_POLICIES, Match, PolicyEntry, Severity};

/// The name of the policy that is built in.
pub const BUILT_IN: &str = "runtime-default";

/// A policy as written. Its parts are valid, but not yet checked against other policies.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// Its position in the file.
    pub at: Position,
    /// Its name, which violations have.
    pub name: PolicyName,
    /// The policy that it extends.
    pub extends: Option<Extends>,
    /// Workloads that it selects.
    pub selects: Match,
    /// Severity of unexpected calls; by default that of the policy that it extends, or the default.
    pub severity: Option<Severity>,
    /// Expected calls. An item without an ABI means the architecture's own.
    pub allow: Vec<PolicyItem>,
    /// Seccomp profiles with further expected calls. Paths are relative to the file of the policy.
    pub seccomp: Vec<ProfilePath>,
    /// Calls that are unexpected even if allowed or learned. An item without an ABI means every ABI.
    pub deny: Vec<PolicyItem>,
    /// Calls that are critical if unexpected. An item without an ABI means every ABI. Without this list, the policy has
    /// that of the policy that it extends, or of the built-in policy.
    pub critical: Option<Vec<PolicyItem>>,
    /// Exceptions for some of its workloads.
    pub exceptions: Vec<ExceptionSpec>,
    /// Whether and how long calls are learned; by default as the policy that it extends.
    pub learn: Option<Learn>,
}

/// The policy that another one extends.
#[derive(Clone, Debug, PartialEq)]
pub struct Extends {
    /// Its name.
    pub name: PolicyName,
    /// Where it is named.
    pub at: Position,
}

/// An item of a list of calls.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyItem {
    /// The calls.
    pub entry: PolicyEntry,
    /// Its position in the file.
    pub at: Position,
}

/// The path of a seccomp profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfilePath {
    /// Relative to the file of the policy.
    pub path: PathBuf,
    /// Where it is named.
    pub at: Position,
}

/// An exception for some workloads of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ExceptionSpec {
    /// Its position in the file.
    pub at: Position,
    /// The workloads.
    pub selects: Match,
    /// Calls that they may make, even if the policy denies them.
    pub allow: Vec<PolicyItem>,
}

/// What other policies need to know about a policy, valid or not.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredPolicy {
    /// Its name.
    pub name: PolicyName,
    /// Its position in the file.
    pub at: Position,
    /// The policy that it extends.
    pub extends: Option<Extends>,
}

/// How calls are learned: for a minimum time, until a quiet time without new calls, and for a maximum time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learn {
    /// Time without a new call.
    #[serde(with = "humantime_serde")]
    pub quiet_for: Duration,
    /// Minimum time.
    #[serde(with = "humantime_serde")]
    pub at_least: Duration,
    /// Maximum time, even if new calls still appear.
    #[serde(with = "humantime_serde")]
    pub at_most: Duration,
}

impl Default for Learn {
    fn default() -> Self {
        Self {
            quiet_for: Duration::from_hours(1),
            // A nightly job is within it, also on a day of 25 hours.
            at_least: Duration::from_hours(25),
            at_most: Duration::from_hours(7 * 24),
        }
    }
}

/// Maximum length of a policy's name.
const LONGEST_NAME: usize = 63;

/// The name of a policy: lower-case letters, digits and `-`, as names in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PolicyName(Arc<str>);

impl PolicyName {
    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for PolicyName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_valid = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_plain);
        if is_valid && !name.starts_with('-') && !name.ends_with('-') {
            Ok(Self(name.into()))
        } else {
            let plain: String = name.chars().map(|c| c.to_ascii_lowercase()).filter(|&c| is_plain(c)).collect();
            let plain = plain.trim_matches('-');
            let is_near = (1..=LONGEST_NAME).contains(&plain.len()) && name.len() <= LONGEST_NAME;
            let suggestion = if is_near { format!(" (did you mean {plain}?)") } else { String::new() };
            Err(format!(
                "{name:?} is not a policy name{suggestion}: expected at most {LONGEST_NAME} of a-z, 0-9 and -, no - at the ends"
            ))
        }
    }
}

/// Why a policy that could be read is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// All files together exceed a limit, and its file is the largest.
    #[error(
        "has {} policies and {} KiB of compiled regular expressions, the most of all files, which together have more than {MAX_POLICIES} or \
         {} KiB: needs fewer or simpler ones",
        .0.policies, .0.expressions / 1024, MAX_EXPRESSIONS / 1024
    )]
    LargestFile(FileSize),
    /// Another policy has the same name.
    #[error("policy {name}: another policy in {other} has the same name")]
    Duplicate {
        /// Its name.
        name: PolicyName,
        /// File of the other policy.
        other: Arc<str>,
    },
    /// It extends a policy that no file has.
    #[error("policy {name} extends {parent}, which no file has{suggestion}")]
    NoParent {
        /// Its name.
        name: PolicyName,
        /// The policy that it extends.
        parent: PolicyName,
        /// A similar name.
        suggestion: String,
    },
    /// It extends a policy that is not in force.
    #[error("policy {name} extends {parent}, which has a mistake itself or extends one that has")]
    InvalidParent {
        /// Its name.
        name: PolicyName,
        /// The policy that it extends.
        parent: PolicyName,
    },
    /// It extends itself.
    #[error("policy {name} extends itself: {cycle}")]
    Cycle {
        /// Its name.
        name: PolicyName,
        /// The names on the way to itself.
        cycle: String,
    },
    /// Too many policies extend each other.
    #[error("policy {name} extends a chain of more than {MAX_DEPTH} policies: move lists into fewer policies")]
    TooDeep {
        /// Its name.
        name: PolicyName,
    },
}

impl PolicySpec {
    /// Returns the bytes of its compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        self.selects.memory() + self.exceptions.iter().map(|exception| exception.selects.memory()).sum::<usize>()
    }

    /// Returns what other policies need to know about it.
    #[must_use]
    pub fn declared(&self) -> DeclaredPolicy {
        DeclaredPolicy { name: self.name.clone(), at: self.at, extends: self.extends.clone() }
    }
}

impl<'de> Deserialize<'de> for PolicySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        read_whole(|mistakes| reading::policy(node, mistakes).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> Result<PolicySpec, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let spec = spec(
            "name: web\nextends: base\nmatch: ['namespace=\"shop\"', {container: 'web-*'}]\nseverity: info\n\
             allow: ['@runtime-default', 'io_uring:*']\nseccomp: [web.json]\ndeny: [ptrace]\ncritical: ['@module']\n\
             exceptions: [{match: [{pod: a}], allow: [mount]}]\nlearn: {quiet_for: 2h}\n",
        )
        .unwrap();
        assert_eq!((spec.name.text().as_ref(), spec.severity), ("web", Some(Severity::Info)));
        assert_eq!(spec.extends.as_ref().map(|extends| extends.name.to_string()).as_deref(), Some("base"));
        assert_eq!((spec.allow.len(), spec.deny.len(), spec.exceptions.len()), (2, 1, 1));
        assert_eq!((spec.at, spec.allow[1].at), (Position { line: 1, column: 1 }, Position { line: 5, column: 29 }));
        assert_eq!(spec.critical.as_ref().map(Vec::len), Some(1));
        let learn = Learn { quiet_for: Duration::from_hours(2), ..Learn::default() };
        assert_eq!(spec.learn, Some(learn));
    }

    #[test]
    fn mistakes_are_refused_with_their_line() {
        for (yaml, at, expected) in [
            ("name: a\nmatch: [{pod: a}]\nalow: []\n", "3:1: ", "unknown key \"alow\" (did you mean allow?)"),
            ("name: a\nmatch: [{pod: a}]\nallow: [openat,\n  opennat]\n", "4:3: ", "did you mean openat?"),
            ("name: a\nmatch:\n  - {pod: a}\n  - {pot: a}\nallow: [read]\n", "4:6: ", "label (did you mean pod?)"),
            ("name: A\nmatch: [{pod: a}]\nallow: [read]\n", "1:7: ", "\"A\" is not a policy name (did you mean a?)"),
            ("name: a\nmatch: [{pod: a}]\nallow: [read]\nseverity: bad\n", "4:11: ", "\"bad\""),
            ("name: a\nmatch: [{pod: a}]\nlearn: {quiet_for: soon}\n", "3:20: ", "quiet_for"),
            ("name: a\nmatch: [{pod: a}]\nallow: [read]\nextends: [b]\n", "4:10: ", "the name of one policy"),
            ("name: a\nmatch: [{pod: a}]\nallow: read\n", "3:8: ", "did you mean [read]?"),
            ("name: a\nmatch: [{pod: a}]\nallow:\n", "", "allow has no value"),
            ("name: a\nmatch: [{pod: 7}]\nallow: [read]\n", "2:15: ", "did you mean \"7\"?"),
        ] {
            let error = spec(yaml).unwrap_err();
            assert!(error.contains(at) && error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_policy_that_expects_nothing_is_refused() {
        let error = |yaml| spec(yaml).unwrap_err();
        assert!(error("name: a\nmatch: [{pod: a}]\ndeny: [ptrace]\n").contains("allows no calls"));
        assert!(spec("name: a\nmatch: [{pod: a}]\nextends: b\ndeny: [ptrace]\n").is_ok(), "it allows what b does");
        let exception = "name: a\nmatch: [{pod: a}]\nallow: [read]\nexceptions: [{match: [{pod: a}], allow: []}]\n";
        assert!(error(exception).contains("an exception requires allow"));
        assert!(error("name: a\nmatch: [{pod: a}]\nlearn: {at_least: 0s}\n").contains("learn.at_least"));
        let short = error("name: a\nmatch: [{pod: a}]\nlearn: {at_most: 30m}\n");
        assert!(short.contains("learn.at_most must not be shorter than learn.quiet_for"), "{short}");
    }
}
