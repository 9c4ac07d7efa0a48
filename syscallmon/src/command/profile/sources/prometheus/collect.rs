//! Reads the counts of workloads, window by window, and keeps a summary of each series.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::{
    api::Api,
    labels::LabelSet,
    promql::{self, Function},
    window::Window,
};

/// Maximum series of metadata in the selector of one query.
const CHUNK: usize = 100;

/// Metadata of workloads: each series, and when it was there.
pub(super) type Infos = HashMap<LabelSet, Span>;

/// Counters of one metric by their labels.
pub(super) type Counters = HashMap<LabelSet, Counter>;

/// The time in which a series has samples, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) first: f64,
    pub(super) last: f64,
    /// Whether the times are those of samples, and not of a window.
    pub(super) is_exact: bool,
}

/// What is known about a counter in the whole range.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counter {
    /// The part of the workloads that it was asked for with.
    pub(super) part: usize,
    /// Its highest value.
    pub(super) max: f64,
    /// Its increase, with resets, without its first value.
    pub(super) increase: f64,
    /// The first window in which it was there.
    pub(super) first_window: usize,
    /// Its least value in that window: its first value, if it was not reset in that window.
    pub(super) first_value: f64,
    /// Windows in which it grew, in order.
    pub(super) grew_in: Vec<usize>,
}

/// Reads the metadata of the workloads that a selector matches in one of the windows.
pub(super) async fn infos(api: &mut Api, selectors: &[String], windows: &[Window]) -> Result<Infos> {
    let mut infos = Infos::new();
    for &window in windows {
        let present = api.over(Function::Last, selectors, window).await?;
        if present.is_empty() {
            continue;
        }
        let first = nameless(api.over(Function::FirstTime, selectors, window).await?);
        let last = nameless(api.over(Function::LastTime, selectors, window).await?);
        for labels in nameless(present).into_keys() {
            let span = match (first.get(&labels), last.get(&labels)) {
                (Some(&first), Some(&last)) => Span { first, last, is_exact: true },
                _ => Span { first: window.begin as f64, last: window.end as f64, is_exact: false },
            };
            infos.entry(labels).and_modify(|known| known.extend(span)).or_insert(span);
        }
    }
    Ok(infos)
}

/// Reads the counters of a metric of the workloads with these metadata.
pub(super) async fn counters(api: &mut Api, metric: &str, infos: &Infos, windows: &[Window]) -> Result<Counters> {
    let mut labels: Vec<&LabelSet> = infos.keys().collect();
    labels.sort_unstable();
    let mut counters = Counters::new();
    for (part, labels) in labels.chunks(CHUNK).enumerate() {
        let selector = [promql::counts(metric, labels.iter().copied())];
        for (index, &window) in windows.iter().enumerate() {
            let highest = api.over(Function::Max, &selector, window).await?;
            // A call without a counter was not made.
            if highest.is_empty() {
                continue;
            }
            let lowest = api.over(Function::Min, &selector, window).await?;
            let increase = api.over(Function::Increase, &selector, window).await?;
            for (labels, max) in highest {
                let grown = increase.get(&labels).copied().unwrap_or_default();
                let min = lowest.get(&labels).copied().unwrap_or_default();
                let of_window = Counter {
                    part,
                    max,
                    increase: grown,
                    first_window: index,
                    first_value: min,
                    grew_in: if grown > 0.0 { vec![index] } else { vec![] },
                };
                counters.entry(labels).and_modify(|known| known.extend(&of_window)).or_insert(of_window);
            }
        }
    }
    Ok(counters)
}

/// Removes the counters of calls that only the container runtime made. The kernel counts them for the container, too.
pub(super) async fn without_container_init(
    api: &mut Api,
    calls: &mut Counters,
    infos: &Infos,
    windows: &[Window],
) -> Result<()> {
    let init = counters(api, promql::CONTAINER_INIT, infos, windows).await?;
    if init.is_empty() {
        return Ok(());
    }
    // After a reset, the highest values are those of different times. Then a step decides.
    let mut own = HashSet::new();
    let mut labels: Vec<&LabelSet> = infos.keys().collect();
    labels.sort_unstable();
    for labels in labels.chunks(CHUNK) {
        let [all, init] =
            [promql::CALLS, promql::CONTAINER_INIT].map(|metric| promql::counts(metric, labels.iter().copied()));
        let more = [format!("{all} > {init}")];
        for &window in windows {
            own.extend(api.over(Function::MaxOfSteps, &more, window).await?.into_keys());
        }
    }
    let own = nameless(own.into_iter().map(|labels| (labels, 1.0)).collect());
    calls.retain(|labels, counter| {
        own.contains_key(labels) || init.get(labels).is_none_or(|init| counter.max > init.max)
    });
    Ok(())
}

/// Removes the name of the metric, which only some functions keep.
fn nameless(values: HashMap<LabelSet, f64>) -> HashMap<LabelSet, f64> {
    let is_label = |(name, _): &(&str, &str)| *name != "__name__";
    values.into_iter().map(|(labels, value)| (labels.iter().filter(is_label).collect(), value)).collect()
}

impl Span {
    fn extend(&mut self, other: Self) {
        // The first of two times decides whether the start is exact.
        if other.first < self.first {
            self.is_exact = other.is_exact;
        }
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
    }
}

impl Counter {
    /// Adds a later window. A counter that two parts of the workloads match is counted with the first part.
    fn extend(&mut self, later: &Self) {
        if later.part != self.part {
            return;
        }
        self.max = self.max.max(later.max);
        self.increase += later.increase;
        self.grew_in.extend(&later.grew_in);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_window(part: usize, window: usize, [max, increase]: [f64; 2]) -> Counter {
        let grew_in = if increase > 0.0 { vec![window] } else { vec![] };
        Counter { part, max, increase, first_window: window, first_value: 1.0, grew_in }
    }

    #[test]
    fn windows_of_a_counter_add_up_and_parts_do_not() {
        let mut counter = of_window(0, 2, [5.0, 4.0]);
        for later in [of_window(0, 3, [5.0, 0.0]), of_window(0, 5, [3.0, 2.0]), of_window(1, 2, [5.0, 4.0])] {
            counter.extend(&later);
        }
        let expected = Counter { increase: 6.0, grew_in: vec![2, 5], ..of_window(0, 2, [5.0, 4.0]) };
        assert_eq!(counter, expected);
    }

    #[test]
    fn a_span_covers_all_windows() {
        let mut span = Span { first: 10.0, last: 20.0, is_exact: true };
        span.extend(Span { first: 30.0, last: 40.0, is_exact: false });
        assert_eq!(span, Span { first: 10.0, last: 40.0, is_exact: true });
        span.extend(Span { first: 0.0, last: 5.0, is_exact: false });
        assert_eq!(span, Span { first: 0.0, last: 40.0, is_exact: false });
    }
}
