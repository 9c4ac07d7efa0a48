//! Draws a dashboard: its panels at Grafana's positions, each with the answers to its queries.

use std::collections::BTreeMap;

use super::{
    number,
    svg::{Point, Svg},
};
use crate::dashboards::{Dashboard, Panel, PanelKind, Row};

/// One series of an answer.
pub struct Answer {
    /// Text of the legend.
    pub legend: String,
    /// Labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Times in seconds since 1970, and values.
    pub points: Vec<(f64, f64)>,
}

/// A row with the answers of each of its panels.
pub struct Drawn<'a> {
    /// The row.
    pub row: &'a Row,
    /// The answers of each panel, in the order of the row.
    pub answers: Vec<Vec<Answer>>,
}

const WIDTH: f64 = 1200.0;
/// Width of a column and height of a line of Grafana's grid.
const COLUMN: f64 = 50.0;
const LINE: f64 = 28.0;
const HEAD: f64 = 64.0;
const HEADLINE: f64 = 30.0;
/// Gap between panels, and within them.
const GAP: f64 = 4.0;
const TITLE: f64 = 24.0;
/// Height of a line of small text.
const SMALL: f64 = 16.0;
/// Width of the texts beside an axis.
const AXIS: f64 = 52.0;

const INK: &str = "#24292f";
const FAINT: &str = "#6e7781";
const COLORS: [&str; 10] =
    ["#3274d9", "#e0b400", "#37872d", "#c4162a", "#8f3bb8", "#fa6400", "#1f9e9e", "#a0522d", "#e24d9b", "#7c8a99"];
const LABEL: &str = "Drawn by `cargo xtask pictures` from the data of a real Prometheus, by the dashboard's own queries; not a screenshot of Grafana.";

/// Returns the legend of a series.
#[must_use]
pub fn legend(pattern: &str, labels: &BTreeMap<String, String>) -> String {
    let mut parts = pattern.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (label, rest) = part.split_once("}}").unwrap_or((part, ""));
        text += labels.get(label).map_or("", String::as_str);
        text += rest;
    }
    text.trim().to_owned()
}

/// Returns a picture of these rows of a dashboard, as SVG. The range is in seconds since 1970, with a step.
#[must_use]
pub fn dashboard(dashboard: &Dashboard, rows: &[Drawn], range: [f64; 3]) -> String {
    let heights = rows.iter().map(|drawn| HEADLINE + f64::from(drawn.row.height()) * LINE);
    let mut svg = Svg::new((WIDTH, HEAD + heights.sum::<f64>() + GAP), "#f0f2f5");
    svg.text((12.0, 28.0), dashboard.title, (20, INK), 1000.0);
    svg.text((12.0, 50.0), LABEL, (12, FAINT), 1180.0);
    let mut top = HEAD;
    for drawn in rows {
        svg.text((12.0, top + 20.0), drawn.row.title, (14, INK), 1180.0);
        top += HEADLINE;
        for ((panel, answers), (x, y)) in drawn.row.panels.iter().zip(&drawn.answers).zip(drawn.row.positions()) {
            let area = Area {
                at: (f64::from(x) * COLUMN + GAP, top + f64::from(y) * LINE),
                size: (f64::from(panel.width) * COLUMN - 2.0 * GAP, f64::from(panel.height) * LINE - 2.0 * GAP),
            };
            self::panel(&mut svg, area, panel, answers, range);
        }
        top += f64::from(drawn.row.height()) * LINE;
    }
    svg.finish()
}

#[derive(Clone, Copy)]
struct Area {
    at: Point,
    size: Point,
}

fn panel(svg: &mut Svg, area: Area, panel: &Panel, answers: &[Answer], range: [f64; 3]) {
    let ((x, y), (width, height)) = (area.at, area.size);
    svg.rect(area.at, area.size, "#ffffff");
    svg.text((x + 8.0, y + 16.0), panel.title, (12, INK), width - 16.0);
    let inner = Area { at: (x + 8.0, y + TITLE), size: (width - 16.0, height - TITLE - 8.0) };
    if answers.is_empty() {
        svg.text((x + 8.0, y + TITLE + SMALL), "no data", (11, FAINT), width - 16.0);
        return;
    }
    match panel.kind {
        PanelKind::Stat => stat(svg, inner, panel, answers),
        PanelKind::Lines | PanelKind::Stacked | PanelKind::Bars => graph(svg, inner, panel, answers, range),
        PanelKind::Table => table(svg, inner, panel, answers),
        PanelKind::States => states(svg, inner, answers, range),
        PanelKind::Heatmap => heatmap(svg, inner, answers, range),
    }
}

