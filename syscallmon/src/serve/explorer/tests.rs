//! Whole pages of a daemon with hostile names, as a browser gets them.

mod questions;

use std::{
    io::Read as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, header},
};
use exporter_web::Caller;
use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::*;
use crate::{
    detect::{Baselines, Incident, Incidents, Learn, Policies, Reason, Severity, Source, Violation, Violations},
    engine::Tunables,
    model::Model,
    process::{Ancestor, Process, ProcessTree, is_obeyed},
    snapshot::{ArgumentKey, Counts, DeniedKey, Durations, ErrorKey, SlotCounts, Snapshot},
    syscalls::{Call, CallTable, Errno},
    view::{FixedFacts, RecordedFirstCall, testing::Owned},
    workload::{ResolvedWorkload, Workload},
};

const MOMENT: SystemTime = SystemTime::UNIX_EPOCH;
const POLICY: &str = "{name: web, match: ['cgroup=~\"/.*\"'], allow: [read]}";
const LEARNED: &str = "{name: learns, match: [{container: web}], learn: {}}";

/// Markup, quotes, a change of direction, control characters, and 1 KiB.
fn hostile(number: usize) -> String {
    let start = "/\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;{{7*7}}\u{202e}\u{1b}[2J\n\u{0}";
    format!("{start}{number:04}{}", "\u{e9}".repeat(1024 - start.len()))
}

fn named(number: usize) -> ResolvedWorkload {
    let workload = Workload::cgroup(hostile(number).into());
    let Workload::Resolved(metadata) = workload.clone() else { unreachable!() };
    ResolvedWorkload { workload, metadata }
}

fn process() -> Process {
    let (comm, exe) = ("<b>sh\u{202e}".to_owned(), Some(hostile(0)));
    Process {
        pid: 7,
        tid: 8,
        uid: 0,
        comm: comm.clone(),
        exe: exe.clone(),
        command_line: Some(vec!["sh".to_owned(), "</code><script>alert(3)</script>".to_owned()]),
        parents: (0..17).map(|pid| Ancestor { pid, comm: comm.clone(), exe: exe.clone() }).collect(),
        tree: ProcessTree::default(),
    }
}

fn violation(call: Call) -> Violation {
    Violation {
        time: MOMENT,
        last_seen: MOMENT,
        count: 3,
        workload: named(0).workload,
        metadata: named(0).metadata,
        call,
        number: Some(165),
        denied: false,
        process: Some(process()),
        policy: "web".into(),
        severity: Severity::Critical,
        reason: Reason::NotAllowed,
        runtime_default_allows: false,
    }
}

fn source(yaml: &str) -> Source {
    let spec = serde_saphyr::from_str(yaml).unwrap();
    Source { spec, profiles: Vec::new(), origin: "/etc/<b>.yaml".into() }
}

/// A view with this many workloads. Each made `openat` once more often than the one before.
fn view(workloads: u32) -> View {
    let calls = CallTable::x86_64();
    let [openat, mount, bind] = ["openat", "mount", "mount(MS_BIND)"].map(|name| calls.id("x86_64", name).unwrap());
    let mut took = Durations { sum_ns: 2_000_000, ..Durations::default() };
    took.buckets[3] = 1;
    let counts = |number: u32| Counts {
        calls: [(openat, u64::from(number)), (mount, 1)].into_iter().collect(),
        errors: [(ErrorKey::Of(openat, Errno::new(2)), 2), (ErrorKey::Other, 1)].into_iter().collect(),
        denied: [(DeniedKey::Of(mount), 1)].into_iter().collect(),
        arguments: [(ArgumentKey::Of(bind), 1), (ArgumentKey::Denied(bind), 1)].into_iter().collect(),
        durations: [(openat, took)].into_iter().collect(),
        ..Counts::default()
    };
    let slot = |slot: u32| SlotCounts { slot, cgroup_id: slot.into(), counts: counts(slot).into() };
    let snapshot = Snapshot { slots: (1..=workloads).map(slot).collect(), ..Snapshot::default() };
    let mut model = Model::new(usize::MAX);
    model.apply(&snapshot, Instant::now(), |id| Some(named(usize::try_from(id - 1).unwrap())));
    let (mut violations, mut incidents) = (Violations::default(), Incidents::default());
    incidents.join(violation(calls.call(mount)), true, Instant::now());
    violations.first(violation(calls.call(mount)), Instant::now());
    let first_call = RecordedFirstCall {
        time: MOMENT,
        workload: named(0).workload,
        abi: "x86_64",
        syscall: "mount",
        argument: "",
        number: 165,
        denied: false,
        process: process(),
    };
    let policies = Policies::new(vec![source(POLICY), source(LEARNED)], true, &calls).unwrap();
    let started = (Instant::now(), SystemTime::now());
    let facts = FixedFacts { calls: Arc::new(calls), started, ..FixedFacts::minimal() };
    View {
        model: model.view().clone(),
        violations: violations.view(),
        incidents: incidents.view(),
        first_calls: vec![Arc::new(first_call)],
        policies: policies.into(),
        ..View::empty(Arc::new(facts))
    }
}

