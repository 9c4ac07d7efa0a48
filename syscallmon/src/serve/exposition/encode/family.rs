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

/// What a family's series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Values that only rise.
    Counter,
    /// Values that rise and fall.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// A metric family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family<'a> {
    /// Its name in the text format, with `_total` if it is a counter.
    pub(crate) name: &'a str,
    /// What its series are.
    pub(crate) kind: Kind,
    /// What it counts; no `HELP` line if empty.
    pub(crate) help: &'a str,
}

impl<'a> Family<'a> {
    /// Its name in metadata.
    pub(crate) fn name_in(self, format: Format) -> &'a str {
        match (format, self.kind) {
            (Format::OpenMetrics, Kind::Counter) => self.name.strip_suffix(TOTAL).unwrap_or(self.name),
            _ => self.name,
        }
    }

    /// Writes the lines before its series. In the text format a family without series has none of them.
    pub(crate) fn write_head(self, format: Format, out: &mut Vec<u8>) {
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
            // OpenMetrics does not let a counter have any other name.
            Kind::Counter if format == Format::OpenMetrics && !self.name.ends_with(TOTAL) => "unknown",
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// What samples of `_created` are called, where the format has them.
    fn created_in(self, format: Format) -> Option<&'a str> {
        match (format, self.kind) {
            (Format::OpenMetrics, Kind::Counter) => self.name.strip_suffix(TOTAL),
            (Format::OpenMetrics, Kind::Histogram) => Some(self.name),
            (Format::Text, _) | (_, Kind::Gauge) => None,
        }
    }
}

/// The unit that a name ends with.
fn unit(name: &str) -> Option<&'static str> {
    let (_, last) = name.rsplit_once('_')?;
    UNITS.into_iter().find(|&unit| unit == last)
}

/// The upper bounds of a histogram's buckets, as a format writes them, without the last one (`+Inf`).
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    texts: Vec<String>,
    ends_with_infinity: bool,
}

impl Bounds {
    /// These bounds, which rise.
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
    /// How many observations were at most each of the bounds: as many numbers as there are bounds.
    pub(crate) cumulative: &'a [u64],
    /// How many there were.
    pub(crate) count: u64,
    /// All of them added up.
    pub(crate) sum: f64,
}

/// Writes series of one family.
#[derive(Debug)]
pub(crate) struct SeriesWriter<'a> {
    family: Family<'a>,
    format: Format,
    out: &'a mut Vec<u8>,
}

impl<'a> SeriesWriter<'a> {
    /// A writer that appends to `out`.
    pub(crate) fn new(family: Family<'a>, format: Format, out: &'a mut Vec<u8>) -> Self {
        Self { family, format, out }
    }

    /// Writes a series of a counter or gauge: its labels are `first`, then `more`. A counter that began at a known time
    /// has a sample of that too, in `OpenMetrics`.
    pub(crate) fn value(
        &mut self,
        first: &LabelText,
        more: &[(&str, &str)],
        value: impl Into<Number>,
        created: Option<Timestamp>,
    ) {
        debug_assert_ne!(self.family.kind, Kind::Histogram, "{}", self.family.name);
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
        debug_assert_eq!(self.family.kind, Kind::Histogram, "{}", self.family.name);
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
