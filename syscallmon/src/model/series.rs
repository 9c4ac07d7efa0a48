//! The series of a workload's counts: how finely each family of metrics distinguishes calls.
//!
//! Pure. The model asks for the number of series, and for the counts that would make new ones. The exposition asks for
//! the counts to write. Calls are counted, judged and recorded by name, however coarse the families are.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use clap::ValueEnum;
use serde::Deserialize;

use crate::{
    snapshot::{Amount, Counts, DeniedKey, Durations, ErrorKey, SERIES_PER_HISTOGRAM, SortedCounts},
    syscalls::{Call, CallId, CallTable, IO_URING, UNKNOWN, sets, split_argument},
    workload::REMAINDER,
};

/// The label `set` of a call that is in no set of systemd.
pub(super) const UNGROUPED: &str = "ungrouped";

/// How finely a family of metrics distinguishes calls.
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
    /// Returns the label for the name of a call; [`Granularity::None`] has a label without a name.
    #[must_use]
    pub fn label(self, syscall: &'static str) -> (&'static str, &'static str) {
        match self {
            Self::Name => ("syscall", syscall),
            Self::Set => ("set", set_of(syscall)),
            Self::None => ("", ""),
        }
    }
}

/// Returns the label `set` of a call.
fn set_of(syscall: &'static str) -> &'static str {
    match syscall {
        UNKNOWN | REMAINDER => syscall,
        _ => sets::smallest_with(split_argument(syscall).0).unwrap_or(UNGROUPED),
    }
}

/// The granularity of each family with calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granularities {
    /// Of `syscallmon_syscalls_total` and `syscallmon_container_init_syscalls_total`.
    pub syscalls: Granularity,
    /// Of `syscallmon_syscall_errors_total`, which also distinguishes errnos.
    pub errors: Granularity,
    /// Of `syscallmon_syscalls_denied_total`.
    pub denied: Granularity,
    /// Of `syscallmon_syscall_duration_seconds`.
    pub latency: Granularity,
}

/// The calls that share a series in each family. By default, every call has its own.
#[derive(Clone, Debug, Default)]
pub struct SeriesLayout {
    granularities: Granularities,
    /// By call: the first call of the same set and ABI. An operation of io_uring always has its own series.
    first_of_set: Vec<CallId>,
    /// By call: the first call of the same ABI.
    first_of_abi: Vec<CallId>,
}

impl SeriesLayout {
    /// Returns the layout for these granularities.
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

    /// Returns the granularities.
    #[must_use]
    pub fn granularities(&self) -> Granularities {
        self.granularities
    }

