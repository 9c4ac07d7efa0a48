//! All policies, in the order in which they are asked.

use std::sync::Arc;

use super::{BUILT_IN, Policy, PolicyError, PolicySpec, Profile, Severity, Unexpected};
use crate::{
    syscalls::{CallId, CallTable, IO_URING, runtime_default},
    workload::{Label, Labels},
};

/// The policy that is there where nothing is configured, as it could be written in a file.
const BUILT_IN_YAML: &str = include_str!("runtime_default.yaml");

/// Where the built-in policy is from.
const BUILT_IN_ORIGIN: &str = "built in";

/// A policy that was read, and from where.
#[derive(Debug)]
pub struct Source {
    /// The policy.
    pub spec: PolicySpec,
    /// The seccomp profiles that it names.
    pub profiles: Vec<Profile>,
    /// The file that it was read from.
    pub origin: Arc<str>,
}

/// A list of policies, as files have it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyList {
    /// In their order.
    pub policies: Vec<PolicySpec>,
}

/// All policies: a workload has the first one that selects it, or none.
#[derive(Debug, Default, PartialEq)]
pub struct Policies {
    policies: Vec<Arc<Policy>>,
    /// By [`CallId`].
    runtime_default: Vec<bool>,
}

impl Policies {
    /// These, and after them the built-in one, if it is wanted and none of them has its name.
    ///
    /// # Errors
    ///
    /// All that is wrong with any of them.
    pub fn new(sources: Vec<Source>, built_in: bool, table: &CallTable) -> Result<Self, Vec<(Arc<str>, PolicyError)>> {
        let mut policies: Vec<Arc<Policy>> = Vec::new();
        let mut errors = Vec::new();
        let replaced = sources.iter().any(|source| source.spec.name.text().as_ref() == BUILT_IN);
        for Source { spec, profiles, origin } in
            sources.into_iter().chain((built_in && !replaced).then(built_in_source))
        {
            let name = spec.name.clone();
            let other = policies.iter().find(|policy| policy.name() == name.text());
            let policy = match other {
                Some(other) => Err(PolicyError::Duplicate { name, other: Arc::clone(other.origin()) }),
                None => Policy::new(spec, &profiles, Arc::clone(&origin), table),
            };
            match policy {
                Ok(policy) => policies.push(Arc::new(policy)),
                Err(error) => errors.push((origin, error)),
            }
        }
        if errors.is_empty() { Ok(Self { policies, runtime_default: runtime_default(table) }) } else { Err(errors) }
    }

    /// The policy of a workload of which this is known.
    #[must_use]
    pub fn of(&self, about: &Labels) -> Option<&Arc<Policy>> {
        self.policies.iter().find(|policy| policy.selects(about))
    }

    /// What is wrong with a call of which nobody knows whose it is: whether a container's would be critical, by the built-in policy, or by any
    /// where that is off.
    #[must_use]
    pub fn judge_unattributed(&self, call: CallId) -> Option<(&Arc<Policy>, Unexpected)> {
        let built_in = self.policies.iter().find(|policy| policy.name().as_ref() == BUILT_IN);
        let judged_by = built_in.map_or(&self.policies[..], std::slice::from_ref);
        let mut judged = judged_by.iter().filter_map(|policy| {
            let unexpected = policy.judge(&Labels::default(), call, None)?;
            Some((policy, unexpected))
        });
        judged.find(|(_, unexpected)| unexpected.severity == Severity::Critical)
    }

    /// How bad a call may be, of some workload; `None` where all policies expect it.
    #[must_use]
    pub fn worst_severity(&self, call: CallId) -> Option<Severity> {
        let judged = self.policies.iter().filter_map(|policy| policy.judge(&Labels::default(), call, None));
        judged.map(|unexpected| unexpected.severity).max()
    }

    /// All of them, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.policies.iter()
    }

    /// Whether which policy a workload has, or what it may, depends on this label.
    #[must_use]
    pub fn look_at(&self, label: Label) -> bool {
        self.policies.iter().any(|policy| policy.labels().any(|looked_at| looked_at == label))
    }

    /// Whether the default seccomp profile of container runtimes lets a container make a call; 32-bit ones, too, as it does.
    #[must_use]
    pub fn runtime_default_allows(&self, call: CallId) -> bool {
        self.runtime_default.get(usize::from(call.0)).copied().unwrap_or(false)
    }
}

fn built_in_source() -> Source {
    let list: PolicyList = serde_saphyr::from_str(BUILT_IN_YAML).expect("the built-in policy can be read");
    let spec = list.policies.into_iter().next().expect("the built-in policy is there");
    Source { spec, profiles: Vec::new(), origin: BUILT_IN_ORIGIN.into() }
}

/// What the runtimes' profile lets through. No operation of io_uring: it denies `io_uring_setup`.
fn runtime_default(table: &CallTable) -> Vec<bool> {
    table.iter().map(|(_, call)| call.abi != IO_URING && runtime_default::allows(call.syscall)).collect()
}
