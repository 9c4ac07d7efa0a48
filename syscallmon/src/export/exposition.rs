//! Renders the text exposition format, once per snapshot, plain and gzipped.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>. Families come from
//! [`super::families`]; encoding and escaping are the prometheus crate's.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Mutex, PoisonError},
};

use axum::body::Bytes;
use flate2::{Compression, write::GzEncoder};
use prometheus::{
    Encoder, Registry, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{families::FAMILIES, process_metrics::ProcessMetrics, sample::Samples};
use crate::view::{View, Views};

/// An exposition, in both encodings.
#[derive(Clone, Debug)]
pub struct Exposition {
    /// As text.
    pub plain: Bytes,
    /// The same, gzipped.
    pub gzip: Bytes,
}

/// Why an exposition could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The prometheus crate refused.
    #[error("cannot encode the metrics")]
    Encode(#[from] prometheus::Error),
    /// The compressor refused.
    #[error("cannot compress the metrics")]
    Compress(#[from] std::io::Error),
    /// Rendering panicked.
    #[error("cannot render the metrics")]
    Render(#[from] tokio::task::JoinError),
}

/// Renders, and remembers what it rendered last.
#[derive(Debug)]
pub struct Renderer {
    views: Views,
    registry: Registry,
    last: Mutex<Option<(u64, Exposition)>>,
}

impl Renderer {
    /// A renderer of these views.
    ///
    /// # Errors
    ///
    /// When the table of families has a mistake.
    pub fn new(views: Views) -> Result<Self, Error> {
        let registry = Registry::new();
        registry.register(Box::new(ViewCollector::new(views.clone())?))?;
        registry.register(Box::new(ProcessMetrics::new()))?;
        Ok(Self { views, registry, last: Mutex::new(None) })
    }

    /// The exposition of the newest snapshot. Blocks for as long as rendering takes.
    ///
    /// # Errors
    ///
    /// When encoding or compressing fails.
    pub fn render(&self) -> Result<Exposition, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.views.newest().snapshot.number;
        if let Some((_, exposition)) = last.as_ref().filter(|(of, _)| *of == number) {
            return Ok(exposition.clone());
        }
        // What was rendered before goes first: two expositions at once would double the memory.
        *last = None;
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        let exposition = Exposition { gzip: gzip(&text)?, plain: text.into() };
        *last = Some((number, exposition.clone()));
        Ok(exposition)
    }
}

fn gzip(text: &[u8]) -> Result<Bytes, std::io::Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 16), Compression::fast());
    encoder.write_all(text)?;
    Ok(encoder.finish()?.into())
}

/// The families of [`FAMILIES`], from the view at the moment of collecting.
struct ViewCollector {
    views: Views,
    descs: Vec<Desc>,
}

impl ViewCollector {
    fn new(views: Views) -> Result<Self, prometheus::Error> {
        let desc = |family: &super::families::Family| {
            let labels = family.labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new())
        };
        Ok(Self { views, descs: FAMILIES.iter().map(desc).collect::<Result<_, _>>()? })
    }
}

impl Collector for ViewCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&self.views.newest())
    }
}

