//! Compares expositions with those of the prometheus crate.

mod reference;

use std::{
    collections::HashSet,
    io::Read,
    sync::{Arc, Barrier},
    thread,
    time::{Instant, SystemTime},
};

use flate2::read::GzDecoder;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    alert::{AlertStoreStatus, Alerts},
    detect::{Baselines, Learn, PolicyUsage, Reason, Severity, Violation, Violations},
    kernel::{Probe, ProbeStatus},
    model::{Granularities, Granularity, Model, SeriesLayout},
    snapshot::{ArgumentKey, Bound, Counts, DeniedKey, Durations, ErrorKey, SlotCounts, Snapshot},
    syscalls::{Call, CallId, CallTable, Errno},
    view::{FixedFacts, SnapshotInfo},
    workload::{Labels, MetadataCache, ResolvedWorkload, Workload, providers::ProviderName},
};

/// A view in which one cgroup of this name made 499 calls of the table once, unknown ones twice, and gave an unknown
/// operation to io_uring. Two of its calls failed, one was denied, and one was measured in two ABIs.
fn view(cgroup: &str) -> View {
    let up = |probe| ProbeStatus { probe, implementation: Some("tp_btf"), problem: None };
    let (probes, calls) = (vec![up(Probe::SysEnter), up(Probe::Cgroup)], CallTable::x86_64());
    let directory = MetadataCache::default();
    directory.set_status(ProviderName::Docker, Some("gone".to_owned()));
    let mut baselines = Baselines::default();
    let key = "shop/Deployment/web/httpd".parse().unwrap();
    baselines.begin_or_get(&key, (&"learned".into(), Learn::default()), SystemTime::UNIX_EPOCH, true);
    baselines.store.is_up = Some(false);
    let mut took = Durations { sum_ns: 20_000_000, ..Durations::default() };
    (took.buckets[14], took.buckets[25]) = (2, 1);
    let openat = calls.named("openat").next().unwrap();
    let algorithm = calls.id("ia32", "socket(AF_ALG)").unwrap();
    let counts = Counts {
        container_init: [(openat, 1)].into_iter().collect(),
        calls: (0..500).map(|call| (CallId(call), if call < 3 { 2 } else { 1 })).collect(),
        errors: [(ErrorKey::Of(openat, Errno::new(2)), 5000), (ErrorKey::Other, 7)].into_iter().collect(),
        denied: [(DeniedKey::Of(openat), 777)].into_iter().collect(),
        durations: calls.named("read").map(|call| (call, took)).collect(),
        arguments: [(ArgumentKey::Of(algorithm), 3), (ArgumentKey::Denied(algorithm), 4), (ArgumentKey::Other, 5)]
            .into_iter()
            .collect(),
    };
    let snapshot =
        Snapshot { slots: vec![SlotCounts { slot: 1, cgroup_id: 7, counts: counts.into() }], ..Snapshot::default() };
    let workload = Workload::cgroup(Arc::from(cgroup));
    let Workload::Resolved(metadata) = workload.clone() else { unreachable!() };
    let (mut model, mut violations) = (Model::new(usize::MAX), Violations::default());
    model.apply(&snapshot, Instant::now(), |_| {
        Some(ResolvedWorkload { workload: workload.clone(), metadata: metadata.clone() })
    });
    violations.counted(openat, &unexpected(&workload, calls.call(openat)), Instant::now());
    let (calls, duration_bounds) = (Arc::new(calls), Bound::defaults().collect());
    let facts = FixedFacts { calls, probes, duration_bounds, created_timestamps: true, ..FixedFacts::minimal() };
    let alerts = Alerts::to_nobody("webhook");
    alerts.set_stored(AlertStoreStatus { is_up: Some(true), errors: 2 });
    View {
        model: model.view().clone(),
        sources: directory.sources(),
        violations: violations.view(),
        baselines: baselines.view(),
        policy_usage: [PolicyUsage { policy: "web".into(), abi: "ia32", allowed: 3, unused: vec!["mount"] }].into(),
        alerts: alerts.status(),
        ..View::empty(Arc::new(facts))
    }
}

fn renderer(cgroup: &str) -> Renderer {
    Renderer::new(Views::new(view(cgroup)).1).unwrap()
}

/// The same view, with other series.
fn with_layout(view: View, granularities: Granularities) -> View {
    let layout = Arc::new(SeriesLayout::new(granularities, &view.facts.calls));
    let facts = Arc::new(FixedFacts { layout, ..FixedFacts::clone(&view.facts) });
    View { facts, ..view }
}

