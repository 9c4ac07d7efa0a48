//! Encodes families that the prometheus crate gathered, in both formats: the daemon's own metrics.

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::{
    Format,
    family::{Bounds, FamilyHead, FamilyKind, Histogram, SeriesTextWriter},
    labels::LabelText,
    number::Timestamp,
};

/// Writes families with counters that began at this time. Skips families without series, and types other than counter,
/// gauge and histogram, which the crate's collectors do not make.
pub(crate) fn write(families: &[MetricFamily], format: Format, created: Option<Timestamp>, out: &mut Vec<u8>) {
    for gathered in families.iter().filter(|family| !family.get_metric().is_empty()) {
        let kind = match gathered.get_field_type() {
            MetricType::COUNTER => FamilyKind::Counter,
            MetricType::GAUGE => FamilyKind::Gauge,
            MetricType::HISTOGRAM => FamilyKind::Histogram,
            MetricType::SUMMARY | MetricType::UNTYPED => continue,
        };
        let head = FamilyHead { name: gathered.name(), kind, help: gathered.help() };
        head.write(format, out);
        let mut series = SeriesTextWriter::new(head, format, out);
        for metric in gathered.get_metric() {
            write_metric(&mut series, kind, metric, (format, created));
        }
    }
}

fn write_metric(
    series: &mut SeriesTextWriter<'_>,
    kind: FamilyKind,
    metric: &Metric,
    (format, created): (Format, Option<Timestamp>),
) {
    let labels: LabelText = metric.get_label().iter().map(|label: &LabelPair| (label.name(), label.value())).collect();
    match kind {
        FamilyKind::Counter => series.value(&labels, &[], metric.get_counter().get_value(), created),
        FamilyKind::Gauge => series.value(&labels, &[], metric.get_gauge().get_value(), None),
        FamilyKind::Histogram => {
            let histogram = metric.get_histogram();
            let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
            let buckets = histogram.get_bucket();
            let bounds = Bounds::new(format, buckets.iter().map(prometheus::proto::Bucket::upper_bound));
            let cumulative: Vec<u64> = buckets.iter().map(prometheus::proto::Bucket::cumulative_count).collect();
            series.histogram(&labels, &[], Histogram { bounds: &bounds, cumulative: &cumulative, count, sum }, created);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{
        Encoder, TextEncoder,
        proto::{Bucket, Counter, Gauge, Histogram as Gathered},
    };
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Numbers of all sizes, and those that are often wrong.
    fn value() -> impl Strategy<Value = f64> {
        let often_wrong =
            vec![0.0, -0.0, 9_007_199_254_740_992.0, u64::MAX as f64, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            any::<u32>().prop_map(f64::from),
            any::<i32>().prop_map(|value| f64::from(value) / 1000.0),
            prop::sample::select(often_wrong),
        ]
    }

    fn label() -> impl Strategy<Value = LabelPair> {
        ("[a-z_]{1,5}", r#"([a-z/"\\\n{},=é🦀 ]|\PC){0,8}"#).prop_map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name);
            pair.set_value(value);
            pair
        })
    }

    fn histogram() -> impl Strategy<Value = Gathered> {
        let bucket = (value(), any::<u64>()).prop_map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        (vec(bucket, 0..4), value(), any::<u64>()).prop_map(|(buckets, sum, count)| {
            let mut histogram = Gathered::default();
            histogram.set_bucket(buckets);
            histogram.set_sample_sum(sum);
            histogram.set_sample_count(count);
            histogram
        })
    }

    fn metric() -> impl Strategy<Value = Metric> {
        (vec(label(), 0..4), value(), histogram()).prop_map(|(labels, value, histogram)| {
            let mut metric = Metric::from_label(labels);
            let (mut counter, mut gauge) = (Counter::default(), Gauge::default());
            counter.set_value(value);
            gauge.set_value(value);
            metric.set_counter(counter);
            metric.set_gauge(gauge);
            metric.set_histogram(histogram);
            metric
        })
    }

    fn family() -> impl Strategy<Value = MetricFamily> {
        let kinds = vec![MetricType::COUNTER, MetricType::GAUGE, MetricType::HISTOGRAM];
        let name = ("[a-z_]{1,8}", prop::sample::select(vec!["", "_total", "_seconds"]));
        let help = r#"([a-z"\\\n. ]|\PC){0,12}"#;
        (name, help, prop::sample::select(kinds), vec(metric(), 1..4)).prop_map(|(name, help, kind, metrics)| {
            let mut family = MetricFamily::default();
            family.set_name(name.0 + name.1);
            family.set_help(help);
            family.set_field_type(kind);
            family.set_metric(metrics);
            family
        })
    }

    proptest! {
        #[test]
        fn the_text_is_the_prometheus_crates_byte_for_byte(families in vec(family(), 0..4)) {
            let (mut expected, mut out) = (Vec::new(), Vec::new());
            TextEncoder::new().encode(&families, &mut expected).unwrap();
            write(&families, Format::Text, None, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap());
        }
    }

    #[test]
    fn families_without_a_series_have_no_lines() {
        let mut out = Vec::new();
        write(&[MetricFamily::default()], Format::OpenMetrics, None, &mut out);
        assert!(out.is_empty());
    }
}
