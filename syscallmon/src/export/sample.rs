//! Collects the series of one family, in the form that the prometheus crate wants.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricType};

use crate::{
    durations::{Bound, Durations},
    workload::Workload,
};

/// The series of one family.
#[derive(Debug)]
pub struct Samples {
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Samples {
    pub(super) fn new(kind: MetricType) -> Self {
        Self { kind, metrics: Vec::new() }
    }

    /// Adds one series. Values above 2^53 lose their last digits: Prometheus' own values are 64-bit floats.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.push(labels.iter().map(label).collect(), value);
    }

    /// Adds one series of a workload, with its labels before these.
    pub fn add_of(&mut self, workload: &Workload, labels: &[(&'static str, &str)], value: f64) {
        self.push(labels_of(workload, labels), value);
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

    /// Adds one histogram of a workload, in seconds, with a bucket for each of these bounds.
    pub fn add_durations(
        &mut self,
        workload: &Workload,
        labels: &[(&'static str, &str)],
        durations: &Durations,
        bounds: &[Bound],
    ) {
        let bucket = |&bound: &Bound| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.seconds());
            bucket.set_cumulative_count(durations.at_most(bound));
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(bounds.iter().map(bucket).collect());
        histogram.set_sample_count(durations.count());
        histogram.set_sample_sum(durations.seconds());
        let mut metric = Metric::from_label(labels_of(workload, labels));
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    pub(super) fn into_metrics(self) -> Vec<Metric> {
        self.metrics
    }
}

fn labels_of(workload: &Workload, more: &[(&'static str, &str)]) -> Vec<LabelPair> {
    workload.labels().chain(more.iter().copied()).map(|pair| label(&pair)).collect()
}

fn label((name, value): &(&'static str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name((*name).to_owned());
    pair.set_value((*value).to_owned());
    pair
}
