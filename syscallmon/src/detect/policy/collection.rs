//! All policies, in the order in which they are asked.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    detect::{
        BUILT_IN, Entry, FileSize, Policy, PolicyError, PolicySpec, Profile, Reason, Severity, Unexpected,
        file_to_refuse,
    },
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

/// The policies of one file.
#[derive(Debug)]
pub struct PolicyFile {
    /// The file.
    pub origin: Arc<str>,
    /// Those that could be read.
    pub sources: Vec<Source>,
    /// Whether these are all of them.
    pub is_whole: bool,
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
    ordered: Vec<Arc<Policy>>,
    /// Judges workloads that should be learned, and have no baseline.
    fallback: Option<Arc<Policy>>,
    /// Whether calls that a runtime makes to set a container up may look like the container's own.
    mixes_container_init: bool,
    /// By [`CallId`].
    runtime_default: Vec<bool>,
}

impl PolicyFile {
    /// What its policies take.
    #[must_use]
    pub fn size(&self) -> FileSize {
        self.sources.iter().map(|source| FileSize { policies: 1, expressions: source.spec.memory() }).sum()
    }

    /// Takes its policies away; those that it had before may stay in force.
    pub fn refuse(&mut self) {
        self.sources.clear();
        self.is_whole = false;
    }
}

impl Policies {
    /// These, and after them the built-in one, if it is wanted and none of them has its name.
    ///
    /// # Errors
    ///
    /// All that is wrong with any of them.
    pub fn new(sources: Vec<Source>, built_in: bool, table: &CallTable) -> Result<Self, Vec<(Arc<str>, PolicyError)>> {
        let is_whole = true;
        let files = sources.into_iter().map(|source| PolicyFile {
            origin: Arc::clone(&source.origin),
            sources: vec![source],
            is_whole,
        });
        let (policies, errors) = Self::from_files(files, built_in, &Self::default(), table);
        if errors.is_empty() { Ok(policies) } else { Err(errors) }
    }

    /// The policies of these files, and after them the built-in one, if it is wanted and none of them has its name; and
    /// what is wrong.
    ///
    /// Where something is wrong with a file, its policies in `before` stay. Without such, those that are right are
    /// taken. Where all together are too many, the largest file has none.
    #[must_use]
    pub fn from_files(
        files: impl IntoIterator<Item = PolicyFile>,
        built_in: bool,
        before: &Self,
        table: &CallTable,
    ) -> (Self, Vec<(Arc<str>, PolicyError)>) {
        let mut policies = Self {
            ordered: Vec::new(),
            fallback: None,
            mixes_container_init: false,
            runtime_default: runtime_default(table),
        };
        let critical = built_in_source().spec.critical.unwrap_or_default();
        let mut errors = Vec::new();
        for PolicyFile { origin, sources, is_whole } in files {
            let (read, wrong) = policies.compile(sources, &critical, table);
            let is_whole = is_whole && wrong.is_empty();
            errors.extend(wrong.into_iter().map(|error| (Arc::clone(&origin), error)));
            let mut older = before.ordered.iter().filter(|policy| *policy.origin() == origin).peekable();
            if is_whole || older.peek().is_none() {
                policies.ordered.extend(read);
            } else {
                older.for_each(|policy| policies.keep(policy));
            }
        }
        errors.extend(policies.refuse_largest_files());
        if built_in && policies.named(BUILT_IN).is_none() {
            let (built_in, _) = policies.compile(vec![built_in_source()], &critical, table);
            policies.ordered.extend(built_in);
        }
        let fallback = policies.named(BUILT_IN).filter(|policy| policy.learn().is_none()).cloned();
        policies.fallback = fallback.or_else(|| Policy::new(built_in_source(), &[], table).ok().map(Arc::new));
        (policies, errors)
    }

    /// Those that can follow the ones that are there, and what is wrong with the others.
    fn compile(
        &self,
        sources: Vec<Source>,
        critical: &[Entry],
        table: &CallTable,
    ) -> (Vec<Arc<Policy>>, Vec<PolicyError>) {
        let mut read: Vec<Arc<Policy>> = Vec::new();
        let mut wrong = Vec::new();
        for source in sources {
            let name = source.spec.name.clone();
            let other = self.ordered.iter().chain(&read).find(|policy| policy.name() == name.text());
            let policy = match other {
                Some(other) => Err(PolicyError::Duplicate { name, other: Arc::clone(other.origin()) }),
                None => Policy::new(source, critical, table),
            };
            match policy {
                Ok(policy) => read.push(Arc::new(policy)),
                Err(error) => wrong.push(error),
            }
        }
        (read, wrong)
    }