/// Returns the number of lines of small text that fit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "panels are some hundred pixels high")]
fn lines_in(height: f64) -> usize {
    (height / SMALL) as usize
}

fn last(answer: &Answer) -> f64 {
    answer.points.last().map_or(0.0, |(_, value)| *value)
}

fn stat(svg: &mut Svg, Area { at: (x, y), size: (width, height) }: Area, panel: &Panel, answers: &[Answer]) {
    let value = answers.iter().map(last).sum::<f64>();
    let passed = panel.thresholds.iter().rfind(|(limit, _)| value >= *limit);
    let color = match passed.map(|(_, color)| *color) {
        Some("red") => "#c4162a",
        Some("orange") => "#d9730d",
        Some("green") => "#37872d",
        _ => INK,
    };
    svg.text((x, y + height * 0.7), &number::text(value, panel.unit), (26, color), width);
}

/// Returns the series with the greatest means in descending order, as many as fit into the legend.
fn greatest(answers: &[Answer], room: f64) -> Vec<(&Answer, f64)> {
    let mean = |answer: &Answer| {
        let finite: Vec<f64> =
            answer.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
        finite.iter().sum::<f64>() / (finite.len() as f64).max(1.0)
    };
    let mut sorted: Vec<(&Answer, f64)> = answers.iter().map(|answer| (answer, mean(answer))).collect();
    sorted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    sorted.truncate(lines_in(room));
    sorted
}

fn graph(svg: &mut Svg, area: Area, panel: &Panel, answers: &[Answer], range: [f64; 3]) {
    let (x, y) = area.at;
    let (width, height) = (area.size.0 * 0.62, area.size.1 - SMALL);
    let series = greatest(answers, area.size.1);
    let stacks = matches!(panel.kind, PanelKind::Stacked | PanelKind::Bars);
    let mut below: BTreeMap<u64, f64> = BTreeMap::new();
    let mut curves: Vec<Vec<(f64, f64, f64)>> = Vec::new();
    for (answer, _) in &series {
        let curve = answer.points.iter().filter(|(_, value)| value.is_finite()).map(|&(time, value)| {
            let base = below.entry(time.to_bits()).or_default();
            let from = if stacks { *base } else { 0.0 };
            *base = from + value;
            (time, from, from + value)
        });
        curves.push(curve.collect());
    }
    let most = curves.iter().flatten().map(|(_, _, value)| *value).fold(0.0, f64::max).max(1e-9) * 1.1;
    let [begin, end, step] = range;
    let across = |time: f64| x + AXIS + (time - begin) / (end - begin) * (width - AXIS);
    let up = |value: f64| y + height * (1.0 - value / most);
    for part in [0.0, 0.5, 1.0] {
        let at = y + height * (1.0 - part);
        svg.line(&[(x + AXIS, at), (x + width, at)], "#e1e4e8");
        svg.text((x, at.max(y + 8.0)), &number::text(most * part, panel.unit), (10, FAINT), AXIS);
    }
    svg.text((x + AXIS, y + height + 13.0), &format!("{:.0} s", begin - end), (10, FAINT), 80.0);
    svg.text((x + width - 20.0, y + height + 13.0), "now", (10, FAINT), 80.0);
    for ((number, curve), (answer, mean)) in curves.iter().enumerate().zip(&series) {
        let color = COLORS[number % COLORS.len()];
        let top: Vec<Point> = curve.iter().map(|&(time, _, value)| (across(time), up(value))).collect();
        let bottom = curve.iter().rev().map(|&(time, from, _)| (across(time), up(from)));
        match panel.kind {
            PanelKind::Stacked => svg.area(&top.iter().copied().chain(bottom).collect::<Vec<_>>(), color),
            PanelKind::Bars => {
                let bar = (across(begin + step) - across(begin)) * 0.8;
                for &(time, from, to) in curve {
                    svg.rect((across(time) - bar, up(to)), (bar, up(from) - up(to)), color);
                }
            }
            _ => svg.line(&top, color),
        }
        let line = y + SMALL * (number as f64 + 0.6);
        svg.rect((x + width + 14.0, line - 8.0), (10.0, 8.0), color);
        let name = if answer.legend.is_empty() { panel.title } else { &answer.legend };
        svg.text((x + width + 30.0, line), name, (11, INK), area.size.0 - width - 94.0);
        svg.text((x + area.size.0 - 56.0, line), &number::text(*mean, panel.unit), (11, FAINT), 60.0);
    }
}

