//! Detection: expected calls, learned calls, and unexpected calls. Pure: no I/O, no clock.
//!
//! A [`PolicySpec`] is a policy as written, and a [`Policy`] is its compiled form. [`Policies`] are all of them; a
//! workload has one. A [`Baseline`] has the calls that a kind of workloads has learned under a learning policy.

mod baseline;
mod detector;
mod exception;
mod incident;
mod policy;
pub mod saved;
mod violation;

pub(crate) use self::baseline::in_seconds;
pub use self::{
    baseline::{
        Baseline, BaselineChange, BaselineError, BaselineKey, BaselineKeyError, Baselines, BaselinesView, LearnedFrom,
        MAX_BASELINES, Operation, Phase, Progress, RETENTION, Removed, StoreStatus, WaitsFor,
    },
    detector::{Detector, LastingDetection, PolicyUsage},
    exception::{Exception, ExceptionError, PolicyInForce, ReportedCall, exceptions, exceptions_yaml},
    incident::{
        Incident, IncidentNotice, IncidentState, IncidentTimes, Incidents, LastingIncident, MAX_CALLS, NewCall,
        SavedLastingIncident, call_text, message,
    },
    policy::{
        BUILT_IN, BUILT_IN_YAML, DecidingList, Decision, DeclaredPolicy, ExceptionSpec, Extends, FileSize, Learn,
        MAX_EXPRESSIONS, MAX_MISTAKES, MAX_POLICIES, Match, Mistake, Mistakes, Node, Policies, Policy, PolicyEntry,
        PolicyEntryError, PolicyError, PolicyFile, PolicyItem, PolicyList, PolicyMistake, PolicyName, PolicySpec,
        PolicySummary, Position, ProfilePath, Severity, Source, Unexpected, Unprefixed, file_to_refuse, read_policy,
    },
    violation::{
        CallClass, LastingViolation, Reason, RecordedViolation, Violation, ViolationKey, Violations, ViolationsView,
    },
};
