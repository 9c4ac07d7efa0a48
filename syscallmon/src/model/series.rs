//! Which series the counts of a workload make: how finely each family of metrics tells calls apart.
//!
//! Pure. The model asks how many series there are and which counts would make new ones; `export` asks for the counts
//! that it writes. Calls are counted, judged and recorded by name, however coarse the families are.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use clap::ValueEnum;
use serde::Deserialize;

use crate::{
    snapshot::{Amount, Counts, DeniedKey, Durations, ErrorKey, SERIES_PER_HISTOGRAM, SortedCounts},
    syscalls::{Call, CallId, CallTable, IO_URING, UNKNOWN, sets},
    workload::REMAINDER,
};

/// The `set` label of a call that is in none of systemd's sets.
pub(super) const UNGROUPED: &str = "ungrouped";

/// How finely a family of metrics tells calls apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// By name, in the label `syscall`.
    #[default]
    Name,
    /// By systemd's set, in the label `set`.
    Set,
    /// Without a label.
    None,
}

impl Granularity {
    /// The label of a call of this name; [`Granularity::None`] has one without a name.
    #[must_use]
    pub fn label(self, syscall: &'static str) -> (&'static str, &'static str) {
        match self {
            Self::Name => ("syscall", syscall),
            Self::Set => ("set", set_of(syscall)),
            Self::None => ("", ""),
        }
    }
}

/// The `set` label of a call.
fn set_of(syscall: &'static str) -> &'static str {
    match syscall {
        UNKNOWN | REMAINDER => syscall,
        _ => sets::smallest_with(syscall).unwrap_or(UNGROUPED),
    }
}

/// The granularity of each family that has calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granularities {
    /// Of `syscallmon_syscalls_total`.
    pub syscalls: Granularity,
    /// Of `syscallmon_syscall_errors_total`, which tells errnos apart, too.
    pub errors: Granularity,
    /// Of `syscallmon_syscalls_denied_total`.
    pub denied: Granularity,
    /// Of `syscallmon_syscall_duration_seconds`.
    pub latency: Granularity,
}

/// Which calls are one series in each family. By default, every call is one of its own.
#[derive(Clone, Debug, Default)]
pub struct SeriesLayout {
    granularities: Granularities,
    /// By call: the first call of the same set and ABI. An operation of io_uring is always on its own.
    first_of_set: Vec<CallId>,
    /// By call: the first call of the same ABI.
    first_of_abi: Vec<CallId>,
}

impl SeriesLayout {
    /// The layout of families with these granularities.
    #[must_use]
    pub fn new(granularities: Granularities, calls: &CallTable) -> Self {
        let first_by = |granularity: Granularity| -> Vec<CallId> {
            let mut first = HashMap::new();
            let first_like = |(id, call): (CallId, Call)| {
                let key = (call.abi, granularity.label(call.syscall));
                if call.abi == IO_URING { id } else { *first.entry(key).or_insert(id) }
            };
            calls.iter().map(first_like).collect()
        };
        let (first_of_set, first_of_abi) = (first_by(Granularity::Set), first_by(Granularity::None));
        Self { granularities, first_of_set, first_of_abi }
    }

    /// How finely each family tells calls apart.
    #[must_use]
    pub fn granularities(&self) -> Granularities {
        self.granularities
    }

