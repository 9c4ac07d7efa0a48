//! A rule of a profile, and its conditions.

use serde::Deserialize;

use super::{
    Decision,
    architecture::ARCHITECTURES,
    comparison::Comparison,
    decision::{Action, ENOSYS},
    document::{errno, errno_fits, or_default},
};
use crate::syscalls::runtime_default::CAPABILITIES;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) names: Vec<String>,
    /// One name, in older profiles of Docker.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
    pub(super) action: Action,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) args: Vec<Comparison>,
    #[serde(default, deserialize_with = "or_default")]
    includes: Condition,
    #[serde(default, deserialize_with = "or_default")]
    excludes: Condition,
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

impl Rule {
    /// Whether the rule applies to a container with the usual capabilities, on a kernel that syscallmon supports.
    pub(super) fn applies(&self, native: &str) -> bool {
        let has_cap = |cap: &String| CAPABILITIES.contains(&cap.as_str());
        let is_here = |arch: &String| ARCHITECTURES.iter().any(|known| known.docker == arch && known.abi == native);
        let Condition { caps, arches, .. } = &self.includes;
        let included = caps.iter().all(has_cap) && (arches.is_empty() || arches.iter().any(is_here));
        let Condition { caps, arches, min_kernel } = &self.excludes;
        included && !caps.iter().any(has_cap) && !arches.iter().any(is_here) && min_kernel.is_none()
    }

    /// Whether the rule has no comparisons.
    pub(super) fn is_for_all_arguments(&self) -> bool {
        self.args.is_empty()
    }

    /// Whether the rule matches a call with these arguments. `bits` are the bits of arguments that are compared. If
    /// `is_operation`, libseccomp compares the first argument with the number of the operation instead.
    pub(super) fn matches(&self, args: &[u64; 6], bits: u64, is_operation: bool) -> bool {
        let holds = |of: &Comparison| (is_operation && of.index == 0) || of.holds(args, bits);
        let compares_twice = |index| self.args.iter().filter(|of| of.index == index).count() > 1;
        // runc and crun then make a rule of each comparison.
        let is_split = (0..6).any(compares_twice);
        if is_split { self.args.iter().any(holds) } else { self.args.iter().all(holds) }
    }

    /// Returns these arguments with the values that the rule requires.
    pub(super) fn matching(&self, args: [u64; 6]) -> [u64; 6] {
        self.args.iter().fold(args, |args, comparison| comparison.required(args))
    }

    /// Whether programs may try the call.
    pub(super) fn may_try(&self) -> bool {
        self.action.allows() || self.decision() == Decision::Errno(ENOSYS)
    }

    pub(super) fn decision(&self) -> Decision {
        self.action.decision(errno(self.errno_ret))
    }

    pub(super) fn has_conditions(&self) -> bool {
        self.includes != Condition::default() || self.excludes != Condition::default()
    }

    /// Returns why runtimes would refuse it.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let index_fits = |comparison: &Comparison| comparison.index < 6;
        if self.names.is_empty() == self.name.is_empty() {
            Some("needs either names or name")
        } else if !errno_fits(self.action, self.errno_ret) {
            Some("has an errnoRet without the action SCMP_ACT_ERRNO or SCMP_ACT_TRACE, or one above 4095")
        } else if !self.args.iter().all(index_fits) {
            Some("compares an argument that does not exist: the last index is 5")
        } else {
            None
        }
    }
}
