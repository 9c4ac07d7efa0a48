//! What the prometheus crate needs for an exposition that is put into it: for `cargo xtask bench`.
//!
//! Reads an exposition in the text format from stdin, and prints, for each of so many rounds, how many nanoseconds
//! `Registry::gather` and `TextEncoder` took for its counters and gauges.

use std::{collections::HashMap, io::Read, time::Instant};

use prometheus::{
    Encoder, Registry, TextEncoder,
    core::{Collector, Desc},
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

/// Gives series to a registry, as a collector makes them: anew each time.
struct Again {
    descs: Vec<Desc>,
    families: Vec<(String, MetricType, Vec<Series>)>,
}

/// Labels and a value.
type Series = (Vec<(String, String)>, f64);

impl Collector for Again {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families.iter().map(|(name, kind, series)| family(name, *kind, series)).collect()
    }
}

fn family(name: &str, kind: MetricType, series: &[Series]) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help("again".to_owned());
    family.set_field_type(kind);
    family.set_metric(series.iter().map(|series| metric(kind, series)).collect());
    family
}

fn metric(kind: MetricType, (labels, value): &Series) -> Metric {
    let pair = |(name, value): &(String, String)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    };
    let mut metric = Metric::from_label(labels.iter().map(pair).collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(*value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(*value);
        metric.set_gauge(gauge);
    }
    metric
}

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).expect("rounds");
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("an exposition");
    let registry = Registry::new();
    registry.register(Box::new(read(&text))).expect("families that can be registered");
    for _ in 0..rounds {
        let begin = Instant::now();
        let mut out = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut out).expect("families that can be encoded");
        println!("{}", begin.elapsed().as_nanos());
    }
}

fn read(text: &str) -> Again {
    let mut again = Again { descs: Vec::new(), families: Vec::new() };
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let kind = if kind == "counter" { MetricType::COUNTER } else { MetricType::GAUGE };
            again.families.push((name.to_owned(), kind, Vec::new()));
        } else if !line.starts_with('#')
            && let Some((name, _, series)) = again.families.last_mut()
            && let Some(rest) = line.strip_prefix(name.as_str())
            // Not the buckets of a histogram.
            && let Some((labels, value)) = rest.rsplit_once(' ').filter(|(labels, _)| !labels.starts_with('_'))
        {
            series.push((pairs(labels), value.parse().expect("a number")));
        }
    }
    again.families.retain(|(.., series)| !series.is_empty());
    let desc = |(name, ..): &(String, MetricType, Vec<Series>)| {
        Desc::new(name.clone(), "again".to_owned(), Vec::new(), HashMap::new()).expect("a family")
    };
    again.descs = again.families.iter().map(desc).collect();
    again
}

/// Of `{a="1",b="2"}`; escapes stay as they are.
fn pairs(labels: &str) -> Vec<(String, String)> {
    let inner = labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).unwrap_or_default();
    let pairs = inner.split("\",").filter_map(|pair| pair.split_once("=\""));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect()
}
