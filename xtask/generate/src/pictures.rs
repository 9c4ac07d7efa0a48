//! Draws dashboards for the documents without Grafana. `cargo xtask pictures` draws them from the answers of a
//! Prometheus.

mod draw;
mod number;
mod svg;

pub use self::draw::{Answer, Drawn, dashboard, legend};
