//! An unexpected call, with the facts that are needed to act on it.

use std::{sync::Arc, time::SystemTime};

use serde::Serialize;

use crate::{
    clock::unix_seconds,
    detect::Severity,
    fair_share::Tenant,
    process::Process,
    syscalls::Call,
    workload::{Labels, Workload},
};

/// A workload made or tried a call that its policy does not expect. There is one for each workload, policy, call, and
/// outcome (ran or denied).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When it was first made.
    #[serde(serialize_with = "unix_seconds")]
    pub time: SystemTime,
    /// When it was last seen.
    #[serde(serialize_with = "unix_seconds")]
    pub last_seen: SystemTime,
    /// Number of calls so far.
    pub count: u64,
    /// The workload, by the labels of its series.
    pub workload: Workload,
    /// All of its metadata: namespace, owner, pod, container, image, `container_id`, node, ...
    pub metadata: Labels,
    /// The call.
    #[serde(flatten)]
    pub call: Call,
    /// The number within the ABI; absent if only the counters reported an unknown call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Whether seccomp denied it.
    pub denied: bool,
    /// The process of the first call; absent if only the counters reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Name of the policy.
    pub policy: Arc<str>,
    /// Its severity.
    pub severity: Severity,
    /// The reason.
    pub reason: Reason,
    /// Whether the default seccomp profile of container runtimes allows it.
    pub runtime_default_allows: bool,
}

impl Violation {
    /// Returns its approximate memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let metadata: usize = self.metadata.iter().map(|(_, value)| value.len()).sum();
        // Shared parts count as well, because it may be their last owner.
        size_of::<Self>() + metadata + self.process.as_ref().map_or(0, Process::bytes)
    }

    /// Returns its tenant.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant::of(&self.workload, &self.metadata)
    }
}

/// A notice: a violation is new, or was repeated.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Current metadata of its workload.
    pub violation: Violation,
    /// Whether it is new; otherwise its count has grown.
    pub is_new: bool,
}

/// Why a call is unexpected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is in the `deny` list of the policy.
    DenyList,
    /// The policy does not allow it.
    NotAllowed,
    /// The baseline does not have it.
    NotLearned,
    /// The policy allows nothing of this ABI.
    Abi,
    /// The ABI does not have the number.
    UnknownNumber,
}