/// Every family of a view; those without a series have no metrics.
fn families(view: &View) -> Vec<MetricFamily> {
    let family = |row: &super::families::Family| {
        let mut samples = Samples::new(row.kind);
        (row.collect)(view, &mut samples);
        let mut family = MetricFamily::default();
        family.set_name(row.name.to_owned());
        family.set_help(row.help.to_owned());
        family.set_field_type(row.kind);
        family.set_metric(samples.into_metrics());
        family
    };
    FAMILIES.iter().map(family).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        io::Read,
        sync::Arc,
        time::{Instant, SystemTime},
    };

    use flate2::read::GzDecoder;

    use super::*;
    use crate::{
        alert::Alerts,
        durations::{Bound, Durations},
        kernel::{Probe, ProbeStatus},
        model::Model,
        policy::{Baselines, Learn, Reason, Severity, Violation, Violations},
        requests::testing::host,
        snapshot::{Counts, Denial, Failure, SlotCounts, Snapshot},
        syscalls::{Call, CallId, CallTable, Errno},
        view::{Host, SnapshotFacts},
        workload::{Directory, Labels, Named, Workload, source::SourceName},
    };

    /// A view in which one cgroup of this name made 499 calls of the table once, unknown ones twice, and gave an unknown
    /// operation to io_uring; of its calls two failed, one was refused, and one was measured in two ABIs.
    fn view(cgroup: &str) -> View {
        let up = |probe| ProbeStatus { probe, implementation: Some("tp_btf"), problem: None };
        let (probes, calls) = (vec![up(Probe::SysEnter), up(Probe::Cgroup)], CallTable::x86_64());
        let directory = Directory::default();
        directory.set_status(SourceName::Docker, Some("gone".to_owned()));
        let mut baselines = Baselines::default();
        let kind = "shop/Deployment/web/httpd".parse().unwrap();
        baselines.begin_or_get(&kind, (&"learned".into(), Learn::default()), SystemTime::UNIX_EPOCH, true);
        baselines.store.is_up = Some(false);
        let mut took = Durations { sum_ns: 20_000_000, ..Durations::default() };
        (took.buckets[14], took.buckets[25]) = (2, 1);
        let openat = calls.named("openat").next().unwrap();
        let counts = Counts {
            setup: crate::tally::Tally::default(),
            calls: (0..500).map(|call| (CallId(call), if call < 3 { 2 } else { 1 })).collect(),
            errors: [(Failure::Of(openat, Errno::new(2)), 5000), (Failure::Other, 7)].into_iter().collect(),
            denied: [(Denial::Of(openat), 777)].into_iter().collect(),
            durations: calls.named("read").map(|call| (call, took)).collect(),
        };
        let snapshot = Snapshot { slots: vec![SlotCounts { slot: 1, cgroup_id: 7, counts }], ..Snapshot::default() };
        let workload = Workload::cgroup(Arc::from(cgroup));
        let Workload::Named(about) = workload.clone() else { unreachable!() };
        let (mut model, mut violations) = (Model::new(usize::MAX), Violations::default());
        model.apply(&snapshot, Instant::now(), |_| Some(Named { workload: workload.clone(), about: about.clone() }));
        violations.counted(openat, &unexpected(&workload, calls.call(openat)), Instant::now());
        let host = Host { calls: Arc::new(calls), probes, duration_bounds: Bound::defaults().collect(), ..host() };
        View {
            model: model.view().clone(),
            sources: directory.sources(),
            violations: violations.view(),
            baselines: baselines.view(),
            alerts: Alerts::to_nobody("webhook").status(),
            ..View::empty(Arc::new(host))
        }
    }

    fn renderer(cgroup: &str) -> Renderer {
        Renderer::new(Views::new(view(cgroup)).1).unwrap()
    }

    fn unexpected(workload: &Workload, call: Call) -> Violation {
        let time = SystemTime::UNIX_EPOCH;
        Violation {
            time,
            last_seen: time,
            count: 5,
            workload: workload.clone(),
            about: Labels::default(),
            call,
            number: None,
            refused: false,
            process: None,
            policy: "web".into(),
            severity: Severity::Critical,
            reason: Reason::Denied,
            runtime_default_allows: true,
        }
    }

    fn text(exposition: &Exposition) -> String {
        String::from_utf8(exposition.plain.to_vec()).unwrap()
    }

    #[test]
    fn names_are_escaped_whatever_a_cgroup_is_called() {
        let exposition = renderer("/a\"b\\\nc{}\u{e9}").render().unwrap();
        let text = text(&exposition);
        let series = r#"syscallmon_syscalls_total{cgroup="/a\"b\\\nc{}é",syscall="read",abi="x86_64"} 1"#;
        assert!(text.lines().any(|line| line == series), "{text}");
    }

    #[test]
    fn every_signal_has_its_series() {
        let exposition = renderer("/a").render().unwrap();
        let text = text(&exposition);
        for series in [
            r#"syscallmon_syscall_errors_total{cgroup="/a",syscall="openat",abi="x86_64",errno="ENOENT"} 5000"#,
            r#"syscallmon_syscall_errors_total{cgroup="/a",syscall="(remainder)",abi="(remainder)",errno="(remainder)"} 7"#,
            r#"syscallmon_syscalls_denied_total{cgroup="/a",syscall="openat",abi="x86_64"} 777"#,
            r#"syscallmon_unexpected_syscalls_total{cgroup="/a",syscall="openat",abi="x86_64",policy="web",severity="critical"} 5"#,
            // Three calls in each of two ABIs and x32.
            r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="0.004096"} 0"#,
            r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="0.016384"} 6"#,
            r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="16.777216"} 6"#,
            r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="+Inf"} 9"#,
            r#"syscallmon_syscall_duration_seconds_sum{cgroup="/a",syscall="read"} 0.06"#,
            r#"syscallmon_syscall_duration_seconds_count{cgroup="/a",syscall="read"} 9"#,
            r#"syscallmon_policy_baselines{policy="learned",state="learning"} 1"#,
            r#"syscallmon_policy_baseline_calls{kind="shop/Deployment/web/httpd",policy="learned",state="learning"} 0"#,
            r#"syscallmon_policy_baseline_partial{kind="shop/Deployment/web/httpd",policy="learned"} 1"#,
            "syscallmon_policy_store_up 0",
        ] {
            assert!(text.lines().any(|line| line == series), "no {series} in {text}");
        }
    }

    #[test]
    fn every_series_is_there_once_and_every_family_has_its_head() {
        let exposition = renderer("/a").render().unwrap();
        let text = text(&exposition);
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let names: HashSet<&str> = series.iter().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
        assert_eq!(names.len(), series.len());
        let of = |family: &str| series.iter().filter(|line| line.starts_with(family)).count();
        assert_eq!((of("syscallmon_syscalls_total"), of("syscallmon_io_uring_requests_total")), (499, 1));
        for family in FAMILIES {
            for head in ["HELP", "TYPE"] {
                let head = format!("# {head} {} ", family.name);
                assert_eq!(text.lines().filter(|line| line.starts_with(&head)).count(), 1, "{head}");
            }
        }
    }

    #[test]
    fn an_exposition_is_rendered_once_per_snapshot() {
        let first = view("/a");
        let (publish, views) = Views::new(first.clone());
        let renderer = Renderer::new(views).unwrap();
        let snapshot = SnapshotFacts { number: 1, ..first.snapshot };
        let next = View { snapshot, ..first };
        let first = renderer.render().unwrap();
        assert_eq!(first.plain.as_ptr(), renderer.render().unwrap().plain.as_ptr(), "the same bytes");
        publish.send_replace(Arc::new(next));
        assert_ne!(text(&first), "");
        let second = renderer.render().unwrap();
        assert!(text(&second).contains("syscallmon_snapshots_total 1"));
        assert!(text(&first).contains("syscallmon_snapshots_total 0"));
    }

    #[test]
    fn gzip_is_the_same_text() {
        let exposition = renderer("/a").render().unwrap();
        let mut unzipped = Vec::new();
        GzDecoder::new(exposition.gzip.as_ref()).read_to_end(&mut unzipped).unwrap();
        assert_eq!(unzipped, exposition.plain);
    }
}
