//! What is expected of a workload, what was learned of it, and what was not expected. Pure: no I/O, no clock.

mod baseline;
mod baselines;
mod kind;
mod learn;
mod severity;
mod violation;

pub(crate) use self::baseline::in_seconds;
pub use self::{
    baseline::{Baseline, BaselineError, FirstSeen, Phase},
    baselines::{Baselines, Change, StoreStatus},
    kind::{Kind, KindError},
    learn::Learn,
    severity::Severity,
    violation::{Ancestor, Process, Reason, Violation},
};
