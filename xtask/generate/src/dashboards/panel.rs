//! A panel: its data and its appearance.

use super::promql;

/// Grafana's names of units.
pub(super) mod unit {
    pub(in crate::dashboards) const BYTES: &str = "bytes";
    pub(in crate::dashboards) const CALLS_PER_SECOND: &str = "cps";
    pub(in crate::dashboards) const COUNT: &str = "short";
    pub(in crate::dashboards) const OPERATIONS_PER_SECOND: &str = "ops";
    pub(in crate::dashboards) const SECONDS: &str = "s";
    pub(in crate::dashboards) const SHARE: &str = "percentunit";
}

/// One panel.
pub struct Panel {
    /// Title for users.
    pub title: &'static str,
    /// Description of the data, in a sentence or two.
    pub description: &'static str,
    /// How the panel shows its data.
    pub kind: PanelKind,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// Width in columns, of 24.
    pub width: u32,
    /// Height in lines of the grid.
    pub height: u32,
    /// Queries for Prometheus.
    pub queries: Vec<Query>,
    /// Bounds and colours, in ascending order. The first colour applies below all other bounds.
    pub thresholds: &'static [(f64, &'static str)],
    /// The link of a series or row.
    pub leads_to: Option<LeadsTo>,
}

/// How a panel shows its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanelKind {
    /// One number.
    Stat,
    /// A line for every series.
    Lines,
    /// Lines that add up.
    Stacked,
    /// Bars that add up, for rare events.
    Bars,
    /// A row for every series, with its value.
    Table,
    /// Up or down, over time.
    States,
    /// Buckets of a histogram, over time.
    Heatmap,
}

impl PanelKind {
    /// Whether it shows only the values at the end of the time range.
    #[must_use]
    pub fn is_instant(self) -> bool {
        self == Self::Table
    }
}

/// Another dashboard, and the variables that a link passes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadsTo {
    /// The workload, by the columns of a table.
    WorkloadOfRow,
    /// The workload, the incidents of the node's explorer, and the runbook.
    IncidentsOfRow,
    /// The workload, and the new calls of the node's explorer.
    NewCallsOfRow,
    /// The workloads of the namespace, by the labels of a series.
    Namespace,
    /// The container, by the labels of a series.
    Container,
    /// The cgroup, by the labels of a series.
    Cgroup,
    /// Unexpected calls, by the variables alone.
    Unexpected,
    /// The health of nodes, by the variables alone.
    Nodes,
}

/// A query for Prometheus.
pub struct Query {
    /// The query, with Grafana's variables.
    pub promql: String,
    /// The legend, with labels as `{{label}}`.
    pub legend: &'static str,
}

impl LeadsTo {
    /// Whether it leads to the explorer of a node.
    pub(super) fn is_explorer(self) -> bool {
        matches!(self, Self::IncidentsOfRow | Self::NewCallsOfRow)
    }
}

impl Panel {
    fn new(kind: PanelKind, title: &'static str, description: &'static str, unit: &'static str) -> Self {
        let (width, height) = if kind == PanelKind::Stat { (3, 4) } else { (12, 8) };
        Self { title, description, kind, unit, width, height, queries: Vec::new(), thresholds: &[], leads_to: None }
    }

    /// Adds a query.
    pub(super) fn query(mut self, promql: &str, legend: &'static str) -> Self {
        self.queries.push(Query { promql: promql::expand(promql), legend });
        self
    }

    pub(super) fn size(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    pub(super) fn thresholds(self, thresholds: &'static [(f64, &'static str)]) -> Self {
        Self { thresholds, ..self }
    }

    pub(super) fn leads_to(self, there: LeadsTo) -> Self {
        Self { leads_to: Some(there), ..self }
    }
}

/// Red from the first one: a critical call, or a failure of syscallmon.
pub(super) const NONE_IS_GOOD: &[(f64, &str)] = &[(0.0, "green"), (1.0, "red")];
/// Orange from the first one: something to look at.
pub(super) const FEW_IS_GOOD: &[(f64, &str)] = &[(0.0, "green"), (1.0, "orange")];
/// For shares of a limit.
pub(super) const FULL_IS_BAD: &[(f64, &str)] = &[(0.0, "green"), (0.9, "red")];

pub(super) fn stat(title: &'static str, description: &'static str, unit: &'static str, promql: &str) -> Panel {
    Panel::new(PanelKind::Stat, title, description, unit).query(promql, "")
}

pub(super) fn lines(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    Panel::new(PanelKind::Lines, title, description, unit)
}

pub(super) fn stacked(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    Panel::new(PanelKind::Stacked, title, description, unit)
}

pub(super) fn bars(title: &'static str, description: &'static str) -> Panel {
    Panel::new(PanelKind::Bars, title, description, unit::COUNT)
}

pub(super) fn table(title: &'static str, description: &'static str, unit: &'static str, promql: &str) -> Panel {
    Panel::new(PanelKind::Table, title, description, unit).query(promql, "")
}

/// A table with a row for each workload.
pub(super) fn workloads(title: &'static str, description: &'static str, unit: &'static str, promql: &str) -> Panel {
    table(title, description, unit, promql).leads_to(LeadsTo::WorkloadOfRow)
}

pub(super) fn states(title: &'static str, description: &'static str) -> Panel {
    Panel::new(PanelKind::States, title, description, unit::COUNT)
}

pub(super) fn heatmap(title: &'static str, description: &'static str, promql: &str) -> Panel {
    Panel::new(PanelKind::Heatmap, title, description, unit::SECONDS).query(promql, "{{le}}")
}
