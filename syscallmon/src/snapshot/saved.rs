//! Counts in a compact form, for files. Calls have the ids of the file.

use serde::{Deserialize, Serialize};

use super::{Amount, ArgumentKey, Counts, DeniedKey, Durations, ErrorKey, SortedCounts};
use crate::syscalls::{
    CallId, Errno,
    saved::{KnownCalls, UnnamedCall},
};

/// Numbers by call.
type Numbers = Vec<(CallId, u64)>;

/// A histogram: call, sum in nanoseconds, and the used buckets with their numbers.
type SavedDurations = (CallId, u64, Vec<(usize, u64)>);

/// The counts of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SavedCounts {
    /// How often each call entered the kernel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Numbers,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    container_init: Numbers,
    /// Call, errno, and number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<(CallId, Errno, u64)>,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    other_errors: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied: Numbers,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unsupported: Numbers,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied_container_init: Numbers,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    other_denied: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    durations: Vec<SavedDurations>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arguments: Numbers,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied_arguments: Numbers,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    other_arguments: u64,
}

/// Why counts cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountsError {
    /// A call without a name.
    #[error(transparent)]
    Call(#[from] UnnamedCall),
    /// A histogram of another version.
    #[error("no histogram has a bucket {0}")]
    Bucket(usize),
}

impl From<&Counts> for SavedCounts {
    fn from(counts: &Counts) -> Self {
        let mut saved = Self { calls: numbers(&counts.calls), ..Self::default() };
        saved.container_init = numbers(&counts.container_init);
        for (key, &number) in counts.errors.iter() {
            match key {
                ErrorKey::Of(call, errno) => saved.errors.push((call, errno, number)),
                ErrorKey::Other => saved.other_errors = number,
            }
        }
        for (key, &number) in counts.denied.iter() {
            match key {
                DeniedKey::Of(call) => saved.denied.push((call, number)),
                DeniedKey::Unsupported(call) => saved.unsupported.push((call, number)),
                DeniedKey::OfRuntime(call) => saved.denied_container_init.push((call, number)),
                DeniedKey::Other => saved.other_denied = number,
            }
        }
        for (key, &number) in counts.arguments.iter() {
            match key {
                ArgumentKey::Of(class) => saved.arguments.push((class, number)),
                ArgumentKey::Denied(class) => saved.denied_arguments.push((class, number)),
                ArgumentKey::Other => saved.other_arguments = number,
            }
        }
        let used = |durations: &Durations| {
            let numbers = durations.buckets.iter().copied().enumerate();
            numbers.filter(|&(_, number)| number > 0).collect()
        };
        let durations = counts.durations.iter();
        saved.durations = durations.map(|(call, durations)| (call, durations.sum_ns, used(durations))).collect();
        saved
    }
}

fn numbers(counts: &SortedCounts<CallId>) -> Numbers {
    counts.iter().map(|(call, &number)| (call, number)).collect()
}

impl SavedCounts {
    /// Returns the counts with the ids of this version. Equal keys add up.
    ///
    /// # Errors
    ///
    /// If a call has no name, or a histogram has other buckets.
    pub fn known(&self, calls: &KnownCalls) -> Result<Counts, CountsError> {
        let of_calls = |numbers: &Numbers| -> Result<SortedCounts<CallId>, UnnamedCall> {
            numbers.iter().map(|&(call, number)| Ok((calls.call(call)?, number))).collect()
        };
        let errors =
            self.errors.iter().map(|&(call, errno, number)| Ok((ErrorKey::Of(calls.call(call)?, errno), number)));
        let denied = |numbers, key: fn(CallId) -> DeniedKey| {
            let numbers: &Numbers = numbers;
            numbers.iter().map(move |&(call, number)| Ok((key(calls.call(call)?), number)))
        };
        let arguments = |numbers, key: fn(CallId) -> ArgumentKey| {
            let numbers: &Numbers = numbers;
            numbers
                .iter()
                .map(move |&(class, number)| Ok((calls.class(class)?.map_or(ArgumentKey::Other, key), number)))
        };
        Ok(Counts {
            calls: of_calls(&self.calls)?,
            container_init: of_calls(&self.container_init)?,
            errors: errors.chain([Ok((ErrorKey::Other, self.other_errors))]).collect::<Result<_, UnnamedCall>>()?,
            denied: denied(&self.denied, DeniedKey::Of)
                .chain(denied(&self.unsupported, DeniedKey::Unsupported))
                .chain(denied(&self.denied_container_init, DeniedKey::OfRuntime))
                .chain([Ok((DeniedKey::Other, self.other_denied))])
                .collect::<Result<_, UnnamedCall>>()?,
            durations: self.durations.iter().map(|durations| histogram(durations, calls)).collect::<Result<_, _>>()?,
            arguments: arguments(&self.arguments, ArgumentKey::Of)
                .chain(arguments(&self.denied_arguments, ArgumentKey::Denied))
                .chain([Ok((ArgumentKey::Other, self.other_arguments))])
                .collect::<Result<_, UnnamedCall>>()?,
        })
    }
}

fn histogram((call, sum_ns, used): &SavedDurations, calls: &KnownCalls) -> Result<(CallId, Durations), CountsError> {
    let mut durations = Durations { sum_ns: *sum_ns, ..Durations::default() };
    for &(bucket, number) in used {
        *durations.buckets.get_mut(bucket).ok_or(CountsError::Bucket(bucket))? = number;
    }
    Ok((calls.call(*call)?, durations))
}

impl Counts {
    /// Returns the sum of all numbers; the largest number if it is larger.
    #[must_use]
    pub fn total(&self) -> u64 {
        let numbers = self.calls.iter().chain(self.container_init.iter()).map(|(_, &number)| number);
        let numbers = numbers.chain(self.errors.iter().map(|(_, &number)| number));
        let numbers = numbers.chain(self.denied.iter().map(|(_, &number)| number));
        let numbers = numbers.chain(self.arguments.iter().map(|(_, &number)| number));
        let buckets = self.durations.iter().flat_map(|(_, durations)| durations.buckets);
        numbers.chain(buckets).fold(0, u64::saturating_add)
    }
}
