//! Draws dashboards for the documents, without Grafana: what `cargo xtask pictures` makes of answers of a Prometheus.

mod draw;
mod number;
mod svg;

pub use self::draw::{Answer, Drawn, dashboard, legend};