fn granularity() -> impl Strategy<Value = Granularity> {
    prop::sample::select(vec![Granularity::Name, Granularity::Set, Granularity::None])
}

fn granularities() -> impl Strategy<Value = Granularities> {
    let all = (granularity(), granularity(), granularity(), granularity());
    let all = all.prop_map(|(syscalls, errors, denied, latency)| Granularities { syscalls, errors, denied, latency });
    prop_oneof![Just(Granularities::default()), all]
}

fn unexpected(workload: &Workload, call: Call) -> Violation {
    let time = SystemTime::UNIX_EPOCH;
    Violation {
        time,
        last_seen: time,
        count: 5,
        workload: workload.clone(),
        metadata: Labels::default(),
        call,
        number: None,
        denied: false,
        process: None,
        policy: "web".into(),
        severity: Severity::Critical,
        reason: Reason::NotAllowed,
        runtime_default_allows: true,
    }
}

fn text(exposition: &Exposition) -> String {
    String::from_utf8(exposition.plain().to_vec()).unwrap()
}

#[test]
fn names_are_escaped_whatever_a_cgroup_is_called() {
    let exposition = renderer("/a\"b\\\nc{}\u{e9}").render(Format::Text);
    let text = text(&exposition);
    let series = r#"syscallmon_syscalls_total{cgroup="/a\"b\\\nc{}é",syscall="read",abi="x86_64"} 1"#;
    assert!(text.lines().any(|line| line == series), "{text}");
}

#[test]
fn every_signal_has_its_series() {
    let exposition = renderer("/a").render(Format::Text);
    let text = text(&exposition);
    for series in [
        r#"syscallmon_container_init_syscalls_total{cgroup="/a",syscall="openat",abi="x86_64"} 1"#,
        r#"syscallmon_syscall_errors_total{cgroup="/a",syscall="openat",abi="x86_64",errno="ENOENT"} 5000"#,
        r#"syscallmon_syscall_errors_total{cgroup="/a",syscall="(remainder)",abi="(remainder)",errno="(remainder)"} 7"#,
        r#"syscallmon_syscalls_denied_total{cgroup="/a",syscall="openat",abi="x86_64"} 777"#,
        r#"syscallmon_syscall_arguments_total{cgroup="/a",syscall="socket",abi="ia32",argument="AF_ALG"} 3"#,
        r#"syscallmon_syscall_arguments_total{cgroup="/a",syscall="(remainder)",abi="(remainder)",argument="(remainder)"} 5"#,
        r#"syscallmon_syscall_arguments_denied_total{cgroup="/a",syscall="socket",abi="ia32",argument="AF_ALG"} 4"#,
        r#"syscallmon_unexpected_syscalls_total{cgroup="/a",syscall="openat",abi="x86_64",policy="web",severity="critical"} 5"#,
        // Three calls in each of two ABIs and x32.
        r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="0.004096"} 0"#,
        r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="0.016384"} 6"#,
        r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="16.777216"} 6"#,
        r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",syscall="read",le="+Inf"} 9"#,
        r#"syscallmon_syscall_duration_seconds_sum{cgroup="/a",syscall="read"} 0.06"#,
        r#"syscallmon_syscall_duration_seconds_count{cgroup="/a",syscall="read"} 9"#,
        r#"syscallmon_policy_allowed_calls{abi="ia32",policy="web"} 3"#,
        r#"syscallmon_policy_unused_calls{abi="ia32",policy="web"} 1"#,
        r#"syscallmon_policy_baselines{policy="learned",state="learning"} 1"#,
        r#"syscallmon_policy_baseline_calls{kind="shop/Deployment/web/httpd",policy="learned",state="learning"} 0"#,
        r#"syscallmon_policy_baseline_partial{kind="shop/Deployment/web/httpd",policy="learned"} 1"#,
        r#"syscallmon_policy_baseline_remaining_seconds{kind="shop/Deployment/web/httpd",policy="learned"} 90000"#,
        "syscallmon_policy_store_up 0",
        "syscallmon_alerts_store_up 1",
        "syscallmon_alerts_store_errors_total 2",
    ] {
        assert!(text.lines().any(|line| line == series), "no {series} in {text}");
    }
}

#[test]
fn every_series_is_there_once_and_every_family_has_its_head() {
    let exposition = renderer("/a").render(Format::Text);
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
    let snapshot = SnapshotInfo { number: 1, ..first.snapshot };
    let next = View { snapshot, ..first };
    let first = renderer.render(Format::Text);
    assert_eq!(first.plain().as_ptr(), renderer.render(Format::Text).plain().as_ptr(), "the same bytes");
    publish.send_replace(Arc::new(next));
    assert_ne!(text(&first), "");
    let second = renderer.render(Format::Text);
    assert!(text(&second).contains("syscallmon_snapshots_total 1"));
    assert!(text(&first).contains("syscallmon_snapshots_total 0"));
}

