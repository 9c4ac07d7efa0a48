//! What a snapshot adds to a workload.

use crate::{
    snapshot::{ArgumentKey, Counts, DeniedKey, SortedCounts},
    syscalls::CallId,
    workload::{ResolvedWorkload, Workload},
};

/// New calls of a workload since the last snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The workload, with all of its metadata.
    pub named: ResolvedWorkload,
    /// Its cgroup; of several, the one that came last.
    pub cgroup_id: u64,
    /// The workload that had these counts before, if any.
    pub before: Option<Workload>,
    /// Number of each call, and of each class of arguments, without container init.
    pub calls: SortedCounts<CallId>,
    /// Number of denials of each call, and of each class of arguments, except with `ENOSYS`, because programs fall back
    /// from such calls.
    pub denied: SortedCounts<CallId>,
}

impl Delta {
    pub(super) fn new(named: ResolvedWorkload, cgroup_id: u64, counts: &Counts) -> Self {
        let counted = |(call, &count)| (call, count);
        let classes = |kind: fn(CallId) -> ArgumentKey| {
            counts.arguments.iter().filter_map(move |(class, &count)| match class {
                ArgumentKey::Of(call) | ArgumentKey::Denied(call) => (class == kind(call)).then_some((call, count)),
                ArgumentKey::Other => None,
            })
        };
        Self {
            named,
            cgroup_id,
            before: None,
            calls: counts
                .calls
                .since(&counts.container_init)
                .iter()
                .map(counted)
                .chain(classes(ArgumentKey::Of))
                .collect(),
            denied: counts.denied.iter().filter_map(denied).chain(classes(ArgumentKey::Denied)).collect(),
        }
    }

    /// Whether there are calls to judge.
    pub(super) fn has_calls_to_judge(&self) -> bool {
        self.named.workload.is_judged() && self.calls.len() + self.denied.len() > 0
    }
}

/// A denied call and its count; `None` for calls without a name of their own, of container init, and for `ENOSYS`.
fn denied((denial, &attempts): (DeniedKey, &u64)) -> Option<(CallId, u64)> {
    match denial {
        DeniedKey::Of(call) => Some((call, attempts)),
        DeniedKey::Unsupported(_) | DeniedKey::OfRuntime(_) | DeniedKey::Other => None,
    }
}
