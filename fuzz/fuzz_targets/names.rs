//! Exports names that workloads choose, in every output: metrics, alerts, JSON.
//!
//! Fields end with a line break: the path of a cgroup, the thread's name, its executable, its parent's name, its
//! command line (spaces stand for NUL), a pod, an image.

#![no_main]

use std::{
    alloc::System,
    iter,
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime},
};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    alert::{Template, fuzzing::written},
    detect::{Reason, Severity, Violation},
    kernel::FirstCallEvent,
    model::Model,
    process::{self, CommandLines, Process},
    serve::{Renderer, fuzzing::expositions},
    snapshot::{Counts, SlotCounts, Snapshot},
    syscalls::CallTable,
    view::{FixedFacts, SnapshotInfo, View, Views},
    workload::{CgroupIdentity, Label, Labels, ResolvedWorkload, Workload},
};
use tokio::sync::watch;

/// Memory limit: higher use is a finding.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

/// Maximum length of a cgroup's path in the kernel, and of an alert's line.
const MAX_PATH: usize = 4096;
const MAX_LINE: usize = 8 << 10;

static TABLE: LazyLock<CallTable> = LazyLock::new(CallTable::x86_64);
static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    r#"{"a": "{{ message }} {{ metadata }} {{ process.comm }}", "b": {{ calls | json }}}"#.parse().expect("a template")
});

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(&data[..data.len().min(4 * MAX_PATH)]);
    let mut fields = text.split('\n').chain(iter::repeat(""));
    let [path, comm, exe, parent, command_line, pod, image] = [(); 7].map(|()| fields.next().unwrap_or_default());
    let (workload, metadata) = named(path, pod, image);
    let process = process(comm, exe, parent, command_line);
    exposition(&workload, &metadata);
    let names = (&workload, &metadata);
    alert(names, process);
});

/// The daemon cuts texts from a runtime and the API server at 1,024 bytes. The kernel limits the length of a path.
fn named(path: &str, pod: &str, image: &str) -> (Workload, Labels) {
    let cut = |text: &str, most: usize| -> Arc<str> { text[..text.floor_char_boundary(most)].into() };
    let identity = CgroupIdentity::of(&cut(path, MAX_PATH - 1));
    let path = (Label::Cgroup, identity.path().clone());
    let names = if pod.is_empty() {
        Labels::new([path])
    } else {
        Labels::new([
            (Label::Namespace, "shop".into()),
            (Label::Pod, cut(pod, 1024)),
            (Label::Container, cut(pod, 1024)),
        ])
    };
    let metadata = names.with([(Label::Image, cut(image, 1024)), (Label::Node, "node".into())]);
    (Workload::Resolved(names), metadata)
}

fn process(comm: &str, exe: &str, parent: &str, command_line: &str) -> Process {
    let cut = |text: &str, most: usize| text[..text.floor_char_boundary(most)].to_owned();
    let mut process = process::of_event(&FirstCallEvent {
        monotonic: Duration::ZERO,
        cgroup_id: 1,
        abi: syscallmon_common::Abi::Native,
        number: 1,
        pid: 30,
        tid: 30,
        uid: 0,
        class: None,
        denied: false,
        comm: cut(comm, 45),
        parent: Some((20, cut(parent, 45))),
        exe: Some(cut(exe, 1200)),
        parent_exe: Some(cut(exe, 1200)),
    });
    process::complete(&mut process, std::path::Path::new("/nonexistent"), CommandLines::Redacted, "");
    process.command_line = CommandLines::Redacted.parse(command_line.replace(' ', "\0").as_bytes());
    process
}

struct Shown {
    first: View,
    publish: watch::Sender<Arc<View>>,
    renderer: Renderer,
}

static SHOWN: LazyLock<Shown> = LazyLock::new(|| {
    let first = View::empty(Arc::new(FixedFacts::minimal()));
    let (publish, views) = Views::new(first.clone());
    Shown { first, publish, renderer: Renderer::new(views).expect("the table of families is right") }
});

