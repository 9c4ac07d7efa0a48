//! The progress of a baseline: when it guards at the earliest, why not yet, and which operations it has not seen.

use std::time::Duration;

use serde::Serialize;

use crate::detect::{Baseline, Learn, Phase};

/// The progress of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Time with a running workload until it guards at the earliest; absent if it guards, and without a policy.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::document::in_seconds_if_some")]
    pub guards_in: Option<Duration>,
    /// Why it does not guard yet; absent if it guards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// Operations that it has not seen. Calls that are made only there are unexpected once it guards.
    pub missing: Vec<Operation>,
}

/// What a learning baseline waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// A policy that learns the kind.
    Policy,
    /// A workload of the kind. Time passes only while one runs.
    Workload,
    /// The first call.
    FirstCall,
    /// The end of `at_least`.
    AtLeast,
    /// A time of `quiet_for` without a new call.
    Quiet,
}

/// An operation of a workload, of which a baseline should see one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The start of a container or unit.
    Start,
    /// Its end.
    Stop,
}

impl Progress {
    /// Returns the progress under a policy that learns like this, if one does. `is_alive`: whether a workload runs.
    #[must_use]
    pub fn of(baseline: &Baseline, learn: Option<Learn>, is_alive: bool) -> Self {
        let learn = learn.filter(|_| baseline.state == Phase::Learning);
        let guards_in = learn.map(|learn| remaining(baseline, learn));
        let waits_for = (baseline.state == Phase::Learning).then(|| match learn {
            None => WaitsFor::Policy,
            Some(_) if !is_alive => WaitsFor::Workload,
            Some(_) if baseline.size() == 0 => WaitsFor::FirstCall,
            Some(learn) if baseline.learned_for < learn.at_least => WaitsFor::AtLeast,
            Some(_) => WaitsFor::Quiet,
        });
        let missing = [(baseline.partial, Operation::Start), (!baseline.stop_seen, Operation::Stop)];
        let missing = missing.into_iter().filter_map(|(is_missing, operation)| is_missing.then_some(operation));
        Self { guards_in, waits_for, missing: missing.collect() }
    }
}

/// Returns the time with a workload until it is complete if no new call appears.
fn remaining(baseline: &Baseline, learn: Learn) -> Duration {
    let quiet = learn.quiet_for.saturating_sub(baseline.quiet_for);
    let at_least = learn.at_least.saturating_sub(baseline.learned_for);
    quiet.max(at_least).min(learn.at_most.saturating_sub(baseline.learned_for))
}
