//! Collects series of the daemon and the host, with 64-bit floats as values, in the types of the prometheus crate.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricType};

/// The series of one family: of counters or gauges, as [`super::families`] makes sure.
#[derive(Debug)]
pub(in crate::serve) struct HostSamples {
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl HostSamples {
    pub(in crate::serve) fn new(kind: MetricType) -> Self {
        Self { kind, metrics: Vec::new() }
    }

    /// Adds one series. Values above 2^53 lose their last digits, because Prometheus' values are 64-bit floats.
    pub(in crate::serve) fn add(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.push(labels.iter().map(label).collect(), value);
    }

    fn push(&mut self, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    pub(in crate::serve) fn into_metrics(self) -> Vec<Metric> {
        self.metrics
    }
}

fn label((name, value): &(&'static str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name((*name).to_owned());
    pair.set_value((*value).to_owned());
    pair
}