fn table(svg: &mut Svg, Area { at: (x, y), size: (width, height) }: Area, panel: &Panel, answers: &[Answer]) {
    let columns: Vec<&str> = {
        let all = answers.iter().flat_map(|answer| answer.labels.keys().map(String::as_str));
        let mut columns: Vec<&str> = all.collect();
        columns.sort_unstable_by_key(|label| {
            (ORDER.iter().position(|known| known == label).unwrap_or(ORDER.len()), *label)
        });
        columns.dedup();
        columns
    };
    let column = width / (columns.len() + 1) as f64;
    let place = |number: usize, row: f64| (x + number as f64 * column, y + SMALL * (row + 0.8));
    for (number, name) in columns.iter().chain([&"value"]).enumerate() {
        svg.text(place(number, 0.0), name, (11, FAINT), column - GAP);
    }
    let mut sorted: Vec<&Answer> = answers.iter().collect();
    sorted.sort_by(|a, b| last(b).total_cmp(&last(a)));
    for (row, answer) in sorted.iter().take(lines_in(height).saturating_sub(1)).enumerate() {
        let row = row as f64 + 1.0;
        for (number, name) in columns.iter().enumerate() {
            let value = answer.labels.get(*name).map_or("", String::as_str);
            svg.text(place(number, row), value, (11, INK), column - GAP);
        }
        svg.text(place(columns.len(), row), &number::text(last(answer), panel.unit), (11, INK), column);
    }
}

/// Order of labels: the labels that identify the workload, then the labels of its calls.
const ORDER: [&str; 10] =
    ["severity", "policy", "namespace", "pod", "container", "cgroup", "syscall", "set", "abi", "errno"];

fn states(svg: &mut Svg, Area { at: (x, y), size: (width, height) }: Area, answers: &[Answer], range: [f64; 3]) {
    let [begin, end, step] = range;
    let name = width * 0.35;
    let scale = (width - name) / (end - begin);
    for (row, answer) in answers.iter().take(lines_in(height)).enumerate() {
        let line = y + SMALL * row as f64;
        svg.text((x, line + 11.0), &answer.legend, (11, INK), name);
        for &(time, value) in &answer.points {
            let color = if value > 0.0 { "#73bf69" } else { "#c4162a" };
            svg.rect(
                (x + name + (time - begin) * scale, line + 2.0),
                (step.min(end - time) * scale + 1.0, SMALL - 4.0),
                color,
            );
        }
    }
}

/// Draws a heatmap. Buckets are cumulative, so the observations of the bucket below are subtracted from each.
fn heatmap(svg: &mut Svg, Area { at: (x, y), size: (width, height) }: Area, answers: &[Answer], range: [f64; 3]) {
    let bound =
        |answer: &Answer| answer.labels.get("le").and_then(|le| le.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
    let mut buckets: Vec<&Answer> = answers.iter().collect();
    buckets.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let mut below: BTreeMap<u64, f64> = BTreeMap::new();
    let mut cells = Vec::new();
    for (row, bucket) in buckets.iter().enumerate() {
        for &(time, value) in &bucket.points {
            let own = value - below.insert(time.to_bits(), value).unwrap_or_default();
            cells.push((row, time, own));
        }
    }
    let most = cells.iter().map(|(_, _, count)| *count).fold(1e-9, f64::max);
    let [begin, end, step] = range;
    let (line, scale) = (height / buckets.len() as f64, (width - AXIS) / (end - begin));
    for (row, bucket) in buckets.iter().enumerate() {
        let at = y + height - line * row as f64;
        svg.text((x, at - 2.0), &number::text(bound(bucket), "s"), (9, FAINT), AXIS);
    }
    // A point describes the time before it.
    for (row, time, count) in cells.into_iter().filter(|(_, time, count)| *count > 0.0 && *time > begin) {
        // The square root makes small counts visible.
        let lightness = 92.0 - 55.0 * (count / most).sqrt();
        let at = (x + AXIS + (time - step - begin) * scale, y + height - line * (row as f64 + 1.0));
        svg.rect(at, (step * scale, line - 1.0), &format!("hsl(24,90%,{lightness:.0}%)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legends_have_the_labels_that_there_are() {
        let labels = BTreeMap::from([("syscall".to_owned(), "read".to_owned())]);
        assert_eq!(legend("{{syscall}} ({{abi}})", &labels), "read ()");
        assert_eq!(legend("{{pod}} {{syscall}}", &labels), "read");
        assert_eq!(legend("series", &labels), "series");
    }
}
