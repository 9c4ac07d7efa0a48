//! Metrics: families, their series, and the text formats.

pub(super) mod accept;
pub(super) mod encode;
pub mod families;
mod process_metrics;
pub(super) mod renderer;
mod sample;
pub(super) mod workload_series;
