//! A call that nobody expected, with enough to act on.

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

/// A workload made a call, or tried to, that its policy does not expect. There is one for each (workload, policy, call,
/// ran or refused).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When it was made first.
    #[serde(serialize_with = "unix_seconds")]
    pub time: SystemTime,
    /// When it was last seen to have been made.
    #[serde(serialize_with = "unix_seconds")]
    pub last_seen: SystemTime,
    /// How often so far.
    pub count: u64,
    /// The workload, as the labels of its series name it.
    pub workload: Workload,
    /// All that is known of it: namespace, owner, pod, container, image, `container_id`, node, ...
    pub metadata: Labels,
    /// What was called.
    #[serde(flatten)]
    pub call: Call,
    /// The number within the ABI; absent where only the counters tell of the call, and it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Whether seccomp denied it; otherwise it ran.
    pub denied: bool,
    /// Who made it first; absent where only the counters tell of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Name of the policy.
    pub policy: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// Why it was not expected.
    pub reason: Reason,
    /// Whether the default seccomp profile of container runtimes allows it.
    pub runtime_default_allows: bool,
}

impl Violation {
    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let metadata: usize = self.metadata.iter().map(|(_, value)| value.len()).sum();
        // What it shares with others counts as well: it may be the last one that has it.
        size_of::<Self>() + metadata + self.process.as_ref().map_or(0, Process::bytes)
    }

    /// The tenant that it is of.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant::of(&self.workload, &self.metadata)
    }
}

/// A violation is new, or has been repeated.
#[derive(Clone, Debug)]
pub struct Notice {
    /// All that is known of it now.
    pub violation: Violation,
    /// Whether it was not there before; otherwise its count has grown.
    pub is_new: bool,
}

/// Why a call was not expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The policy's list of denied calls has it.
    Denied,
    /// No list of the policy's allows it.
    NotAllowed,
    /// It was not learned.
    NotLearned,
    /// Nothing of this ABI is allowed.
    Abi,
    /// Its ABI does not know the number.
    UnknownNumber,
}
