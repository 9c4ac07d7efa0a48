//! Small charts of rates, as SVG: only numbers, so nothing is escaped.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;

use super::text;
use crate::view::RATE_STEP;

/// Points across: 15 minutes.
const WIDTH: usize = 90;
/// Units of height.
const HEIGHT: f32 = 40.0;

/// The rates of a workload in the last minutes, the newest at the right. Its scale is its own.
#[derive(Clone, Debug)]
pub(super) struct Spark {
    /// Heights from 0 to [`HEIGHT`].
    path: String,
    /// For screen readers; in tables, the number beside it is enough.
    label: Option<String>,
}

impl Spark {
    /// Returns a chart for a table.
    pub(super) fn small(rates: impl ExactSizeIterator<Item = f32> + Clone) -> Self {
        Self { path: path(rates), label: None }
    }

    /// Returns a chart with a description.
    pub(super) fn large(what: &str, rates: impl ExactSizeIterator<Item = f32> + Clone) -> Self {
        let minutes = WIDTH as u64 * RATE_STEP.as_secs() / 60;
        let (most, now) = (highest(rates.clone()), rates.clone().last().unwrap_or_default());
        let label = format!(
            "{what} per second in the last {minutes} minutes: now {}, at most {}",
            text::rate(now),
            text::rate(most)
        );
        Self { path: path(rates), label: Some(label) }
    }
}

/// Returns the highest of rates.
pub(super) fn highest(rates: impl Iterator<Item = f32>) -> f32 {
    rates.filter(|rate| rate.is_finite()).fold(0.0, f32::max)
}

/// Returns an area below the line of the rates. Only zero has no height.
fn path(rates: impl ExactSizeIterator<Item = f32> + Clone) -> String {
    let most = highest(rates.clone());
    let shown = rates.len().min(WIDTH);
    let skipped = rates.len() - shown;
    if shown == 0 || most <= 0.0 {
        return String::new();
    }
    let mut path = format!("M{} {HEIGHT}", WIDTH - shown);
    for rate in rates.skip(skipped) {
        let height =
            if rate > 0.0 && rate.is_finite() { (rate / most * HEIGHT).clamp(1.0, HEIGHT).round() } else { 0.0 };
        // Writing to a string cannot fail.
        let _ = write!(path, "V{}h1", HEIGHT - height);
    }
    let _ = write!(path, "V{HEIGHT}z");
    path
}

impl fmt::Display for Spark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => write!(formatter, "<svg class=\"spark large\" role=\"img\" aria-label=\"{label}\"")?,
            None => formatter.write_str("<svg class=\"spark\" aria-hidden=\"true\"")?,
        }
        let path = &self.path;
        write!(formatter, " viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\"><path d=\"{path}\"/></svg>")
    }
}

impl HtmlSafe for Spark {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_rate_is_at_the_right_and_the_highest_at_the_top() {
        assert_eq!(path([1.0, 0.0, 4.0, 0.001].into_iter()), "M86 40V30h1V40h1V0h1V39h1V40z");
        let many: Vec<f32> = (0..1000_u16).map(f32::from).collect();
        assert!(path(many.iter().copied()).starts_with("M0 40"));
        assert_eq!(path(many.iter().copied()).matches('h').count(), WIDTH);
    }

    #[test]
    fn nothing_is_an_empty_chart_and_no_number_breaks_it() {
        assert_eq!(path([].into_iter()), "");
        assert_eq!(path([0.0, 0.0].into_iter()), "");
        for odd in [f32::NAN, f32::INFINITY, -1.0] {
            let html = Spark::large("calls", [1.0, odd].into_iter()).to_string();
            assert!(html.contains("now 0, at most 1.00"), "{html}");
            assert_eq!((html.matches('<').count(), html.matches('"').count() % 2), (3, 0), "{html}");
        }
    }
}