/// The pages of a daemon with a baseline that learns.
fn router(workloads: u32) -> (Router, Owned) {
    let calls = CallTable::x86_64();
    let (key, mut baselines) = ("docker:web".parse().unwrap(), Baselines::default());
    baselines.begin_or_get(&key, (&"learns".into(), Learn::default()), MOMENT, true).unwrap();
    baselines.learn(&key, calls.id("x86_64", "read").unwrap(), &calls, MOMENT, Some("<i>nginx"));
    served(baselines, view(workloads))
}

fn served(baselines: Baselines, view: View) -> (Router, Owned) {
    let owned = Owned::new(baselines, view);
    let tunables = Tunables { poll_interval: Duration::from_secs(5), expire_after: Duration::from_mins(1) };
    let site = Site::new(owned.views.clone(), owned.owner.clone(), "/metrics", watch::channel(tunables).1).unwrap();
    (site.router(), owned)
}

async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let caller = Caller { is_local: true, user: None, addresses: None };
    let mut request = Request::builder().method(method).uri(path).extension(caller);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "localhost:9778");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

async fn page(router: &Router, path: &str) -> String {
    let (status, _, body) = ask(router, Method::GET, path, &[]).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    String::from_utf8(body).unwrap()
}

/// Returns the first link of a page that begins like this.
fn link(html: &str, start: &str) -> String {
    let at = html.find(&format!("href=\"{start}")).unwrap_or_else(|| panic!("no link to {start} in {html}"));
    html[at + 6..].split('"').next().unwrap().to_owned()
}

