//! The dashboards for Grafana, as data: what `cargo xtask manifests` writes, what `cargo xtask e2e` asks a real
//! Prometheus for, and what `cargo xtask pictures` draws.

mod json;
mod overview;
mod panel;
mod promql;
mod unexpected;
mod variable;
mod workload;

pub use self::{
    panel::{Kind, LeadsTo, Panel, Query},
    promql::{Values, selectors},
    variable::Variable,
};

/// One dashboard.
pub struct Dashboard {
    /// Of its file, and the end of its uid.
    pub name: &'static str,
    /// What people read.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What can be chosen at its top.
    pub variables: Vec<Variable>,
    /// Its panels, from top to bottom.
    pub rows: Vec<Row>,
}

/// Panels under one headline.
pub struct Row {
    /// The headline.
    pub title: &'static str,
    /// From left to right, then down.
    pub panels: Vec<Panel>,
}

/// All of them.
#[must_use]
pub fn all() -> [Dashboard; 3] {
    [overview::dashboard(), workload::dashboard(), unexpected::dashboard()]
}

impl Dashboard {
    /// As Grafana imports it.
    #[must_use]
    pub fn json(&self) -> String {
        json::text(&json::dashboard(self))
    }

    /// All panels, row by row.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }
}

impl Row {
    /// Where each panel is, in columns and lines of the grid: side by side for as long as there is room.
    #[must_use]
    pub fn positions(&self) -> Vec<(u32, u32)> {
        let (mut x, mut y, mut tallest) = (0, 0, 0);
        let position = |panel: &Panel| {
            if x + panel.width > COLUMNS {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            let position = (x, y);
            x += panel.width;
            tallest = tallest.max(panel.height);
            position
        };
        self.panels.iter().map(position).collect()
    }

    /// In lines of the grid.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.positions().iter().zip(&self.panels).map(|((_, y), panel)| y + panel.height).max().unwrap_or(0)
    }
}

/// Of Grafana's grid.
const COLUMNS: u32 = 24;

fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

#[cfg(test)]
mod tests {
    use super::{panel::lines, *};

    #[test]
    fn panels_are_side_by_side_while_there_is_room() {
        let panels = [(8, 8), (8, 9), (8, 8), (12, 4)].map(|(width, height)| lines("", "", "").size(width, height));
        let row = row("", panels.into());
        assert_eq!(row.positions(), [(0, 0), (8, 0), (16, 0), (0, 9)]);
        assert_eq!(row.height(), 13);
    }
}
