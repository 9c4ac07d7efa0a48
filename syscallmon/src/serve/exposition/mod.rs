//! Metrics: families, their series, and the text formats.

pub(super) mod accept;
pub(super) mod encode;
pub mod families;
mod host_samples;
mod process_metrics;
pub(super) mod renderer;
pub(super) mod workload_series;
