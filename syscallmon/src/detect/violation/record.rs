//! An unexpected call, with the facts that are needed to act on it.

use std::{sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    clock::unix_seconds,
    detect::Severity,
    fair_share::Tenant,
    process::Process,
    stable_id::StableId,
    syscalls::Call,
    workload::{Labels, Workload},
};

/// A workload made or tried a call that its policy does not expect. There is one for each workload, policy, call, and
/// outcome (ran or denied).
///
/// As JSON, it begins with its [`id`](Self::id).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(remote = "Self")]
pub struct Violation {
    /// When it was first made.
    #[serde(rename = "first_seen", serialize_with = "unix_seconds")]
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
    /// Returns its id: the same for the same workload, policy, call and outcome, also after a restart. A workload that
    /// gets its name has another id.
    #[must_use]
    pub fn id(&self) -> StableId {
        let Self { workload, policy, call, denied, .. } = self;
        let outcome = if *denied { "denied" } else { "entered" };
        let labels = workload.labels().flat_map(|(label, value)| [label, value]);
        // What is of fixed number comes first, so the labels may be of any number.
        StableId::of("violation", [&**policy, call.abi, call.syscall, outcome].into_iter().chain(labels))
    }

    /// Returns the class of its call.
    #[must_use]
    pub fn class(&self) -> CallClass {
        let Self { call, denied, reason, .. } = self;
        if *denied {
            CallClass::Denied
        } else if call.is_native() && *reason != Reason::UnknownNumber {
            CallClass::Native
        } else {
            CallClass::Foreign(call.abi)
        }
    }

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

impl Serialize for Violation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Identified<'a> {
            id: StableId,
            #[serde(flatten, serialize_with = "Violation::serialize")]
            violation: &'a Violation,
        }
        Identified { id: self.id(), violation: self }.serialize(serializer)
    }
}

/// Calls with separate limits, because an attempt is free for an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallClass {
    /// Seccomp denied them.
    Denied,
    /// Calls of a foreign ABI, which the kernel may lack, or with unknown numbers.
    Foreign(&'static str),
    /// Calls of the architecture's own ABI.
    Native,
}

impl CallClass {
    /// Returns the order of importance, rising.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Denied => 0,
            Self::Foreign(_) => 1,
            Self::Native => 2,
        }
    }
}

/// Why a call is unexpected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;
    use crate::workload::Label;

    fn violation() -> Violation {
        let labels =
            [(Label::Namespace, "shop".into()), (Label::Pod, "web-1".into()), (Label::Container, "web".into())];
        Violation {
            time: SystemTime::UNIX_EPOCH,
            last_seen: SystemTime::UNIX_EPOCH,
            count: 1,
            workload: Workload::Resolved(Labels::new(labels)),
            metadata: Labels::default(),
            call: Call { abi: "x86_64", syscall: "mount" },
            number: Some(165),
            denied: false,
            process: None,
            policy: "web".into(),
            severity: Severity::Critical,
            reason: Reason::NotAllowed,
            runtime_default_allows: false,
        }
    }

    #[test]
    fn the_id_depends_on_the_identity_and_on_nothing_else() {
        let known = violation();
        let same = Violation {
            time: SystemTime::now(),
            last_seen: SystemTime::now(),
            count: 7,
            number: None,
            severity: Severity::Warning,
            reason: Reason::DenyList,
            runtime_default_allows: true,
            ..known.clone()
        };
        assert_eq!(same.id(), known.id());
        let others = [
            known.clone(),
            Violation { denied: true, ..known.clone() },
            Violation { policy: "other".into(), ..known.clone() },
            Violation { call: Call { syscall: "umount2", ..known.call }, ..known.clone() },
            Violation { call: Call { abi: "ia32", ..known.call }, ..known.clone() },
            Violation { workload: Workload::cgroup("/a".into()), ..known.clone() },
            Violation { workload: Workload::Unknown, ..known.clone() },
        ];
        let ids: HashSet<StableId> = others.iter().map(Violation::id).collect();
        assert_eq!(ids.len(), others.len());
    }

    #[test]
    fn json_has_the_id_beside_the_other_fields() {
        let json: Value = serde_json::to_value(violation()).unwrap();
        assert_eq!(json["id"], violation().id().to_string());
        assert_eq!((&json["syscall"], &json["policy"], &json["count"]), (&"mount".into(), &"web".into(), &1.into()));
        // An id of an earlier version, which people have in their notes.
        assert_eq!(json["id"], "792a8414e8fcca90");
    }
}
