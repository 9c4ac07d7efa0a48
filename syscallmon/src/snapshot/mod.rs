//! The kernel's counts at one moment, as plain data.
//!
//! All later stages work on snapshots, so a recorded snapshot can be replayed without privileges. Values are running
//! counts, not differences; [`crate::model`] computes those.

mod durations;
mod losses;
mod saved;
mod sorted_counts;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    durations::{Bound, Durations},
    losses::{LOSS_REASONS, LossReasonInfo, Losses, Lost, ModelLoss},
    saved::{CountsError, SavedCounts},
    sorted_counts::{Amount, SortedCounts},
};
use crate::syscalls::{CallId, Errno};

/// The counts of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// How often each call entered the kernel, and each io_uring operation was submitted.
    pub calls: SortedCounts<CallId>,
    /// The part of `calls` that container runtimes made, to start a container or to run a command in it.
    #[serde(default)]
    pub container_init: SortedCounts<CallId>,
    /// How often calls failed, by errno.
    pub errors: SortedCounts<ErrorKey>,
    /// How often seccomp denied each call.
    pub denied: SortedCounts<DeniedKey>,
    /// Durations of the measured calls.
    pub durations: SortedCounts<CallId, Durations>,
    /// How often calls were made with arguments of each class.
    #[serde(default)]
    pub arguments: SortedCounts<ArgumentKey>,
}

/// Series of one exported histogram by default: buckets, sum and count.
pub const SERIES_PER_HISTOGRAM: usize = 16;

/// The key of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorKey {
    /// This call with this errno.
    Of(CallId, Errno),
    /// The remaining errors of a cgroup with too many different ones.
    Other,
}

/// The key of a denied call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DeniedKey {
    /// Seccomp denied this call.
    Of(CallId),
    /// Seccomp denied it with `ENOSYS`, as a kernel without the call does.
    Unsupported(CallId),
    /// The remaining denied calls of a cgroup with too many different ones.
    Other,
    /// Seccomp denied it in container init. It counts like the container's, and no policy judges it.
    OfRuntime(CallId),
}

/// The key of a class of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ArgumentKey {
    /// Calls of this class entered the kernel. Without those of container init before the first one of the container.
    Of(CallId),
    /// Seccomp denied calls of this class, other than with `ENOSYS`.
    Denied(CallId),
    /// The remaining classes of a cgroup with too many different ones.
    Other,
}

impl Counts {
    /// Returns the increase since an earlier reading.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            calls: self.calls.since(&before.calls),
            container_init: self.container_init.since(&before.container_init),
            errors: self.errors.since(&before.errors),
            denied: self.denied.since(&before.denied),
            durations: self.durations.since(&before.durations),
            arguments: self.arguments.since(&before.arguments),
        }
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.calls.add(&other.calls);
        self.container_init.add(&other.container_init);
        self.errors.add(&other.errors);
        self.denied.add(&other.denied);
        self.durations.add(&other.durations);
        self.arguments.add(&other.arguments);
    }

    /// Returns the same with these calls in container init, and without these classes of arguments.
    #[must_use]
    pub fn in_container_init(&self, holds: impl Fn(CallId) -> bool + Copy) -> Self {
        let (calls, _) = self.calls.split(holds);
        let (_, mut container_init) = self.container_init.split(holds);
        container_init.add(&calls);
        let (_, arguments) = self.arguments.split(|key| matches!(key, ArgumentKey::Of(class) if holds(class)));
        Self { container_init, arguments, ..self.clone() }
    }

    /// Returns the same with other ids of calls. Counts of calls with the same new id are added up.
    #[must_use]
    pub fn translated(&self, id: impl Fn(CallId) -> CallId + Copy) -> Self {
        let error = |key| match key {
            ErrorKey::Of(call, errno) => ErrorKey::Of(id(call), errno),
            ErrorKey::Other => ErrorKey::Other,
        };
        let denied = |key| match key {
            DeniedKey::Of(call) => DeniedKey::Of(id(call)),
            DeniedKey::Unsupported(call) => DeniedKey::Unsupported(id(call)),
            DeniedKey::OfRuntime(call) => DeniedKey::OfRuntime(id(call)),
            DeniedKey::Other => DeniedKey::Other,
        };
        let argument = |key| match key {
            ArgumentKey::Of(class) => ArgumentKey::Of(id(class)),
            ArgumentKey::Denied(class) => ArgumentKey::Denied(id(class)),
            ArgumentKey::Other => ArgumentKey::Other,
        };
        Self {
            calls: self.calls.rekeyed(id),
            container_init: self.container_init.rekeyed(id),
            errors: self.errors.rekeyed(error),
            denied: self.denied.rekeyed(denied),
            durations: self.durations.rekeyed(id),
            arguments: self.arguments.rekeyed(argument),
        }
    }

    /// Estimates the number of series by name; a histogram has many.
    #[must_use]
    pub fn series(&self) -> usize {
        self.calls.len()
            + self.errors.len()
            + self.denied.len()
            + self.arguments.len()
            + SERIES_PER_HISTOGRAM * self.durations.len()
    }

    /// Whether there are no counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series() == 0
    }
}

