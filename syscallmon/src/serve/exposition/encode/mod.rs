//! Encodes metrics as text, and keeps and compresses that text in chunks.
//!
//! - [`family`] writes families and series in both exposition [`Format`]s; [`gathered`] does it for families that the
//!   prometheus crate gathered.
//! - [`labels`] and [`number`] are the parts of a line.
//! - [`chunks`] keeps the text of one family's series and renders only what changed.
//! - [`gzip`] compresses each chunk once and puts gzip members together.
//!
//! This module does not know workloads or views, does no I/O, and holds no lock.

pub(in crate::serve) mod chunks;
pub(in crate::serve) mod family;
pub(in crate::serve) mod gathered;
pub(in crate::serve) mod gzip;
pub(in crate::serve) mod labels;
pub(in crate::serve) mod number;

/// A text format for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4:
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.
    Text,
    /// `OpenMetrics` 1.0: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
    OpenMetrics,
}

impl Format {
    /// Returns the value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Returns the end of an exposition.
    pub(crate) fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }
}