#[test]
fn a_hundred_clients_at_once_share_one_exposition() {
    let renderer = renderer("/a");
    let start = Barrier::new(100);
    let expositions: Vec<Arc<Exposition>> = thread::scope(|scope| {
        let render = || {
            start.wait();
            renderer.render(Format::Text)
        };
        let clients: Vec<_> = (0..100).map(|_| scope.spawn(render)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(expositions.iter().all(|exposition| Arc::ptr_eq(exposition, &expositions[0])));
    let texts: Vec<Bytes> = expositions.iter().map(|exposition| exposition.gzip()).collect();
    assert!(texts.iter().all(|text| text.as_ptr() == texts[0].as_ptr()), "compressed once, too");
}

#[test]
fn gzip_is_the_same_text() {
    let exposition = renderer("/a").render(Format::Text);
    let mut unzipped = Vec::new();
    GzDecoder::new(exposition.gzip().as_ref()).read_to_end(&mut unzipped).unwrap();
    assert_eq!(unzipped, exposition.plain());
}

/// Returns any class of arguments.
fn class_of(call: CallId) -> CallId {
    let table = CallTable::x86_64();
    let mut classes = table.all().filter(|(id, _)| table.is_class(*id)).skip(usize::from(call.0));
    classes.next().map_or(call, |(id, _)| id)
}

/// Calls of a cgroup, and whether it was removed.
#[derive(Clone, Debug)]
struct Change {
    cgroup: usize,
    calls: Vec<(u16, u64)>,
    fails: u64,
    denied: u64,
    timed: u64,
    is_gone: bool,
}

impl Change {
    /// Returns counts in which each call failed, was denied and was measured as often as the others.
    fn counts(&self) -> Counts {
        let ids: Vec<CallId> = self.calls.iter().map(|&(call, _)| CallId(call)).collect();
        let mut took = Durations { sum_ns: 1_000_000 * self.timed, ..Durations::default() };
        took.buckets[3] = self.timed;
        let denied = ids.iter().flat_map(|&call| [DeniedKey::Of(call), DeniedKey::Unsupported(call), DeniedKey::Other]);
        let failed = ids.iter().map(|&call| ErrorKey::Of(call, Errno::new(2))).chain([ErrorKey::Other]);
        Counts {
            calls: self.calls.iter().map(|&(call, count)| (CallId(call), count)).collect(),
            container_init: self.calls.iter().map(|&(call, count)| (CallId(call), count / 2)).collect(),
            errors: failed.map(|failure| (failure, self.fails)).collect(),
            denied: denied.map(|denial| (denial, self.denied)).collect(),
            durations: ids.iter().map(|&call| (call, took)).collect(),
            arguments: ids.iter().map(|&call| (ArgumentKey::Of(class_of(call)), self.denied)).collect(),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let calls = vec((0..500_u16, 1..1000_u64), 0..6);
    let often = (0..3_u64, 0..3_u64, 0..3_u64);
    let all = (0..40_usize, calls, often, prop::bool::weighted(0.2));
    all.prop_map(|(cgroup, calls, (fails, denied, timed), is_gone)| Change {
        cgroup,
        calls,
        fails,
        denied,
        timed,
        is_gone,
    })
}

/// Returns sorted lines, because the order of series has no meaning.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

proptest! {
    #[test]
    fn every_family_is_as_the_prometheus_crate_writes_it(
        rounds in vec(vec(change(), 0..12), 1..6), granularities in granularities(),
    ) {
        let (mut model, first) = (Model::new(usize::MAX), with_layout(view("/a"), granularities));
        let (publish, views) = Views::new(first.clone());
        let renderer = Renderer::new(views).unwrap();
        let mut counts = std::collections::BTreeMap::<usize, Counts>::new();
        for (number, round) in (1..).zip(rounds) {
            let mut gone = Vec::new();
            for change in round {
                counts.entry(change.cgroup).or_default().add(&change.counts());
                gone.extend(change.is_gone.then_some(change.cgroup));
            }
            let slot = |(&cgroup, counts): (&usize, &Counts)| SlotCounts {
                slot: u32::try_from(cgroup).unwrap() + 1, cgroup_id: cgroup as u64, counts: counts.clone().into(),
            };
            let snapshot = Snapshot { slots: counts.iter().map(slot).collect(), ..Snapshot::default() };
            model.apply(&snapshot, Instant::now(), |id| {
                let workload = Workload::cgroup(format!("/c\"{id}").into());
                let Workload::Resolved(metadata) = workload.clone() else { unreachable!() };
                Some(ResolvedWorkload { workload, metadata })
            });
            for cgroup in gone {
                counts.remove(&cgroup);
                model.forget_slots(&[u32::try_from(cgroup).unwrap() + 1], Instant::now());
            }
            model.expire(Instant::now(), Duration::ZERO, usize::MAX, |_| false);
            let snapshot = SnapshotInfo { number, ..first.snapshot };
            let next = View { snapshot, model: model.view().clone(), ..first.clone() };
            let expected = reference::text(&next);
            publish.send_replace(Arc::new(next));
            let exposition = renderer.render(Format::Text);
            let text = text(&exposition);
            let (families, own) = text.split_at(expected.len().min(text.len()));
            if granularities == Granularities::default() {
                prop_assert_eq!(families, &expected);
            }
            prop_assert_eq!(sorted(families), sorted(&expected));
            prop_assert!(own.starts_with("# HELP process_"), "{}", own);
            let mut unzipped = String::new();
            GzDecoder::new(exposition.gzip().as_ref()).read_to_string(&mut unzipped).unwrap();
            prop_assert_eq!(&unzipped, &text);
        }
    }
}

#[test]
fn nothing_but_families_of_calls_depends_on_the_granularity() {
    let none = Granularity::None;
    let granularities = Granularities { syscalls: Granularity::Set, errors: none, denied: none, latency: none };
    let renderer = Renderer::new(Views::new(with_layout(view("/a"), granularities)).1).unwrap();
    let text = text(&renderer.render(Format::Text));
    for series in [
        r#"syscallmon_syscalls_total{cgroup="/a",set="@basic-io",abi="x86_64"} 16"#,
        r#"syscallmon_syscalls_total{cgroup="/a",set="unknown",abi="x32"} 2"#,
        r#"syscallmon_syscall_errors_total{cgroup="/a",abi="x86_64",errno="ENOENT"} 5000"#,
        r#"syscallmon_syscall_errors_total{cgroup="/a",abi="(remainder)",errno="(remainder)"} 7"#,
        r#"syscallmon_syscalls_denied_total{cgroup="/a",abi="x86_64"} 777"#,
        r#"syscallmon_syscall_duration_seconds_bucket{cgroup="/a",le="+Inf"} 9"#,
        r#"syscallmon_unexpected_syscalls_total{cgroup="/a",syscall="openat",abi="x86_64",policy="web",severity="critical"} 5"#,
        r#"syscallmon_io_uring_requests_total{cgroup="/a",op="unknown"} 1"#,
    ] {
        assert!(text.lines().any(|line| line == series), "no {series} in {text}");
    }
}

#[test]
fn open_metrics_has_created_samples_only_where_they_are_asked_for() {
    let view = view("/a");
    let facts = Arc::new(FixedFacts { created_timestamps: false, ..FixedFacts::clone(&view.facts) });
    let renderer = Renderer::new(Views::new(View { facts, ..view }).1).unwrap();
    let text = text(&renderer.render(Format::OpenMetrics));
    assert!(text.contains("# TYPE syscallmon_syscalls counter\n") && text.contains("\nprocess_cpu_seconds_total "));
    let mut series = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(series.find(|line| line.contains("_created")), None);
}

#[test]
fn open_metrics_says_when_counters_began() {
    let exposition = renderer("/a").render(Format::OpenMetrics);
    let text = text(&exposition);
    for line in [
        "# TYPE syscallmon_syscalls counter",
        r#"syscallmon_syscalls_total{cgroup="/a",syscall="read",abi="x86_64"} 1"#,
        r#"syscallmon_syscalls_created{cgroup="/a",syscall="read",abi="x86_64"} 0.000"#,
        r#"syscallmon_unexpected_syscalls_created{cgroup="/a",syscall="openat",abi="x86_64",policy="web",severity="critical"} 0.000"#,
        r#"syscallmon_syscall_duration_seconds_created{cgroup="/a",syscall="read"} 0.000"#,
        "syscallmon_snapshots_created 0.000",
        "process_cpu_seconds_created 0.000",
    ] {
        assert!(text.lines().any(|written| written == line), "no {line} in {text}");
    }
    let counters = text.lines().filter(|line| line.contains("_total")).filter(|line| !line.starts_with('#')).count();
    let created = text.lines().filter(|line| line.contains("_created")).count();
    assert!(counters > 500 && created > counters, "{created} of {counters}, and of histograms");
    assert!(text.ends_with("\n# EOF\n"));
}