/// The counts of one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotCounts {
    /// The slot, from 1. It belongs to one cgroup until it is freed, and its counts do not fall until then.
    pub slot: u32,
    /// The id of that cgroup (its inode number in cgroupfs). Two slots have the same cgroup only while one is
    /// reclaimed.
    pub cgroup_id: u64,
    /// Its counts since the cgroup got the slot. Shared with the previous snapshot if nothing changed.
    pub counts: Arc<Counts>,
}

/// The kernel's counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The used slots.
    pub slots: Vec<SlotCounts>,
    /// Counts of cgroups without a slot or series. They never fall.
    pub remainder: Counts,
    /// Losses so far, by reason.
    pub losses: Losses,
    /// Series in use.
    pub series: u32,
    /// Histograms in use.
    pub histograms: u32,
}

impl Snapshot {
    /// Returns the same with other ids of calls.
    #[must_use]
    pub fn translated(&self, id: impl Fn(CallId) -> CallId + Copy) -> Self {
        let slots =
            self.slots.iter().map(|slot| SlotCounts { counts: Arc::new(slot.counts.translated(id)), ..slot.clone() });
        Self { slots: slots.collect(), remainder: self.remainder.translated(id), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syscalls::{CallTable, saved::SavedCalls};

    /// Any counts of five calls. As in the kernel, container init makes no more calls than are counted.
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
                    arguments: [(ArgumentKey::Of(call), made), (ArgumentKey::Denied(call), denied)]
                        .into_iter()
                        .collect(),
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

    /// Returns the same counts with arguments of these classes.
    fn with_classes(counts: Counts, classes: &[CallId]) -> Counts {
        let with_class = |(key, &number)| match key {
            ArgumentKey::Of(call) => (ArgumentKey::Of(classes[usize::from(call.0)]), number),
            ArgumentKey::Denied(call) => (ArgumentKey::Denied(classes[usize::from(call.0)]), number),
            ArgumentKey::Other => (ArgumentKey::Other, number),
        };
        Counts { arguments: counts.arguments.iter().map(with_class).collect(), ..counts }
    }

    proptest! {
        #[test]
        fn counts_are_the_same_after_they_were_saved(counts in counts(), other in 0..3_u64, unsupported in 0..3_u64) {
            let table = CallTable::x86_64();
            let classes: Vec<CallId> = table.all().map(|(id, _)| id).filter(|&id| table.is_class(id)).collect();
            let mut counts = with_classes(counts, &classes);
            let denied = [(DeniedKey::Unsupported(CallId(9)), unsupported), (DeniedKey::OfRuntime(CallId(8)), other)];
            counts.add(&Counts {
                errors: [(ErrorKey::Other, other)].into_iter().collect(),
                denied: denied.into_iter().chain([(DeniedKey::Other, other)]).collect(),
                arguments: [(ArgumentKey::Other, other)].into_iter().collect(),
                ..Counts::default()
            });
            let text = serde_json::to_string(&SavedCounts::from(&counts)).unwrap();
            let saved: SavedCounts = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(saved.known(&SavedCalls::of(&table).known(&table)), Ok(counts));
        }

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
