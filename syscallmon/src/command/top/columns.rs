//! The columns of workloads: names, values, order.

use std::cmp::Ordering;

use clap::ValueEnum;

use super::{
    sample::{Flagged, WorkloadEntry, name},
    text::{compact, compact_rate},
};
use crate::{process::short_ids, view::Sums};

/// A column of the table of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Column {
    /// Calls per second.
    Rate,
    /// Calls per second over the last minutes.
    History,
    /// Calls that failed, per second.
    ErrorRate,
    /// Calls that seccomp denied, per second.
    DeniedRate,
    /// All calls.
    Calls,
    /// All calls that failed.
    Errors,
    /// All calls that seccomp denied.
    Denied,
    /// All operations of `io_uring`.
    IoUring,
    /// Incidents: unexpected calls by process tree.
    Incidents,
    /// Namespace, pod and container, or the cgroup.
    Name,
}

impl Column {
    /// The columns that are shown by default.
    pub(super) const DEFAULT: [Self; 7] =
        [Self::Rate, Self::History, Self::ErrorRate, Self::DeniedRate, Self::Calls, Self::Errors, Self::Name];

    /// Returns the heading.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Rate => "CALLS/S",
            Self::History => "LAST MINUTES",
            Self::ErrorRate => "ERR/S",
            Self::DeniedRate => "DENIED/S",
            Self::Calls => "CALLS",
            Self::Errors => "ERRORS",
            Self::Denied => "DENIED",
            Self::IoUring => "IO_URING",
            Self::Incidents => "INCIDENTS",
            Self::Name => "WORKLOAD",
        }
    }

    /// Returns the name in CSV and JSON.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Rate => "calls_per_second",
            Self::History => "history",
            Self::ErrorRate => "errors_per_second",
            Self::DeniedRate => "denied_per_second",
            Self::Calls => "calls",
            Self::Errors => "errors",
            Self::Denied => "denied",
            Self::IoUring => "io_uring",
            Self::Incidents => "incidents",
            Self::Name => "workload",
        }
    }

    /// Returns the width; `None` for the column that takes the rest of the line.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Self::History => Some(20),
            Self::Incidents => Some(9),
            Self::Name => None,
            _ => Some(8),
        }
    }

    /// Returns a value as people read it.
    pub(super) fn text(self, row: &WorkloadRow) -> String {
        match self {
            Self::Rate => compact_rate(row.rates.calls, 1),
            Self::ErrorRate => compact_rate(row.rates.errors, 1),
            Self::DeniedRate => compact_rate(row.rates.denied, 1),
            Self::Calls => compact(row.entry.totals.calls),
            Self::Errors => compact(row.entry.totals.errors),
            Self::Denied => compact(row.entry.totals.denied),
            Self::IoUring => compact(row.entry.totals.io_uring),
            Self::Incidents => row.incidents().to_string(),
            Self::Name => short_ids(&row.name),
            Self::History => super::text::sparkline(&row.entry.rates.calls, self.width().unwrap_or_default()),
        }
    }

    /// Compares two workloads; numbers in falling order.
    pub(super) fn compare(self, a: &WorkloadRow, b: &WorkloadRow) -> Ordering {
        let (a_sums, b_sums) = (&a.entry.totals, &b.entry.totals);
        let order = match self {
            Self::Rate | Self::History => b.rates.calls.total_cmp(&a.rates.calls),
            Self::ErrorRate => b.rates.errors.total_cmp(&a.rates.errors),
            Self::DeniedRate => b.rates.denied.total_cmp(&a.rates.denied),
            Self::Calls => b_sums.calls.cmp(&a_sums.calls),
            Self::Errors => b_sums.errors.cmp(&a_sums.errors),
            Self::Denied => b_sums.denied.cmp(&a_sums.denied),
            Self::IoUring => b_sums.io_uring.cmp(&a_sums.io_uring),
            Self::Incidents => b.incidents().cmp(&a.incidents()),
            Self::Name => Ordering::Equal,
        };
        order.then_with(|| a.name.cmp(&b.name)).then_with(|| a.entry.id.cmp(&b.entry.id))
    }
}

