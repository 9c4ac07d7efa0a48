//! Each test takes a kind of work that no other unit test uses.

use std::{sync::mpsc, time::Instant};

use super::*;

const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(10);

fn of(work: Work) -> WorkStatus {
    status().into_iter().find(|status| status.work == work).unwrap()
}

#[tokio::test]
async fn a_job_that_hangs_takes_no_thread_from_other_keys() {
    let work = Work::AlertLog;
    let (release, hang) = mpsc::channel::<()>();
    let begin = Instant::now();
    let hangs = run(work, "a", SOON, move || hang.recv()).await;
    assert_eq!(hangs.unwrap_err(), BlockingError::TimedOut(SOON));
    for _ in 0..2 * MAX_THREADS {
        assert_eq!(run(work, "a", Duration::ZERO, || 1).await, Err(BlockingError::TimedOut(Duration::ZERO)));
    }
    assert!(begin.elapsed() < LATER);
    assert_eq!(run(work, "b", LATER, || 2).await, Ok(2));
    assert_eq!(of(work), WorkStatus { work, timeouts: 1 + 2 * MAX_THREADS as u64, stuck: 1 });
    release.send(()).unwrap();
    assert_eq!(run(work, "a", LATER, || 3).await, Ok(3));
    assert_eq!(of(work).stuck, 0);
}

#[tokio::test]
async fn the_threads_of_a_kind_are_bounded_and_other_kinds_have_theirs() {
    let work = Work::Config;
    let mut releases = Vec::new();
    for key in 0..MAX_THREADS {
        let (release, hang) = mpsc::channel::<()>();
        let _ = run(work, &key.to_string(), SOON, move || hang.recv()).await;
        releases.push(release);
    }
    assert_eq!(of(work).stuck, MAX_THREADS);
    assert!(run(work, "one more", SOON, || ()).await.is_err());
    assert_eq!(run(Work::AlertLog, "other", LATER, || ()).await, Ok(()));
    drop(releases);
    assert_eq!(run(work, "one more", LATER, || ()).await, Ok(()));
}

#[tokio::test]
async fn a_job_that_panics_makes_room() {
    let panics = run(Work::Baseline, "a", LATER, || panic!("as tested")).await;
    assert_eq!(panics, Err::<(), _>(BlockingError::Failed));
    assert_eq!(run(Work::Baseline, "a", LATER, || ()).await, Ok(()));
}

#[test]
fn the_end_of_the_runtime_waits_for_no_job() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_release, hang) = mpsc::channel::<()>();
    assert!(runtime.block_on(run(Work::Baseline, "hangs", SOON, move || hang.recv())).is_err());
    let begin = Instant::now();
    drop(runtime);
    assert!(begin.elapsed() < LATER);
}

/// What may block on a disk or a resolver.
const BLOCKING_CALLS: [&str; 20] = [
    "fs::read",
    "fs::write(",
    "fs::metadata(",
    "fs::symlink_metadata(",
    "fs::rename(",
    "fs::remove_",
    "fs::create_dir",
    "fs::canonicalize(",
    "File::open(",
    "File::options(",
    "OpenOptions::new(",
    "tokio::fs",
    "spawn_blocking",
    "to_socket_addrs(",
    "lookup_host(",
    "load_native_certs(",
    "HttpConnector::new()",
    ".exists()",
    ".is_dir()",
    "read_to_string(path",
];

/// Files whose blocking calls no async task makes, and why.
const BLOCKING_FILES: [(&str, &str); 21] = [
    ("alert/sink/log.rs", "in a thread of its own, for which nobody waits"),
    ("cgroup/", "procfs and cgroupfs, which cannot be remote, by the sampler"),
    ("clock.rs", "procfs, which cannot be remote, once"),
    ("client/http.rs", "in a thread of blocking"),
    ("client/resolver.rs", "in a thread of blocking"),
    ("command/check/", "not the daemon"),
    ("command/record/", "not the daemon"),
    ("command/profile/", "not the daemon"),
    ("serve/api/builders.rs", "builds answers and reads nothing, a few at a time"),
    ("serve/mod.rs", "builds the exposition and reads nothing"),
    ("exporter-web/auth/", "computes hashes and reads nothing"),
    ("exporter-web/files.rs", "in a thread of blocking, and at the start"),
    ("exporter-web/regular_file.rs", "says what blocks"),
    ("exporter-web/tls/trust.rs", "in a thread of blocking, and not by the daemon"),
    ("kernel/", "procfs, sysfs and tracefs, at the start"),
    ("process.rs", "in threads of its own"),
    ("process/socket_owner.rs", "procfs, in a thread of blocking"),
    ("settings/policies.rs", "at the start, and in a thread of blocking"),
    ("store/", "in a thread of blocking"),
    ("workload/providers/choice.rs", "in a thread of blocking, and at the start"),
    ("workload/providers/kubernetes/mod.rs", "whether there is a token, on a tmpfs, at the start"),
];

/// Everything below a folder of this crate, each entry with its path there behind `prefix`.
fn sources(folder: &str, prefix: &str) -> impl Iterator<Item = (walkdir::DirEntry, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    walkdir::WalkDir::new(&root).into_iter().map(move |entry| {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.path().strip_prefix(&root).unwrap().to_str().unwrap());
        (entry, path)
    })
}

#[test]
fn async_code_opens_no_file_and_asks_no_resolver() {
    let (mut found, mut unused) = (Vec::new(), BLOCKING_FILES.map(|(file, _)| file).to_vec());
    for (entry, path) in sources("src", "").chain(sources("exporter-web/src", "exporter-web/")) {
        let is_test = path.ends_with("tests.rs") || path.contains("tests/") || path.ends_with("server.rs");
        if !entry.file_type().is_file() || is_test {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let blocks = |line: &str| BLOCKING_CALLS.iter().any(|call| line.contains(call));
        let lines = (1..).zip(code.lines()).filter(|(_, line)| !line.trim_start().starts_with("//") && blocks(line));
        let lines: Vec<String> = lines.map(|(number, line)| format!("{path}:{number}: {line}")).collect();
        if BLOCKING_FILES.iter().any(|(file, _)| path.starts_with(file)) {
            unused.retain(|file| lines.is_empty() || !path.starts_with(file));
        } else {
            found.extend(lines);
        }
    }
    assert!(found.is_empty(), "use blocking::run, or say in BLOCKING_FILES why not: {found:#?}");
    assert!(unused.is_empty(), "these entries of BLOCKING_FILES block no more: {unused:?}");
}