    /// Adds a policy that was in force before, unless another one has taken its name.
    fn keep(&mut self, policy: &Arc<Policy>) {
        if self.named(policy.name()).is_none() {
            self.ordered.push(Arc::clone(policy));
        }
    }

    /// Drops policies until the rest is no more than there may be. What stays in force from before counts, too.
    fn refuse_largest_files(&mut self) -> Vec<(Arc<str>, PolicyError)> {
        let mut sizes: Vec<(Arc<str>, FileSize)> = Vec::new();
        for policy in &self.ordered {
            let size = FileSize { policies: 1, expressions: policy.memory() };
            match sizes.iter_mut().find(|(origin, _)| origin == policy.origin()) {
                Some((_, sum)) => *sum = [*sum, size].into_iter().sum(),
                None => sizes.push((Arc::clone(policy.origin()), size)),
            }
        }
        let (mut origins, mut sizes): (Vec<_>, Vec<_>) = sizes.into_iter().unzip();
        let mut refused = Vec::new();
        while let Some(at) = file_to_refuse(&sizes) {
            let (origin, size) = (origins.remove(at), sizes.remove(at));
            self.ordered.retain(|policy| *policy.origin() != origin);
            refused.push((origin, PolicyError::LargestFile(size)));
        }
        refused
    }

    fn named(&self, name: &str) -> Option<&Arc<Policy>> {
        self.ordered.iter().find(|policy| **policy.name() == *name)
    }

    /// The same where calls that runtimes make to set containers up are not told apart: nothing is judged then that
    /// they make at every start, unless a policy lists it.
    #[must_use]
    pub fn mixing_container_init(self) -> Self {
        Self { fallback: None, mixes_container_init: true, ..self }
    }

    /// What is unexpected of a workload while its calls are learned; `learned` are those that were.
    #[must_use]
    pub fn judge_while_learning(
        &self,
        policy: &Policy,
        metadata: &Labels,
        call: CallId,
        learned: &BTreeSet<CallId>,
    ) -> Option<Unexpected> {
        let unexpected = policy.judge_while_learning(metadata, call, learned);
        unexpected.filter(|unexpected| !self.mixes_container_init || unexpected.reason == Reason::Denied)
    }

    /// Judges a workload of a learning policy that has no baseline: it has no name, or there is no room. And the name
    /// of the policy that says so: the workload's own, or the built-in one.
    #[must_use]
    pub fn judge_unlearned(&self, policy: &Policy, metadata: &Labels, call: CallId) -> Option<(Unexpected, Arc<str>)> {
        policy.judge_unlearned(metadata, call, self.fallback.as_deref())
    }

    /// The policy of a workload of which this is known.
    #[must_use]
    pub fn of(&self, metadata: &Labels) -> Option<&Arc<Policy>> {
        self.ordered.iter().find(|policy| policy.selects(metadata))
    }

    /// Whether a policy of this name is in force, and learns.
    #[must_use]
    pub fn learns(&self, name: &str) -> bool {
        self.ordered.iter().any(|policy| policy.name().as_ref() == name && policy.learn().is_some())
    }

    /// Judges a call of an unknown cgroup: whether a container's would be critical, by the built-in policy, or by any
    /// where that is off.
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

    /// How bad a call may be, of some workload; `None` where all policies expect it.
    #[must_use]
    pub fn worst_severity(&self, call: CallId) -> Option<Severity> {
        let judged = self.ordered.iter().filter_map(|policy| policy.judge(&Labels::default(), call, None));
        judged.map(|unexpected| unexpected.severity).max()
    }

    /// All of them, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.ordered.iter()
    }

    /// Whether which policy a workload has, or what it may, depends on this label.
    #[must_use]
    pub fn look_at(&self, label: Label) -> bool {
        self.ordered.iter().any(|policy| policy.labels().any(|looked_at| looked_at == label))
    }

    /// Whether the default seccomp profile of container runtimes lets a container make a call; 32-bit ones, too,
    /// as it does.
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
