//! The standard `process_*` metrics, with fractions of seconds. The prometheus crate cuts CPU time and start time to
//! whole seconds.

use std::time::{Duration, SystemTime};

use procfs::process::{Process, Stat};
use prometheus::{
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{Counter, Gauge, Metric, MetricFamily},
};
use rustix::{
    param::clock_ticks_per_second,
    time::{ClockId, clock_gettime},
};

use crate::clock::unix_time;

/// Collects the standard `process_*` metrics.
pub(in crate::serve) struct ProcessMetrics {
    collector: ProcessCollector,
    /// Start of the daemon, in seconds since 1970.
    start: Option<f64>,
}

impl ProcessMetrics {
    pub(in crate::serve) fn new() -> Self {
        Self { collector: ProcessCollector::for_self(), start: stat().map(|stat| start(&stat)) }
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.collector.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.collector.collect();
        for family in &mut families {
            let metric = match family.name() {
                "process_cpu_seconds_total" => stat().map(|stat| counter(seconds(stat.utime + stat.stime))),
                "process_start_time_seconds" => self.start.map(gauge),
                _ => None,
            };
            if let Some(metric) = metric {
                family.set_metric(vec![metric]);
            }
        }
        families
    }
}

fn stat() -> Option<Stat> {
    Process::myself().ok()?.stat().ok()
}

/// The kernel stores it as a time since boot, which does not change with the wall clock.
fn start(stat: &Stat) -> f64 {
    let now = clock_gettime(ClockId::Boottime);
    let since_boot = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
    unix_time(SystemTime::now()) - (since_boot.as_secs_f64() - seconds(stat.starttime))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

fn counter(value: f64) -> Metric {
    let (mut counter, mut metric) = (Counter::default(), Metric::default());
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

fn gauge(value: f64) -> Metric {
    let (mut gauge, mut metric) = (Gauge::default(), Metric::default());
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn value(name: &str) -> f64 {
        let families = ProcessMetrics::new().collect();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value().max(metric.get_gauge().get_value())
    }

    #[test]
    fn cpu_time_and_start_time_have_fractions() {
        let begin = Instant::now();
        let (mut work, mut values) = (0_u64, Vec::new());
        while values.len() < 5 && begin.elapsed() < Duration::from_secs(10) {
            work = (0..100_000).fold(work, |work, next| std::hint::black_box(work ^ next));
            let seconds = value("process_cpu_seconds_total");
            if values.last() != Some(&seconds) {
                values.push(seconds);
            }
        }
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
        assert!(values.iter().any(|seconds| seconds.fract() > 0.001), "{values:?}");
        let (start, now) = (value("process_start_time_seconds"), unix_time(SystemTime::now()));
        assert!(start < now && now - start < 3600.0, "{start} {now}");
        let again = value("process_start_time_seconds");
        assert!((start - again).abs() < 0.05, "{start} {again}");
    }
}
