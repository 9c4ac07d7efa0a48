//! A policy as written: an item of `policies:`.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::detect::{FileSize, MAX_EXPRESSIONS, MAX_POLICIES, Match, PolicyEntry, Severity};

/// The name of the policy that is built in.
pub const BUILT_IN: &str = "runtime-default";

/// A policy as written. Its parts are valid, but not yet checked against each other and against other policies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// Its name, which violations have.
    pub name: PolicyName,
    /// Workloads that it selects.
    #[serde(rename = "match")]
    pub selects: Match,
    /// Severity of unexpected calls.
    #[serde(default)]
    pub severity: Severity,
    /// Expected calls. An item without an ABI means the architecture's own.
    #[serde(default)]
    pub allow: Vec<PolicyEntry>,
    /// Seccomp profiles with further expected calls. Paths are relative to the file of the policy.
    #[serde(default)]
    pub seccomp: Vec<PathBuf>,
    /// Calls that are unexpected even if allowed or learned. An item without an ABI means every ABI.
    #[serde(default)]
    pub deny: Vec<PolicyEntry>,
    /// Calls that are critical if unexpected. An item without an ABI means every ABI. A learning policy without this
    /// list has the built-in policy's.
    #[serde(default)]
    pub critical: Option<Vec<PolicyEntry>>,
    /// Exceptions for some of its workloads.
    #[serde(default)]
    pub exceptions: Vec<ExceptionSpec>,
    /// Whether and how long calls are learned.
    #[serde(default)]
    pub learn: Option<Learn>,
}

/// An exception for some workloads of a policy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionSpec {
    /// The workloads.
    #[serde(rename = "match")]
    pub selects: Match,
    /// Calls that they may make, even if the policy denies them.
    pub allow: Vec<PolicyEntry>,
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
            Err(format!(
                "{name:?} is not a policy name: expected at most {LONGEST_NAME} of a-z, 0-9 and -, no - at the ends"
            ))
        }
    }
}

/// Why a parsed policy is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It neither lists expected calls nor learns.
    #[error("policy {name}: allows no calls: set allow, seccomp or learn (allow: [\"*:*\"] if only deny is required)")]
    ExpectsNothing {
        /// Its name.
        name: PolicyName,
    },
    /// An exception is not valid.
    #[error("policy {name}: an exception requires allow")]
    EmptyException {
        /// Its name.
        name: PolicyName,
    },
    /// Times of learning are not valid.
    #[error("policy {name}: learn.{key} is out of range: expected 1s to 365days")]
    Learn {
        /// Its name.
        name: PolicyName,
        /// The setting.
        key: &'static str,
    },
    /// The maximum time of learning is shorter than the others.
    #[error("policy {name}: learn.at_most must not be shorter than learn.{key}")]
    LearnsTooShort {
        /// Its name.
        name: PolicyName,
        /// The setting.
        key: &'static str,
    },
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
}

impl PolicySpec {
    /// Returns the bytes of its compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        self.selects.memory() + self.exceptions.iter().map(|exception| exception.selects.memory()).sum::<usize>()
    }

    /// Checks rules that types do not express.
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let name = || self.name.clone();
        if self.allow.is_empty() && self.seccomp.is_empty() && self.learn.is_none() {
            return Err(PolicyError::ExpectsNothing { name: name() });
        }
        if self.exceptions.iter().any(|exception| exception.allow.is_empty()) {
            return Err(PolicyError::EmptyException { name: name() });
        }
        if let Some(Learn { quiet_for, at_least, at_most }) = self.learn {
            let range = Duration::from_secs(1)..=Duration::from_hours(365 * 24);
            let keys = [("quiet_for", quiet_for), ("at_least", at_least), ("at_most", at_most)];
            if let Some((key, _)) = keys.into_iter().find(|(_, duration)| !range.contains(duration)) {
                return Err(PolicyError::Learn { name: name(), key });
            }
            if let Some((key, _)) = keys.into_iter().find(|(_, duration)| *duration > at_most) {
                return Err(PolicyError::LearnsTooShort { name: name(), key });
            }
        }
        Ok(())
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
            "name: web\nmatch: ['namespace=\"shop\"', {container: 'web-*'}]\nseverity: info\nallow: ['@runtime-default', 'io_uring:*']\n\
             seccomp: [web.json]\ndeny: [ptrace]\ncritical: ['@module']\nexceptions: [{match: [{pod: a}], allow: [mount]}]\n\
             learn: {quiet_for: 2h}\n",
        )
        .unwrap();
        assert_eq!((spec.name.text().as_ref(), spec.severity), ("web", Severity::Info));
        assert_eq!((spec.allow.len(), spec.deny.len(), spec.exceptions.len()), (2, 1, 1));
        assert_eq!(spec.critical.as_ref().map(Vec::len), Some(1));
        let learn = Learn { quiet_for: Duration::from_hours(2), ..Learn::default() };
        assert_eq!(spec.learn, Some(learn));
        assert_eq!(spec.check(), Ok(()));
    }

    #[test]
    fn mistakes_are_refused_with_their_line() {
        for (yaml, line, expected) in [
            ("name: a\nmatch: [{pod: a}]\nalow: []\n", "line 3", "alow"),
            ("name: a\nmatch: [{pod: a}]\nallow: [openat,\n  opennat]\n", "line 4", "did you mean openat?"),
            ("name: a\nmatch:\n  - {pod: a}\n  - {pot: a}\nallow: []\n", "line 4", "\"pot\" is not a workload label"),
            ("name: A\nmatch: [{pod: a}]\nallow: []\n", "line 1", "\"A\" is not a policy name"),
            ("name: a\nmatch: [{pod: a}]\nseverity: bad\n", "line 3", "bad"),
            ("name: a\nmatch: [{pod: a}]\nlearn: {quiet_for: soon}\n", "line 3", ""),
        ] {
            let error = spec(yaml).unwrap_err();
            assert!(error.contains(line) && error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_policy_that_expects_nothing_is_refused() {
        let check = |yaml| spec(yaml).unwrap().check().unwrap_err().to_string();
        assert!(check("name: a\nmatch: [{pod: a}]\ndeny: [ptrace]\n").contains("allows no calls"));
        let exception = "name: a\nmatch: [{pod: a}]\nallow: [read]\nexceptions: [{match: [{pod: a}], allow: []}]\n";
        assert!(check(exception).contains("an exception requires allow"));
        assert!(check("name: a\nmatch: [{pod: a}]\nlearn: {at_least: 0s}\n").contains("learn.at_least"));
        let short = check("name: a\nmatch: [{pod: a}]\nlearn: {at_most: 30m}\n");
        assert!(short.contains("learn.at_most must not be shorter than learn.quiet_for"), "{short}");
    }
}
