//! The dashboards for Grafana, as data. `cargo xtask manifests` writes them, `cargo xtask e2e` sends their queries to a
//! real Prometheus, and `cargo xtask pictures` draws them.

mod annotation;
mod json;
mod nodes;
mod overview;
mod panel;
mod promql;
mod unexpected;
mod variable;
mod workload;

pub use self::{
    annotation::Annotation,
    panel::{LeadsTo, Panel, PanelKind, Query},
    promql::{Values, selectors},
    variable::Variable,
};

/// One dashboard.
pub struct Dashboard {
    /// Name of the file, and end of the uid.
    pub name: &'static str,
    /// Title for users.
    pub title: &'static str,
    /// Purpose of the dashboard.
    pub description: &'static str,
    /// Variables at the top of the dashboard.
    pub variables: Vec<Variable>,
    /// Moments that all graphs mark.
    pub annotations: Vec<Annotation>,
    /// Rows of panels, from top to bottom.
    pub rows: Vec<Row>,
}

/// Panels under one headline.
pub struct Row {
    /// The headline.
    pub title: &'static str,
    /// Panels, from left to right, then down.
    pub panels: Vec<Panel>,
}

/// Returns all dashboards.
#[must_use]
pub fn all() -> [Dashboard; 4] {
    [overview::dashboard(), workload::dashboard(), unexpected::dashboard(), nodes::dashboard()]
}

impl Dashboard {
    /// Returns the JSON that Grafana imports.
    #[must_use]
    pub fn json(&self) -> String {
        json::text(&json::dashboard(self))
    }

    /// Returns all panels, row by row.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }
}

impl Row {
    /// Returns the position of each panel, in columns and lines of the grid. Panels are side by side while there is
    /// room.
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

    /// Returns the height, in lines of the grid.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.positions().iter().zip(&self.panels).map(|((_, y), panel)| y + panel.height).max().unwrap_or(0)
    }
}

/// Columns of Grafana's grid.
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
