//! All policies, in order of precedence.

use std::{collections::BTreeSet, sync::Arc};

use super::resolve;
use crate::{
    detect::{
        BUILT_IN, DeclaredPolicy, FileSize, Policy, PolicyError, PolicyItem, PolicySpec, Position, Reason, Severity,
        Unexpected, file_to_refuse,
    },
    seccomp::Profile,
    syscalls::{CallId, CallTable, IO_URING, runtime_default},
    workload::{Label, Labels},
};

/// The built-in policy, as it could be written in a file.
pub const BUILT_IN_YAML: &str = include_str!("runtime_default.yaml");

/// Origin of the built-in policy.
pub(in crate::detect) const BUILT_IN_ORIGIN: &str = "built in";

/// A policy with its origin.
#[derive(Debug)]
pub struct Source {
    /// The policy.
    pub spec: PolicySpec,
    /// Seccomp profiles that it names.
    pub profiles: Vec<Profile>,
    /// Its file.
    pub origin: Arc<str>,
}

/// The policies of one file.
#[derive(Debug)]
pub struct PolicyFile {
    /// The file.
    pub origin: Arc<str>,
    /// Valid policies.
    pub sources: Vec<Source>,
    /// Policies with a mistake.
    pub invalid: Vec<DeclaredPolicy>,
    /// Whether the valid ones are all of them.
    pub is_whole: bool,
}

/// Why a policy is not in force, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMistake {
    /// Its file.
    pub origin: Arc<str>,
    /// Its position; `None` for a whole file.
    pub at: Option<Position>,
    /// The reason.
    pub error: PolicyError,
}

/// A list of policies, as in a file.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyList {
    /// In order.
    pub policies: Vec<PolicySpec>,
}

/// All policies. A workload has the first one that selects it, or none.
#[derive(Debug, Default, PartialEq)]
pub struct Policies {
    ordered: Vec<Arc<Policy>>,
    /// Judges workloads of learning policies without a baseline.
    fallback: Option<Arc<Policy>>,
    /// Whether calls of container init may look like the container's own.
    mixes_container_init: bool,
    /// The built-in policy, also if it is not used.
    built_in: Option<Arc<Policy>>,
    /// By [`CallId`].
    runtime_default: Vec<bool>,
}

impl PolicyFile {
    /// Returns the size of its policies.
    #[must_use]
    pub fn size(&self) -> FileSize {
        self.sources.iter().map(|source| FileSize { policies: 1, expressions: source.spec.memory() }).sum()
    }

    /// Removes its policies. Those from before may stay in force.
    pub fn refuse(&mut self) {
        self.invalid.extend(self.sources.drain(..).map(|source| source.spec.declared()));
        self.is_whole = false;
    }
}

impl Policies {
    /// Returns these policies, followed by the built-in one if it is used and no other has its name.
    ///
    /// # Errors
    ///
    /// Contains all problems.
    pub fn new(sources: Vec<Source>, built_in: bool, table: &CallTable) -> Result<Self, Vec<PolicyMistake>> {
        let files = sources.into_iter().map(|source| PolicyFile {
            origin: Arc::clone(&source.origin),
            sources: vec![source],
            invalid: Vec::new(),
            is_whole: true,
        });
        let (policies, mistakes) = Self::from_files(files, built_in, &Self::default(), table);
        if mistakes.is_empty() { Ok(policies) } else { Err(mistakes) }
    }

    /// Returns the policies of these files, followed by the built-in one if it is used and no other has its name; and
    /// the problems.
    ///
    /// A file with a problem keeps its policies in `before`. Without those, its valid policies are used. If all
    /// together exceed a limit, the largest file has none.
    #[must_use]
    pub fn from_files(
        files: impl IntoIterator<Item = PolicyFile>,
        built_in: bool,
        before: &Self,
        table: &CallTable,
    ) -> (Self, Vec<PolicyMistake>) {
        let (resolved, mut mistakes) = resolve::resolve(files, before);
        let the_built_in = Arc::new(Policy::new(built_in_source(), None, &[], table));
        let ordered = resolve::compile(resolved, &the_built_in, table);
        let mut policies = Self { ordered, runtime_default: runtime_default(table), ..Self::default() };
        mistakes.extend(policies.refuse_largest_files());
        if built_in && policies.named(BUILT_IN).is_none() {
            policies.ordered.push(Arc::clone(&the_built_in));
        }
        let fallback = policies.named(BUILT_IN).filter(|policy| policy.learn().is_none()).cloned();
        policies.fallback = Some(fallback.unwrap_or_else(|| Arc::clone(&the_built_in)));
        policies.built_in = Some(the_built_in);
        (policies, mistakes)
    }

    /// Removes policies until the rest is within the limits. Policies that stay from before count, too. So do policies
    /// that others extend, for the file of the first one.
    fn refuse_largest_files(&mut self) -> Vec<PolicyMistake> {
        let mut sizes: Vec<(Arc<str>, FileSize)> = Vec::new();
        let mut extended: BTreeSet<*const Policy> = self.ordered.iter().map(Arc::as_ptr).collect();
        for policy in &self.ordered {
            let only_extended = policy.ancestors().filter(|ancestor| extended.insert(Arc::as_ptr(ancestor)));
            let expressions = policy.memory() + only_extended.map(|ancestor| ancestor.memory()).sum::<usize>();
            let size = FileSize { policies: 1, expressions };
            match sizes.iter_mut().find(|(origin, _)| *origin == policy.origin) {
                Some((_, sum)) => *sum = [*sum, size].into_iter().sum(),
                None => sizes.push((Arc::clone(&policy.origin), size)),
            }
        }
        let (mut origins, mut sizes): (Vec<_>, Vec<_>) = sizes.into_iter().unzip();
        let mut refused = Vec::new();
        while let Some(at) = file_to_refuse(&sizes) {
            let (origin, size) = (origins.remove(at), sizes.remove(at));
            refused.extend(self.refuse(&origin));
            refused.push(PolicyMistake { origin, at: None, error: PolicyError::LargestFile(size) });
        }
        refused
    }

