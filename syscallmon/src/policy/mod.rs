//! What is expected of a workload, what was learned of it, and what was not expected. Pure: no I/O, no clock.
//!
//! A [`PolicySpec`] is what was written; a [`Policy`], what judges. [`Policies`] are all of them, of which a workload has one. A
//! [`Baseline`] is what a kind of workloads has learned under a policy that learns.

mod baseline;
mod baselines;
mod compiled;
mod entry;
mod essential;
mod file_share;
mod kind;
mod matching;
mod policies;
mod room;
mod seccomp;
mod severity;
mod spec;
#[cfg(test)]
mod tests;
mod violation;
mod violations;

pub(crate) use self::baseline::in_seconds;
pub use self::{
    baseline::{Baseline, BaselineError, FirstSeen, Phase},
    baselines::{Baselines, BaselinesView, Change, RETENTION, Removed, StoreStatus},
    compiled::{Policy, Unexpected},
    entry::{Entry, EntryError, Unprefixed},
    file_share::{FileSize, MAX_EXPRESSIONS, MAX_POLICIES, file_to_refuse},
    kind::{Kind, KindError},
    matching::Match,
    policies::{Policies, PolicyFile, PolicyList, Source},
    room::MAX_BASELINES,
    seccomp::Profile,
    severity::Severity,
    spec::{BUILT_IN, ExceptionSpec, Learn, PolicyError, PolicyName, PolicySpec},
    violation::{Ancestor, Process, Reason, Violation},
    violations::{Counted, Told, Violations, ViolationsView},
};
