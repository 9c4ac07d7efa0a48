//! The dashboards for Grafana, as data: what `cargo xtask manifests` writes, what `cargo xtask e2e` asks a real Prometheus for, and
//! what `cargo xtask pictures` draws.

mod json;
mod overview;
mod panel;
mod promql;
mod unexpected;
mod variable;
mod workload;

pub(crate) use self::{
    panel::{Kind, Panel, Query},
    promql::{Values, selectors},
    variable::Variable,
};

/// One dashboard.
pub(crate) struct Dashboard {
    /// Of its file, and the end of its uid.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) variables: Vec<Variable>,
    pub(crate) rows: Vec<Row>,
}

/// Panels under one headline.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) panels: Vec<Panel>,
}

/// All of them.
pub(crate) fn all() -> [Dashboard; 3] {
    [overview::dashboard(), workload::dashboard(), unexpected::dashboard()]
}

impl Dashboard {
    /// As Grafana imports it.
    pub(crate) fn json(&self) -> String {
        json::text(&json::dashboard(self))
    }

    pub(crate) fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }
}

fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}
