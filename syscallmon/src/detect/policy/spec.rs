//! A policy as it is written: one item of `policies:`.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::detect::{Entry, FileSize, MAX_EXPRESSIONS, MAX_POLICIES, Match, Severity};

/// The name of the policy that is built in.
pub const BUILT_IN: &str = "runtime-default";

/// A policy as it is written. What it says is checked, but not yet that it fits the others.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// What violations call it.
    pub name: PolicyName,
    /// Whom it is for.
    #[serde(rename = "match")]
    pub selects: Match,
    /// How bad an unexpected call is.
    #[serde(default)]
    pub severity: Severity,
    /// Calls that are expected; without ABI, those of the architecture's own.
    #[serde(default)]
    pub allow: Vec<Entry>,
    /// Seccomp profiles; what they allow is expected, too. Relative to the file that the policy is in.
    #[serde(default)]
    pub seccomp: Vec<PathBuf>,
    /// Calls that are unexpected although they are allowed or were learned; without ABI, in every one.
    #[serde(default)]
    pub deny: Vec<Entry>,
    /// Calls that are critical when they are unexpected; without ABI, in every one. A policy that learns, and names
    /// none, has the built-in policy's.
    #[serde(default)]
    pub critical: Option<Vec<Entry>>,
    /// What some of its workloads may besides.
    #[serde(default)]
    pub exceptions: Vec<ExceptionSpec>,
    /// Whether and how long its workloads' calls are learned.
    #[serde(default)]
    pub learn: Option<Learn>,
}

/// What some of a policy's workloads may besides.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionSpec {
    /// Which ones.
    #[serde(rename = "match")]
    pub selects: Match,
    /// What they may, also where the policy denies it.
    pub allow: Vec<Entry>,
}

/// How calls are learned: for at least a time, until there was no new one for a time, and never longer than
/// a third time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learn {
    /// How long there must have been no new call.
    #[serde(with = "humantime_serde")]
    pub quiet_for: Duration,
    /// How long it takes at least.
    #[serde(with = "humantime_serde")]
    pub at_least: Duration,
    /// How long it takes at most, also where new calls go on to appear.
    #[serde(with = "humantime_serde")]
    pub at_most: Duration,
}

impl Default for Learn {
    fn default() -> Self {
        Self {
            quiet_for: Duration::from_hours(1),
            at_least: Duration::from_mins(10),
            at_most: Duration::from_hours(7 * 24),
        }
    }
}

/// Longest name of a policy.
const LONGEST_NAME: usize = 63;

/// The name of a policy: lower-case letters, digits and `-`, as names in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PolicyName(Arc<str>);

impl PolicyName {
    /// The text.
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

/// Why a policy cannot be, although it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It says nothing of what is expected.
    #[error("policy {name}: allows no calls: set allow, seccomp or learn (allow: [\"*:*\"] if only deny is required)")]
    ExpectsNothing {
        /// Its name.
        name: PolicyName,
    },
    /// An exception that is none.
    #[error("policy {name}: an exception requires allow")]
    EmptyException {
        /// Its name.
        name: PolicyName,
    },
    /// Times of learning that cannot be.
    #[error("policy {name}: learn.{key} is out of range: expected 1s to 365days")]
    Learn {
        /// Its name.
        name: PolicyName,
        /// Which one.
        key: &'static str,
    },
    /// The longest time of learning ends before the others.
    #[error("policy {name}: learn.at_most must not be shorter than learn.{key}")]
    LearnsTooShort {
        /// Its name.
        name: PolicyName,
        /// Which one.
        key: &'static str,
    },
    /// All files together have too much, and its file has the most.
    #[error(
        "has {} policies and {} KiB of compiled regular expressions, the most of all files, which together have more than {MAX_POLICIES} or \
         {} KiB: needs fewer or simpler ones",
        .0.policies, .0.expressions / 1024, MAX_EXPRESSIONS / 1024
    )]
    LargestFile(FileSize),
    /// Another policy has its name.
    #[error("policy {name}: another policy in {other} has the same name")]
    Duplicate {
        /// Its name.
        name: PolicyName,
        /// Where the other one is from.
        other: Arc<str>,
    },
}

impl PolicySpec {
    /// Bytes of its compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        self.selects.memory() + self.exceptions.iter().map(|exception| exception.selects.memory()).sum::<usize>()
    }

    /// Checks what the types do not.
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