/// Checks that each line of the exposition is a comment or one series, whatever the workload's name.
fn exposition(workload: &Workload, metadata: &Labels) {
    let read = TABLE.id("x86_64", "read").expect("it is a call");
    let counts = Counts { calls: [(read, 7)].into_iter().collect(), ..Counts::default() };
    let slots = vec![SlotCounts { slot: 1, cgroup_id: 1, counts: counts.into() }];
    let snapshot = Snapshot { slots, ..Snapshot::default() };
    let named = ResolvedWorkload { workload: workload.clone(), metadata: metadata.clone() };
    let mut model = Model::new(1000);
    model.apply(&snapshot, Instant::now(), |_| Some(named.clone()));
    let Shown { first, publish, renderer } = &*SHOWN;
    let number = publish.borrow().snapshot.number + 1;
    let snapshot = SnapshotInfo { number, ..first.snapshot };
    publish.send_replace(Arc::new(View { snapshot, model: model.view().clone(), ..first.clone() }));
    for text in expositions(renderer) {
        has_series(std::str::from_utf8(&text).expect("UTF-8"), workload);
    }
}

fn has_series(text: &str, workload: &Workload) {
    let series = text.lines().filter(|line| !line.starts_with('#')).map(series).collect::<Vec<_>>();
    let expected: Vec<String> = workload_labels(workload);
    let is_whole =
        |labels: &&Vec<(String, String)>| labels.iter().any(|(name, value)| name == "syscall" && value == "read");
    let found = series.iter().find(is_whole).expect("the call is exported");
    for value in expected {
        assert!(found.iter().any(|(_, exported)| *exported == value), "{value:?} is not in {found:?}");
    }
}

fn workload_labels(workload: &Workload) -> Vec<String> {
    let Workload::Resolved(labels) = workload else { return Vec::new() };
    labels.iter().map(|(_, value)| value.to_owned()).collect()
}

/// Returns the labels of a series, with unescaped values.
fn series(line: &str) -> Vec<(String, String)> {
    let Some((name, mut rest)) = line.split_once('{') else {
        let (_, value) = line.split_once(' ').expect("a value");
        assert!(is_value(value), "{line:?}");
        return Vec::new();
    };
    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line:?}");
    let mut labels = Vec::new();
    loop {
        let (label, after) = rest.split_once("=\"").expect("a label");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escaped character").1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((label.to_owned(), value));
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    assert!(rest.strip_prefix("} ").is_some_and(is_value), "{line:?}");
    labels
}

fn is_value(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

/// Checks that an alert is one line of bounded length and one sentence, and that neither has terminal control
/// characters.
fn alert((workload, metadata): (&Workload, &Labels), process: Process) {
    let violation = Violation {
        time: SystemTime::UNIX_EPOCH,
        last_seen: SystemTime::UNIX_EPOCH,
        count: 1,
        workload: workload.clone(),
        metadata: metadata.clone(),
        call: TABLE.call(TABLE.id("x86_64", "mount").expect("it is a call")),
        number: Some(165),
        denied: false,
        process: Some(process),
        policy: "runtime-default".into(),
        severity: Severity::Critical,
        reason: Reason::NotAllowed,
        runtime_default_allows: false,
    };
    let written = written(violation, &TEMPLATE);
    assert!(written.json.len() <= MAX_LINE, "{} bytes: {}", written.json.len(), written.json);
    assert!(!written.json.contains(process::is_obeyed), "{}", written.json);
    assert!(!written.message.contains(char::is_control), "{:?}", written.message);
    assert!(!written.description.replace('\n', "").contains(char::is_control), "{:?}", written.description);
    let rendered = serde_json::from_str::<serde_json::Value>(&written.rendered);
    assert!(rendered.is_ok(), "{rendered:?}: {}", written.rendered);
}