    /// What was called, as it is exported: each series under the first call that it has.
    #[must_use]
    pub fn calls<'a>(&self, counts: &'a Counts) -> Cow<'a, SortedCounts<CallId>> {
        let by = self.granularities.syscalls;
        grouped(by, &counts.calls, |call| self.first(by, call))
    }

    /// The same of errors.
    #[must_use]
    pub fn errors<'a>(&self, counts: &'a Counts) -> Cow<'a, SortedCounts<ErrorKey>> {
        grouped(self.granularities.errors, &counts.errors, |failure| self.failure(failure))
    }

    /// The same of denied calls.
    #[must_use]
    pub fn denied<'a>(&self, counts: &'a Counts) -> Cow<'a, SortedCounts<DeniedKey>> {
        grouped(self.granularities.denied, &counts.denied, |denial| self.denial(denial))
    }

    /// How long calls took, by the label of the series. Calls of all ABIs are together.
    #[must_use]
    pub fn durations(
        &self,
        counts: &Counts,
        calls: &CallTable,
    ) -> SortedCounts<(&'static str, &'static str), Durations> {
        let by = self.granularities.latency;
        counts.durations.iter().map(|(call, durations)| (by.label(calls.call(call).syscall), *durations)).collect()
    }

    /// How many series counts make, about; a histogram is many.
    #[must_use]
    pub fn count(&self, counts: &Counts) -> usize {
        let Granularities { syscalls, errors, denied, latency } = self.granularities;
        distinct(syscalls, &counts.calls, |call| self.first(syscalls, call))
            + distinct(errors, &counts.errors, |failure| self.failure(failure))
            + distinct(denied, &counts.denied, |denial| self.denial(denial))
            + SERIES_PER_HISTOGRAM * distinct(latency, &counts.durations, |call| self.first(latency, call))
    }

    /// What of `new` makes no series that `known` does not make, and the rest.
    #[must_use]
    pub fn split(&self, new: &Counts, known: &Counts) -> (Counts, Counts) {
        let Granularities { syscalls, latency, .. } = self.granularities;
        let is_called = is_in(&known.calls, |call| self.first(syscalls, call));
        let is_timed = is_in(&known.durations, |call| self.first(latency, call));
        let (calls, other_calls) = new.calls.split(&is_called);
        let (container_init, other_container_init) = new.container_init.split(&is_called);
        let (errors, other_errors) = new.errors.split(is_in(&known.errors, |failure| self.failure(failure)));
        let (denied, other_denied) = new.denied.split(is_in(&known.denied, |denial| self.denial(denial)));
        let (durations, other_durations) = new.durations.split(is_timed);
        let fitting = Counts { calls, container_init, errors, denied, durations };
        let rest = Counts {
            calls: other_calls,
            container_init: other_container_init,
            errors: other_errors,
            denied: other_denied,
            durations: other_durations,
        };
        (fitting, rest)
    }

    /// The call that stands for all in the same series.
    fn first(&self, granularity: Granularity, call: CallId) -> CallId {
        let first = match granularity {
            Granularity::Name => return call,
            Granularity::Set => &self.first_of_set,
            Granularity::None => &self.first_of_abi,
        };
        first.get(usize::from(call.0)).copied().unwrap_or(call)
    }

    fn failure(&self, failure: ErrorKey) -> ErrorKey {
        match failure {
            ErrorKey::Of(call, errno) => ErrorKey::Of(self.first(self.granularities.errors, call), errno),
            ErrorKey::Other => ErrorKey::Other,
        }
    }

    fn denial(&self, denial: DeniedKey) -> DeniedKey {
        let first = |call| self.first(self.granularities.denied, call);
        match denial {
            DeniedKey::Of(call) => DeniedKey::Of(first(call)),
            DeniedKey::Unsupported(call) => DeniedKey::Unsupported(first(call)),
            DeniedKey::Other => DeniedKey::Other,
        }
    }
}

/// Amounts by group. What is by name is as it was.
fn grouped<K: Ord + Copy>(
    by: Granularity,
    tally: &SortedCounts<K>,
    group: impl Fn(K) -> K,
) -> Cow<'_, SortedCounts<K>> {
    match by {
        Granularity::Name => Cow::Borrowed(tally),
        Granularity::Set | Granularity::None => {
            Cow::Owned(tally.iter().map(|(key, &count)| (group(key), count)).collect())
        }
    }
}

/// How many groups there are.
fn distinct<K: Ord + Copy, V: Amount>(by: Granularity, tally: &SortedCounts<K, V>, group: impl Fn(K) -> K) -> usize {
    match by {
        Granularity::Name => tally.len(),
        Granularity::Set | Granularity::None => tally.iter().map(|(key, _)| group(key)).collect::<BTreeSet<K>>().len(),
    }
}

/// Whether a key is in a group that the tally has.
fn is_in<K: Ord + Copy, V: Amount>(tally: &SortedCounts<K, V>, group: impl Fn(K) -> K) -> impl Fn(K) -> bool {
    let groups: BTreeSet<K> = tally.iter().map(|(key, _)| group(key)).collect();
    move |key| groups.contains(&group(key))
}

#[cfg(test)]
mod tests;
