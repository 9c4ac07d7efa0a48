//! Writes metric families: their heads, and their series.

use super::{
    Format,
    labels::{LabelText, write_escaped, write_labels},
    number::{Number, Timestamp, bound},
};

/// The suffix of counters. In `OpenMetrics` it belongs to the sample, not to the family.
const TOTAL: &str = "_total";

/// Units of Prometheus' conventions that names of families end with.
const UNITS: [&str; 4] = ["seconds", "bytes", "ratio", "celsius"];

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    /// Values that only rise.
    Counter,
    /// Values that rise and fall.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// What the lines before the series of a metric family say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FamilyHead<'a> {
    /// Its name in the text format, with `_total` if it is a counter.
    pub(crate) name: &'a str,
    /// Its type.
    pub(crate) kind: FamilyKind,
    /// Its help; no `HELP` line if empty.
    pub(crate) help: &'a str,
}

impl<'a> FamilyHead<'a> {
    /// Returns its name in metadata.
    pub(crate) fn name_in(self, format: Format) -> &'a str {
        match (format, self.kind) {
            (Format::OpenMetrics, FamilyKind::Counter) => self.name.strip_suffix(TOTAL).unwrap_or(self.name),
            _ => self.name,
        }
    }

    /// Writes the lines before its series. In the text format, a family without series has no such lines.
    pub(crate) fn write(self, format: Format, out: &mut Vec<u8>) {
        let name = self.name_in(format);
        if !self.help.is_empty() {
            write_all(out, &["# HELP ", name, " "]);
            write_escaped(out, self.help, format == Format::OpenMetrics);
            out.push(b'\n');
        }
        write_all(out, &["# TYPE ", name, " ", self.type_in(format), "\n"]);
        if let (Format::OpenMetrics, Some(unit)) = (format, unit(name)) {
            write_all(out, &["# UNIT ", name, " ", unit, "\n"]);
        }
    }

    fn type_in(self, format: Format) -> &'static str {
        match self.kind {
            // `OpenMetrics` requires this name of a counter.
            FamilyKind::Counter if format == Format::OpenMetrics && !self.name.ends_with(TOTAL) => "unknown",
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        }
    }

    /// Returns the name of samples of `_created`, in formats that have them.
    fn created_in(self, format: Format) -> Option<&'a str> {
        match (format, self.kind) {
            (Format::OpenMetrics, FamilyKind::Counter) => self.name.strip_suffix(TOTAL),
            (Format::OpenMetrics, FamilyKind::Histogram) => Some(self.name),
            (Format::Text, _) | (_, FamilyKind::Gauge) => None,
        }
    }
}

/// Returns the unit at the end of a name.
fn unit(name: &str) -> Option<&'static str> {
    let (_, last) = name.rsplit_once('_')?;
    UNITS.into_iter().find(|&unit| unit == last)
}

/// Upper bounds of a histogram's buckets, as a format writes them, without the last one (`+Inf`).
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    texts: Vec<String>,
    ends_with_infinity: bool,
}

impl Bounds {
    /// Returns these bounds, which must rise.
    pub(crate) fn new(format: Format, bounds: impl IntoIterator<Item = f64>) -> Self {
        let mut ends_with_infinity = false;
        let text = |value: f64| {
            ends_with_infinity |= value == f64::INFINITY;
            bound(value, format)
        };
        let texts = bounds.into_iter().map(text).collect();
        Self { texts, ends_with_infinity }
    }
}

/// The counts of a histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Histogram<'a> {
    /// The bounds of its buckets.
    pub(crate) bounds: &'a Bounds,
    /// Number of observations of at most each bound, for each bound.
    pub(crate) cumulative: &'a [u64],
    /// Number of observations.
    pub(crate) count: u64,
    /// Sum of observations.
    pub(crate) sum: f64,
}

/// Writes series of one family as text.
#[derive(Debug)]
pub(crate) struct SeriesTextWriter<'a> {
    family: FamilyHead<'a>,
    format: Format,
    out: &'a mut Vec<u8>,
}

impl<'a> SeriesTextWriter<'a> {
    /// Returns a writer that appends to `out`.
    pub(crate) fn new(family: FamilyHead<'a>, format: Format, out: &'a mut Vec<u8>) -> Self {
        Self { family, format, out }
    }

    /// Writes a series of a counter or gauge with the labels `first`, then `more`. In `OpenMetrics`, a counter with a
    /// known start also has a sample of that.
    pub(crate) fn value(
        &mut self,
        first: &LabelText,
        more: &[(&str, &str)],
        value: impl Into<Number>,
        created: Option<Timestamp>,
    ) {
        debug_assert_ne!(self.family.kind, FamilyKind::Histogram, "{}", self.family.name);
        self.sample("", first, more, None, value.into());
        self.created(first, more, created);
    }

    /// Writes the series of a histogram.
    pub(crate) fn histogram(
        &mut self,
        first: &LabelText,
        more: &[(&str, &str)],
        histogram: Histogram<'_>,
        created: Option<Timestamp>,
    ) {
        debug_assert_eq!(self.family.kind, FamilyKind::Histogram, "{}", self.family.name);
        let Histogram { bounds, cumulative, count, sum } = histogram;
        debug_assert_eq!(bounds.texts.len(), cumulative.len());
        for (bound, &count) in bounds.texts.iter().zip(cumulative) {
            self.sample("_bucket", first, more, Some(bound), count.into());
        }
        if !bounds.ends_with_infinity {
            self.sample("_bucket", first, more, Some("+Inf"), count.into());
        }
        self.sample("_sum", first, more, None, sum.into());
        self.sample("_count", first, more, None, count.into());
        self.created(first, more, created);
    }

    fn sample(&mut self, suffix: &str, first: &LabelText, more: &[(&str, &str)], bound: Option<&str>, value: Number) {
        write_all(self.out, &[self.family.name, suffix]);
        write_labels(self.out, first, more, bound.map(|bound| ("le", bound)));
        self.out.push(b' ');
        value.write(self.format, self.out);
        self.out.push(b'\n');
    }

    fn created(&mut self, first: &LabelText, more: &[(&str, &str)], created: Option<Timestamp>) {
        let Some((name, created)) = self.family.created_in(self.format).zip(created) else { return };
        write_all(self.out, &[name, "_created"]);
        write_labels(self.out, first, more, None);
        self.out.push(b' ');
        created.write(self.out);
        self.out.push(b'\n');
    }
}

fn write_all(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests;