/// Rates per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) calls: f64,
    pub(super) errors: f64,
    pub(super) denied: f64,
}

impl Rates {
    /// Returns the rates since earlier totals of the same workload, this many seconds ago; without them, those of the
    /// last ten seconds.
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    pub(super) fn of(entry: &WorkloadEntry, before: Option<(&Sums, f64)>) -> Self {
        let Some((old, seconds)) = before.filter(|(_, seconds)| *seconds > 0.0) else {
            let last = |rates: &[f64]| rates.last().copied().unwrap_or_default();
            let rates = &entry.rates;
            return Self { calls: last(&rates.calls), errors: last(&rates.errors), denied: last(&rates.denied) };
        };
        // Totals fall when the daemon has restarted.
        let rate = |old: u64, new: u64| new.saturating_sub(old) as f64 / seconds;
        let new = &entry.totals;
        Self {
            calls: rate(old.calls, new.calls),
            errors: rate(old.errors, new.errors),
            denied: rate(old.denied, new.denied),
        }
    }
}

/// A workload, with what is derived from its samples.
#[derive(Clone, Debug)]
pub(super) struct WorkloadRow {
    pub(super) entry: WorkloadEntry,
    /// Safe to show.
    pub(super) name: String,
    pub(super) rates: Rates,
    /// Its incidents, if it has any.
    pub(super) flagged: Option<Flagged>,
}

impl WorkloadRow {
    pub(super) fn new(entry: WorkloadEntry, before: Option<(&Sums, f64)>) -> Self {
        let (name, rates) = (name(&entry.workload), Rates::of(&entry, before));
        Self { entry, name, rates, flagged: None }
    }

    /// Returns the number of its incidents.
    pub(super) fn incidents(&self) -> usize {
        self.flagged.as_ref().map_or(0, |flagged| flagged.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::top::sample::RatesEntry;

    fn entry(name: &str, calls: u64) -> WorkloadEntry {
        WorkloadEntry {
            id: name.to_owned(),
            workload: [("cgroup".to_owned(), name.to_owned())].into(),
            metadata: [].into(),
            gone: false,
            started: None,
            totals: Sums { calls, ..Sums::default() },
            rates: RatesEntry { calls: vec![3.0, 7.0], errors: vec![], denied: vec![] },
        }
    }

    #[test]
    fn a_rate_is_of_the_last_two_samples_or_of_the_daemon() {
        let (old, new) = (entry("a", 100), entry("a", 160));
        let rates = [
            Rates::of(&new, None),
            Rates::of(&new, Some((&old.totals, 2.0))),
            Rates::of(&new, Some((&old.totals, 0.0))),
            Rates::of(&old, Some((&new.totals, 2.0))),
        ];
        assert_eq!(rates.map(|rates| compact_rate(rates.calls, 1)), ["7.0", "30.0", "7.0", "0.0"]);
    }

    #[test]
    fn numbers_fall_and_equal_ones_are_in_order_of_names() {
        let row = |name, calls| WorkloadRow::new(entry(name, calls), None);
        let sorted = |column: Column| {
            let mut rows = [row("b", 5), row("a", 5), row("c", 9)];
            rows.sort_by(|a, b| column.compare(a, b));
            rows.map(|row| row.name)
        };
        assert_eq!(sorted(Column::Calls), ["c", "a", "b"]);
        assert_eq!(sorted(Column::Name), ["a", "b", "c"]);
    }

    #[test]
    fn each_column_has_a_name_of_its_own() {
        let all = Column::value_variants();
        for texts in [all.iter().map(|c| c.heading()).collect::<Vec<_>>(), all.iter().map(|c| c.field()).collect()] {
            assert_eq!(texts.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{texts:?}");
        }
    }
}