/// Returns a link to each kind of page.
async fn all_pages(router: &Router) -> Vec<String> {
    let (home, incidents) = (page(router, "/").await, page(router, "/incidents").await);
    let incident = link(&incidents, "/incident/");
    let of_incident = page(router, &incident).await;
    let violation = link(&of_incident, "/violation/");
    let baseline = link(&page(router, "/policies").await, "/baseline/");
    let lists = ["/", "/new", "/new?all=1", "/incidents", "/policies"].map(str::to_owned);
    let flagged = link(&incidents, "/workload/");
    lists.into_iter().chain([link(&home, "/workload/"), flagged, incident, violation, baseline]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_stay_text_on_every_page() {
    let (router, _owned) = router(3);
    let paths = all_pages(&router).await;
    for path in &paths {
        let html = page(&router, path).await;
        assert_eq!(html.matches("<script").count(), 1, "{path}");
        assert!(!html.contains("<img") && !html.contains("<b>sh") && !html.contains("<i>"), "{path}");
        assert!(!html.chars().any(|c| c != '\n' && is_obeyed(c)), "{path}");
        assert!(!html.contains(" style=") && !html.contains("javascript:"), "{path}: forbidden by the policy");
        assert_eq!(html.matches("<main").count() + html.matches("</html>").count(), 2, "{path}");
    }
    let search = page(&router, "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&sort=%22%3E&since=%3Cb%3E").await;
    assert_eq!(search.matches("<script").count(), 1, "{search}");
    assert!(search.contains("3 workloads") && !search.contains("value=\"\"><"), "the search finds them: {search}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_that_protect_a_page() {
    let (router, _owned) = router(1);
    let mut paths = all_pages(&router).await;
    paths.extend(
        ["/assets/explorer.js", "/assets/nothing", "/nothing", "/workload/0", "/workload/%22%3E"].map(str::to_owned),
    );
    for path in paths {
        let (status, headers, body) = ask(&router, Method::GET, &path, &[]).await;
        for (name, value) in HEADERS {
            assert_eq!(headers.get(&name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{path}: {name}");
        }
        let is_missing = path.contains("nothing") || path.starts_with("/workload/0") || path.contains('%');
        assert_eq!(status == StatusCode::NOT_FOUND, is_missing, "{path}");
        let html = String::from_utf8(body).unwrap();
        assert!(path.starts_with("/assets") || headers[CACHE_CONTROL] == "no-store", "{path}");
        assert!(!html.contains("\"><") || !is_missing || html.contains("<h1>There is no such"), "{path}: {html}");
    }
    assert!(!CONTENT_POLICY.contains("unsafe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_workloads_are_pages_of_bounded_size_with_each_once() {
    let (router, _owned) = router(1000);
    let (mut path, mut names) = ("/?sort=calls".to_owned(), Vec::new());
    for _ in 0..5 {
        let html = page(&router, &path).await;
        assert!(html.len() < 2 << 20, "{} bytes", html.len());
        let (_, headers, packed) = ask(&router, Method::GET, &path, &[("accept-encoding", "gzip")]).await;
        let mut text = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!((&headers[CONTENT_ENCODING], text.len() / 1000), (&"gzip".parse().unwrap(), html.len() / 1000));
        names.extend(html.split("<tr id=\"w").skip(1).map(|row| row[..16].to_owned()));
        let next = html.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
        path = next.split('"').next().unwrap().replace("&#38;", "&");
    }
    let number = names.len();
    names.sort();
    names.dedup();
    assert_eq!((number, names.len()), (1000, 1000));
    assert!(page(&router, "/?q=alert+0007").await.contains("1 workload<"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_says_who_did_what_why_and_what_to_do() {
    let (router, _owned) = router(1);
    let incidents = page(&router, "/incidents").await;
    let html = page(&router, &link(&incidents, "/incident/")).await;
    for part in [
        "mount",
        "pid 7, uid 0",
        "Policy \u{201c}web\u{201d} does not allow it.",
        "allow: [&#34;x86_64:mount&#34;]",
        "exceptions:",
        "syscallmon policy allow ",
        Incident::RUNBOOK,
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    // The colour of each mark is that of the worst severity.
    assert!(html.contains("class=\"count critical\""), "{html}");
    let workload = page(&router, &link(&html, "/workload/")).await;
    assert_eq!(link(&workload, "#profile"), "#profile-title");
    for part in [
        "class=\"flagged critical\"",
        "id=\"profile-title\"",
        "ENOENT 2",
        "2.00 ms",
        "mount(MS_BIND)",
        "unexpected</a>",
        "Policy <b><bdi>web</bdi></b>",
        "/api/v1/profile?match=cgroup%3D",
    ] {
        assert!(workload.contains(part), "{part}: {workload}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_the_daemon_of_the_page() {
    let (router, _owned) = router(1);
    let incident = link(&page(&router, "/incidents").await, "/incident/");
    let command = async |host: &str| {
        let (_, _, html) = ask(&router, Method::GET, &incident, &[("host", host)]).await;
        let html = String::from_utf8(html).unwrap();
        let command = html.split("syscallmon policy allow").nth(1).unwrap();
        command.split('<').next().unwrap().trim().rsplit_once(' ').map_or(String::new(), |(flag, _)| flag.to_owned())
    };
    for host in ["127.0.0.1:9778", "localhost:9778", "[::1]:9778", "", "a;reboot:1", "$(reboot)", "a b"] {
        assert_eq!(command(host).await, "", "{host}");
    }
    for host in ["127.0.0.1:9779", "node1:9778", "node1", "[2001:db8::1]:9778"] {
        assert_eq!(command(host).await, format!("--daemon http://{host}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_until_they_change() {
    let (router, _owned) = router(1);
    let home = page(&router, "/").await;
    for name in ["explorer.css", "explorer.js", "icon.svg"] {
        let path = link(&home.replace("src=", "href="), &format!("/assets/{name}"));
        let (status, headers, body) = ask(&router, Method::GET, &path, &[]).await;
        assert!(status == StatusCode::OK && !body.is_empty());
        assert!(headers[CACHE_CONTROL].to_str().unwrap().contains("immutable"), "{path}");
        let etag = headers[header::ETAG].to_str().unwrap();
        let (status, headers, body) =
            ask(&router, Method::GET, &format!("/assets/{name}?v=0"), &[("if-none-match", etag)]).await;
        assert_eq!(
            (status, body.len(), &headers[CACHE_CONTROL]),
            (StatusCode::NOT_MODIFIED, 0, &"no-cache".parse().unwrap())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_approved_by_a_form_of_the_same_origin_alone() {
    let (router, owned) = router(1);
    let baseline = link(&page(&router, "/policies").await, "/baseline/");
    let html = page(&router, &baseline).await;
    assert!(html.contains("Approve") && html.contains("&#60;i&#62;nginx"), "{html}");
    let (post, approve) = (Method::POST, format!("{baseline}/approve"));
    let is_approved = || owned.baselines().get(&"docker:web".parse().unwrap()).unwrap().approved;
    for headers in [
        &[][..],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:9778"), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://localhost:9778"), ("x-forwarded-for", "10.0.0.7")],
    ] {
        assert_eq!(ask(&router, post.clone(), &approve, headers).await.0, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(ask(&router, Method::GET, &approve, &[]).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let same = [("origin", "http://localhost:9778"), ("sec-fetch-site", "same-origin"), ("cookie", "a=b")];
    assert_eq!(ask(&router, post.clone(), &format!("{baseline}/explode"), &same).await.0, StatusCode::NOT_FOUND);
    assert!(!is_approved());
    let (status, headers, _) = ask(&router, post, &approve, &same).await;
    assert_eq!(
        (status, headers[header::LOCATION].to_str().unwrap(), is_approved()),
        (StatusCode::SEE_OTHER, &*baseline, true)
    );
}