    /// Removes the policies of a file, and those of other files that extend one of them.
    fn refuse(&mut self, refused: &Arc<str>) -> Vec<PolicyMistake> {
        let mut mistakes = Vec::new();
        self.ordered.retain(|policy| {
            let is_its = policy.origin == *refused;
            if !is_its && policy.ancestors().any(|ancestor| ancestor.origin == *refused) {
                mistakes.extend(policy.spec.extends.as_ref().map(|extends| PolicyMistake {
                    origin: Arc::clone(&policy.origin),
                    at: Some(extends.at),
                    error: PolicyError::InvalidParent { name: policy.spec.name.clone(), parent: extends.name.clone() },
                }));
                return false;
            }
            !is_its
        });
        mistakes
    }

    fn named(&self, name: &str) -> Option<&Arc<Policy>> {
        self.ordered.iter().find(|policy| **policy.name() == *name)
    }

    /// Does the same on hosts where calls of container init are not distinguished. Calls that runtimes make at every
    /// start are not judged there, unless a policy lists them.
    #[must_use]
    pub fn mixing_container_init(self) -> Self {
        Self { fallback: None, mixes_container_init: true, ..self }
    }

    /// Returns why a call is unexpected while its workload learns. `learned` are the learned calls.
    #[must_use]
    pub fn judge_while_learning(
        &self,
        policy: &Policy,
        metadata: &Labels,
        call: CallId,
        learned: &BTreeSet<CallId>,
    ) -> Option<Unexpected> {
        let unexpected = policy.judge_while_learning(metadata, call, learned);
        unexpected.filter(|unexpected| !self.mixes_container_init || unexpected.reason == Reason::DenyList)
    }

    /// Judges a workload of a learning policy without a baseline: it has no name, or there is no room. Also returns the
    /// name of the policy that decided: the workload's own, or the built-in one.
    #[must_use]
    pub fn judge_unlearned(&self, policy: &Policy, metadata: &Labels, call: CallId) -> Option<(Unexpected, Arc<str>)> {
        policy.judge_unlearned(metadata, call, self.fallback.as_deref())
    }

    /// Returns the policy of a workload with these metadata.
    #[must_use]
    pub fn of(&self, metadata: &Labels) -> Option<&Arc<Policy>> {
        self.ordered.iter().find(|policy| policy.selects(metadata))
    }

    /// Whether a policy with this name is in force and learns.
    #[must_use]
    pub fn learns(&self, name: &str) -> bool {
        self.ordered.iter().any(|policy| policy.name().as_ref() == name && policy.learn().is_some())
    }

    /// Judges a call of an unknown cgroup: whether it would be critical for a container, by the built-in policy, or by
    /// any policy if that is off.
    #[must_use]
    pub fn judge_unattributed(&self, call: CallId) -> Option<(&Arc<Policy>, Unexpected)> {
        let built_in = self.ordered.iter().find(|policy| policy.name().as_ref() == BUILT_IN);
        let judged_by = built_in.map_or(&self.ordered[..], std::slice::from_ref);
        let mut judged = judged_by.iter().filter_map(|policy| {
            let unexpected = policy.judge(&Labels::default(), call, None)?;
            Some((policy, unexpected))
        });
        judged.find(|(_, unexpected)| unexpected.severity == Severity::Critical)
    }

    /// Returns the highest severity of a call for some workload; `None` if all policies expect it.
    #[must_use]
    pub fn worst_severity(&self, call: CallId) -> Option<Severity> {
        let judged = self.ordered.iter().filter_map(|policy| policy.judge(&Labels::default(), call, None));
        judged.map(|unexpected| unexpected.severity).max()
    }

    /// Returns the built-in policy, also if it is not used. Its critical calls are those of policies without a list.
    #[must_use]
    pub fn built_in(&self) -> Option<&Policy> {
        self.built_in.as_deref()
    }

    /// Returns all policies, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.ordered.iter()
    }

    /// Whether a workload's policy or its exceptions depend on this label.
    #[must_use]
    pub fn look_at(&self, label: Label) -> bool {
        self.ordered.iter().any(|policy| policy.labels().any(|looked_at| looked_at == label))
    }

    /// Whether the default seccomp profile of container runtimes allows a call, including 32-bit calls.
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

/// Returns the critical calls of a policy that extends none and has no list of its own.
pub(super) fn default_critical() -> Vec<PolicyItem> {
    built_in_source().spec.critical.unwrap_or_default()
}

/// Returns the calls that this profile allows. Operations of io_uring are not among them, because it denies
/// `io_uring_setup`.
fn runtime_default(table: &CallTable) -> Vec<bool> {
    table.all().map(|(_, call)| call.abi != IO_URING && runtime_default::allows(call.syscall)).collect()
}
