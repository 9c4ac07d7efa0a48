//! What was read from the kernel at one moment, as plain data.
//!
//! Everything to the right of `kernel` works on snapshots, so a recorded one can be replayed without
//! privileges. Values are the kernel's running counts, not differences: [`crate::model`] takes those.

mod durations;
mod losses;
mod tally;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    durations::{Bound, Durations},
    losses::{LOSS_REASONS, LossReasonInfo, Losses, Lost, ModelLoss},
    tally::{Amount, SortedCounts},
};
use crate::syscalls::{CallId, Errno};

/// What is counted of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// How often each call entered the kernel, and each operation was given to io_uring.
    pub calls: SortedCounts<CallId>,
    /// How many of these a runtime made to set the container up, or to have a command run in it: no calls of the container's.
    #[serde(default)]
    pub container_init: SortedCounts<CallId>,
    /// How often calls failed.
    pub errors: SortedCounts<ErrorKey>,
    /// How often seccomp refused each call.
    pub denied: SortedCounts<DeniedKey>,
    /// How long the calls took for which that is measured.
    pub durations: SortedCounts<CallId, Durations>,
}

/// Buckets, sum and count, as many as are exported unless configured otherwise.
pub const SERIES_PER_HISTOGRAM: usize = 16;

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorKey {
    /// This call, with this errno.
    Of(CallId, Errno),
    /// Calls and errnos of a cgroup that had too many different ones.
    Other,
}

/// How seccomp refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DeniedKey {
    /// It refused this call.
    Of(CallId),
    /// It answered `ENOSYS`, as a kernel does that does not have the call.
    Unsupported(CallId),
    /// Refused calls of a cgroup that had too many different ones.
    Other,
}

impl Counts {
    /// What is new since an earlier reading of the same counts.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            calls: self.calls.since(&before.calls),
            container_init: self.container_init.since(&before.container_init),
            errors: self.errors.since(&before.errors),
            denied: self.denied.since(&before.denied),
            durations: self.durations.since(&before.durations),
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.calls.add(&other.calls);
        self.container_init.add(&other.container_init);
        self.errors.add(&other.errors);
        self.denied.add(&other.denied);
        self.durations.add(&other.durations);
    }

    /// How many series they are by name, about; a histogram is many.
    #[must_use]
    pub fn series(&self) -> usize {
        self.calls.len() + self.errors.len() + self.denied.len() + SERIES_PER_HISTOGRAM * self.durations.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series() == 0
    }
}

/// The counts of one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotCounts {
    /// The slot, from 1. Until it is freed, it is one cgroup's, and its counts do not fall.
    pub slot: u32,
    /// The id of that cgroup (its inode number in cgroupfs). Two slots have the same one only while one is taken back.
    pub cgroup_id: u64,
    /// Its counts, since the cgroup got the slot. The same as in the snapshot before where nothing has changed.
    pub counts: Arc<Counts>,
}

/// The kernel's counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every slot that a cgroup has.
    pub slots: Vec<SlotCounts>,
    /// What was counted of cgroups that got no slot or no series. Never falls.
    pub remainder: Counts,
    /// What was lost.
    pub losses: Losses,
    /// Series in use.
    pub series: u32,
    /// Histograms in use.
    pub histograms: u32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any counts of five calls; as in the kernel's, no call was made more often to set a container up than it was made.
    fn counts() -> impl Strategy<Value = Counts> {
        let of_call = (0..5_u16, 1..9_u64, 0..9_u64, (1..4_u16, 0..3_u64), 0..3_u64, (0..4_usize, 0..3_u64));
        proptest::collection::vec(of_call, 0..8).prop_map(|calls| {
            let mut all = Counts::default();
            for (call, made, container_init, (errno, errors), denied, (bucket, timed)) in calls {
                let call = CallId(call);
                let mut durations = Durations { sum_ns: 500 * timed, ..Durations::default() };
                durations.buckets[bucket] = timed;
                all.add(&Counts {
                    calls: [(call, made)].into_iter().collect(),
                    container_init: [(call, container_init.min(made))].into_iter().collect(),
                    errors: [(ErrorKey::Of(call, Errno::new(errno)), errors)].into_iter().collect(),
                    denied: [(DeniedKey::Of(call), denied)].into_iter().collect(),
                    durations: [(call, durations)].into_iter().collect(),
                });
            }
            all
        })
    }

    fn plus(counts: &Counts, more: &Counts) -> Counts {
        let mut sum = counts.clone();
        sum.add(more);
        sum
    }

    proptest! {
        #[test]
        fn what_was_added_is_what_is_new_since(before in counts(), new in counts()) {
            prop_assert_eq!(plus(&before, &new).since(&before), new.clone());
            prop_assert!(new.since(&new).is_empty());
            prop_assert_eq!(new.since(&Counts::default()), new);
        }

        #[test]
        fn counts_add_up_in_any_order(a in counts(), b in counts(), c in counts()) {
            prop_assert_eq!(plus(&a, &b), plus(&b, &a));
            prop_assert_eq!(plus(&plus(&a, &b), &c), plus(&a, &plus(&b, &c)));
            prop_assert!(plus(&a, &b).series() <= a.series() + b.series());
        }

        #[test]
        fn steps_add_up_to_the_whole_way(a in counts(), b in counts(), c in counts()) {
            let (middle, end) = (plus(&a, &b), plus(&plus(&a, &b), &c));
            prop_assert_eq!(plus(&middle.since(&a), &end.since(&middle)), end.since(&a));
        }
    }
}
