//! Baselines: learned calls of kinds of workloads.

mod capacity;
mod collection;
mod document;
mod expected;
mod key;
mod progress;
mod view;

pub(crate) use self::document::in_seconds;
pub use self::{
    capacity::MAX_BASELINES,
    collection::{BaselineChange, Baselines, RETENTION, Removed, StoreStatus},
    document::{Baseline, BaselineError, LearnedFrom, Phase},
    key::{BaselineKey, BaselineKeyError},
    progress::{Operation, Progress, WaitsFor},
    view::BaselinesView,
};