    /// Returns calls as they are exported: each series under its first call.
    #[must_use]
    pub fn calls<'a>(&self, counts: &'a Counts) -> Cow<'a, SortedCounts<CallId>> {
        let by = self.granularities.syscalls;
        grouped(by, &counts.calls, |call| self.first(by, call))
    }

    /// Returns the same for calls of container init.
    #[must_use]
    pub fn container_init<'a>(&self, counts: &'a Counts) -> Cow<'a, SortedCounts<CallId>> {
        let by = self.granularities.syscalls;
        grouped(by, &counts.container_init, |call| self.first(by, call))
    }

    /// Returns the same for errors.
    #[must_use]
    pub fn errors<'a>(&self, counts: &'a Counts) -> Cow<'a, SortedCounts<ErrorKey>> {
        grouped(self.granularities.errors, &counts.errors, |failure| self.failure(failure))
    }

    /// Returns the same for denied calls.
    #[must_use]
    pub fn denied<'a>(&self, counts: &'a Counts) -> Cow<'a, SortedCounts<DeniedKey>> {
        let is_of_runtime = |(denial, _): (DeniedKey, _)| matches!(denial, DeniedKey::OfRuntime(_));
        if counts.denied.iter().any(is_of_runtime) {
            // Users see one series for a call, whether the runtime or the container made it.
            return Cow::Owned(counts.denied.iter().map(|(denial, &count)| (self.denial(denial), count)).collect());
        }
        grouped(self.granularities.denied, &counts.denied, |denial| self.denial(denial))
    }

    /// Returns durations by the label of the series. Calls of all ABIs are summed.
    #[must_use]
    pub fn durations(
        &self,
        counts: &Counts,
        calls: &CallTable,
    ) -> SortedCounts<(&'static str, &'static str), Durations> {
        let by = self.granularities.latency;
        counts.durations.iter().map(|(call, durations)| (by.label(calls.call(call).syscall), *durations)).collect()
    }

    /// Returns the approximate number of series of counts; a histogram is many.
    #[must_use]
    pub fn count(&self, counts: &Counts) -> usize {
        let Granularities { syscalls, errors, latency, .. } = self.granularities;
        distinct(syscalls, &counts.calls, |call| self.first(syscalls, call))
            + distinct(syscalls, &counts.container_init, |call| self.first(syscalls, call))
            + distinct(errors, &counts.errors, |failure| self.failure(failure))
            + self.denied(counts).len()
            + counts.arguments.len()
            + SERIES_PER_HISTOGRAM * distinct(latency, &counts.durations, |call| self.first(latency, call))
    }

    /// Splits `new` into counts that fit into series of `known`, and the rest.
    #[must_use]
    pub fn split(&self, new: &Counts, known: &Counts) -> (Counts, Counts) {
        let Granularities { syscalls, latency, .. } = self.granularities;
        let is_known_call = is_in(&known.calls, |call| self.first(syscalls, call));
        let is_known_init = is_in(&known.container_init, |call| self.first(syscalls, call));
        // Calls of container init are a part of calls, so both stay together.
        let is_called = |call| is_known_call(call) && (new.container_init.get(call).is_none() || is_known_init(call));
        let is_timed = is_in(&known.durations, |call| self.first(latency, call));
        let (calls, other_calls) = new.calls.split(is_called);
        let (container_init, other_container_init) = new.container_init.split(is_called);
        let (errors, other_errors) = new.errors.split(is_in(&known.errors, |failure| self.failure(failure)));
        let (denied, other_denied) = new.denied.split(is_in(&known.denied, |denial| self.denial(denial)));
        let (durations, other_durations) = new.durations.split(is_timed);
        let (arguments, other_arguments) = new.arguments.split(|class| known.arguments.get(class).is_some());
        let fitting = Counts { calls, container_init, errors, denied, durations, arguments };
        let rest = Counts {
            calls: other_calls,
            container_init: other_container_init,
            errors: other_errors,
            denied: other_denied,
            durations: other_durations,
            arguments: other_arguments,
        };
        (fitting, rest)
    }

    /// Returns the call that stands for its series.
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
            DeniedKey::Of(call) | DeniedKey::OfRuntime(call) => DeniedKey::Of(first(call)),
            DeniedKey::Unsupported(call) => DeniedKey::Unsupported(first(call)),
            DeniedKey::Other => DeniedKey::Other,
        }
    }
}

/// Sums amounts by group. Granularity by name changes nothing.
fn grouped<K: Ord + Copy>(
    by: Granularity,
    counts: &SortedCounts<K>,
    group: impl Fn(K) -> K,
) -> Cow<'_, SortedCounts<K>> {
    match by {
        Granularity::Name => Cow::Borrowed(counts),
        Granularity::Set | Granularity::None => {
            Cow::Owned(counts.iter().map(|(key, &count)| (group(key), count)).collect())
        }
    }
}

/// Returns the number of groups.
fn distinct<K: Ord + Copy, V: Amount>(by: Granularity, counts: &SortedCounts<K, V>, group: impl Fn(K) -> K) -> usize {
    match by {
        Granularity::Name => counts.len(),
        Granularity::Set | Granularity::None => counts.iter().map(|(key, _)| group(key)).collect::<BTreeSet<K>>().len(),
    }
}

/// Whether a key belongs to a group that the counts have.
fn is_in<K: Ord + Copy, V: Amount>(counts: &SortedCounts<K, V>, group: impl Fn(K) -> K) -> impl Fn(K) -> bool {
    let groups: BTreeSet<K> = counts.iter().map(|(key, _)| group(key)).collect();
    move |key| groups.contains(&group(key))
}

#[cfg(test)]
mod tests;
