//! The progress of a baseline: when it guards at the earliest, why not yet, and which operations it has not seen.

use std::time::Duration;

use serde::Serialize;

use crate::detect::{Baseline, Learn, Phase};

/// The progress of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Time with a running workload until it guards at the earliest; absent if it guards, and without a policy.
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
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
    #[serde(rename = "at_least")]
    MinimumTime,
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
        // To the second.
        let guards_in = learn.map(|learn| Duration::from_secs(remaining(baseline, learn).as_secs()));
        let waits_for = (baseline.state == Phase::Learning).then(|| match learn {
            None => WaitsFor::Policy,
            Some(_) if !is_alive => WaitsFor::Workload,
            Some(_) if baseline.size() == 0 => WaitsFor::FirstCall,
            Some(learn) if baseline.learned_for < learn.at_least => WaitsFor::MinimumTime,
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::syscalls::CallTable;

    const LEARN: Learn = Learn {
        quiet_for: Duration::from_hours(1),
        at_least: Duration::from_hours(25),
        at_most: Duration::from_hours(168),
    };

    fn baseline(has_call: bool) -> Baseline {
        let (mut baseline, table) = (
            Baseline::new("docker:web".parse().unwrap(), "web".into(), SystemTime::UNIX_EPOCH, true),
            CallTable::x86_64(),
        );
        if has_call {
            baseline.learn(table.id("x86_64", "openat").unwrap(), &table, SystemTime::UNIX_EPOCH, None);
        }
        baseline
    }

    #[test]
    fn what_it_waits_for_is_said_in_order() {
        let waits = |baseline: &Baseline, learn, is_alive| Progress::of(baseline, learn, is_alive).waits_for;
        let mut learning = baseline(true);
        assert_eq!(waits(&learning, None, true), Some(WaitsFor::Policy));
        assert_eq!(waits(&learning, Some(LEARN), false), Some(WaitsFor::Workload));
        assert_eq!(waits(&baseline(false), Some(LEARN), true), Some(WaitsFor::FirstCall));
        assert_eq!(waits(&learning, Some(LEARN), true), Some(WaitsFor::MinimumTime));
        (learning.learned_for, learning.quiet_for) = (Duration::from_hours(26), Duration::from_mins(59));
        let progress = Progress::of(&learning, Some(LEARN), true);
        assert_eq!((progress.waits_for, progress.guards_in), (Some(WaitsFor::Quiet), Some(Duration::from_mins(1))));
        assert_eq!(progress.missing, [Operation::Start, Operation::Stop]);
        learning.approve(SystemTime::UNIX_EPOCH);
        (learning.partial, learning.stop_seen) = (false, true);
        let guards = Progress { guards_in: None, waits_for: None, missing: Vec::new() };
        assert_eq!(Progress::of(&learning, Some(LEARN), true), guards);
    }

    proptest! {
        #[test]
        fn it_guards_exactly_after_the_remaining_time(learned in 0..800_000_u64, quiet in 0..800_000_u64) {
            let mut learning = baseline(true);
            learning.learned_for = Duration::from_secs(learned);
            learning.quiet_for = Duration::from_secs(quiet.min(learned));
            let remaining = Progress::of(&learning, Some(LEARN), true).guards_in.unwrap();
            if let Some(earlier) = remaining.checked_sub(Duration::from_secs(1)) {
                let mut before = learning.clone();
                before.pass(earlier);
                prop_assert!(!before.is_complete(LEARN));
            }
            learning.pass(remaining);
            prop_assert!(learning.is_complete(LEARN));
        }
    }
}
