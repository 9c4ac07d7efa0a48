//! The result: figures with their limits, and the medians from which they were computed.

/// One figure.
pub(super) struct Figure {
    /// Name of the measurement.
    pub(super) name: String,
    /// The value. Not a number if it could not be computed.
    pub(super) value: f64,
    /// The unit of the value.
    pub(super) unit: Unit,
    /// The maximum. `None` for a figure without a limit.
    pub(super) limit: Option<f64>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Ratio,
    Nanoseconds,
    Milliseconds,
    Mebibytes,
    Bytes,
    Percent,
}

/// The median of one variant in one scenario.
pub(super) struct Median {
    pub(super) scenario: &'static str,
    pub(super) variant: &'static str,
    /// Time of a call, or of a hop.
    pub(super) ns: f64,
    /// Median over the rounds of the time added to the variant `nothing` of the same round.
    pub(super) added_ns: f64,
}

/// All results.
#[derive(Default)]
pub(super) struct Report {
    pub(super) figures: Vec<Figure>,
    pub(super) medians: Vec<Median>,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit, limit: None }
    }

    pub(super) fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    fn is_missed(&self) -> bool {
        // A value that is not a number is over the limit.
        self.limit.is_some_and(|limit| self.value.is_nan() || self.value > limit)
    }

    fn render(&self) -> String {
        let limit = self.limit.map(|limit| self.unit.render(limit)).unwrap_or_default();
        let verdict = match self.limit {
            None => "",
            Some(_) if self.is_missed() => "**no**",
            Some(_) => "yes",
        };
        format!("| {} | {} | {limit} | {verdict} |", self.name, self.unit.render(self.value))
    }
}

impl Unit {
    fn render(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Nanoseconds => format!("{value:.1} ns"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Bytes => format!("{} bytes", grouped(&format!("{value:.0}"))),
            Self::Percent => format!("{value:.3} %"),
        }
    }
}

impl Report {
    pub(super) fn append(&mut self, other: Self) {
        self.figures.extend(other.figures);
        self.medians.extend(other.medians);
    }

    /// Returns the names of the figures that are over their limits.
    pub(super) fn missed(&self) -> Vec<&str> {
        self.figures.iter().filter(|figure| figure.is_missed()).map(|figure| figure.name.as_str()).collect()
    }

    /// Returns the report as tables in Markdown.
    pub(super) fn render(&self) -> String {
        let mut lines = vec!["| figure | value | limit | ok? |".to_owned(), "|---|---|---|---|".to_owned()];
        lines.extend(self.figures.iter().map(Figure::render));
        if !self.medians.is_empty() {
            lines.push("\n| scenario: variant | median | added |\n|---|---|---|".to_owned());
            lines.extend(self.medians.iter().map(|median| {
                format!("| {}: {} | {:.1} ns | {:.1} ns |", median.scenario, median.variant, median.ns, median.added_ns)
            }));
        }
        lines.join("\n")
    }
}

/// Returns digits with a comma before each group of three.
pub(super) fn grouped(digits: &str) -> String {
    let (head, tail) = digits.split_at(digits.len() % 3);
    let threes = tail.as_bytes().chunks(3).map(|three| String::from_utf8_lossy(three).into_owned());
    let parts = (!head.is_empty()).then(|| head.to_owned()).into_iter().chain(threes);
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            figures: vec![
                Figure::new("ratio", 1.333, Unit::Ratio).at_most(1.4),
                Figure::new("size", 15_000_001.0, Unit::Bytes).at_most(15_000_000.0),
                Figure::new("added", 30.04, Unit::Nanoseconds),
                Figure::new("lost", f64::NAN, Unit::Ratio).at_most(2.0),
            ],
            medians: vec![Median { scenario: "getppid", variant: "nothing", ns: 81.04, added_ns: 0.0 }],
        }
    }

    #[test]
    fn figures_become_a_table() {
        let expected = "| figure | value | limit | ok? |\n|---|---|---|---|\n\
            | ratio | 1.33 | 1.40 | yes |\n\
            | size | 15,000,001 bytes | 15,000,000 bytes | **no** |\n\
            | added | 30.0 ns |  |  |\n\
            | lost | NaN | 2.00 | **no** |\n\n\
            | scenario: variant | median | added |\n|---|---|---|\n\
            | getppid: nothing | 81.0 ns | 0.0 ns |";
        assert_eq!(report().render(), expected);
    }

    #[test]
    fn figure_over_its_limit_is_named() {
        assert_eq!(report().missed(), ["size", "lost"]);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(["7", "123", "1234", "123456"].map(grouped), ["7", "123", "1,234", "123,456"]);
    }
}
