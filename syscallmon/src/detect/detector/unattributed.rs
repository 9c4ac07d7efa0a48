//! Calls of cgroups without a known path.

use std::sync::Arc;

use super::{Calls, Detector};
use crate::{
    detect::{Unexpected, Violation},
    workload::Workload,
};

impl Detector {
    /// Judges a call of an unknown cgroup: it is a violation if it would be critical for a container.
    pub(super) fn judge_unattributed(&self, calls: &Calls<'_>) -> Option<Violation> {
        let &Calls { named, call, time, .. } = calls;
        if named.workload == Workload::Unknown && !self.sees_all {
            return None;
        }
        let (policy, Unexpected { severity, reason }) = self.policies.judge_unattributed(call)?;
        Some(Violation {
            time,
            last_seen: time,
            count: 1,
            workload: named.workload.clone(),
            metadata: named.metadata.clone(),
            call: self.calls.call(call),
            number: None,
            denied: false,
            process: None,
            policy: Arc::clone(policy.name()),
            severity,
            reason,
            runtime_default_allows: self.policies.runtime_default_allows(call),
        })
    }
}
