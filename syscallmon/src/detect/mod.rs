//! What is expected of a workload, what was learned of it, and what was not expected. Pure: no I/O, no clock.
//!
//! A [`PolicySpec`] is what was written; a [`Policy`], what judges. [`Policies`] are all of them, of which a workload
//! has one. A [`Baseline`] is what a kind of workloads has learned under a policy that learns.

mod baseline;
mod detector;
mod policy;
mod violation;

pub(crate) use self::baseline::in_seconds;
pub use self::{
    baseline::{
        Baseline, BaselineChange, BaselineError, BaselineKey, BaselineKeyError, Baselines, BaselinesView, LearnedFrom,
        MAX_BASELINES, Phase, RETENTION, Removed, StoreStatus,
    },
    detector::Detector,
    policy::{
        BUILT_IN, Entry, EntryError, ExceptionSpec, FileSize, Learn, MAX_EXPRESSIONS, MAX_POLICIES, Match, Policies,
        Policy, PolicyError, PolicyFile, PolicyList, PolicyName, PolicySpec, Profile, Severity, Source, Unexpected,
        Unprefixed, file_to_refuse,
    },
    violation::{Notice, Reason, Recorded, Violation, ViolationKey, Violations, ViolationsView},
};
