//! The document of the API describes what the API does: paths, methods, parameters, and every field of answers.

mod schema;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::Query,
    http::{Method, Request, StatusCode, header::ALLOW},
};
use exporter_web::Caller;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use self::schema::{Fields, close, fields_of, note};
use super::{
    calls::CallsQuery, incidents::IncidentsQuery, profile::ProfileQuery, violations::ViolationsQuery,
    workloads::WorkloadsQuery, *,
};
use crate::{
    detect::{Baselines, Incidents, Learn, Policies, Reason, Severity, Source, Violation, Violations},
    engine::Tunables,
    kernel::{Probe, ProbeStatus},
    model::Model,
    process::{Ancestor, Process, ProcessTree},
    snapshot::{ArgumentKey, Bound, Counts, DeniedKey, Durations, ErrorKey, SlotCounts, Snapshot, SortedCounts},
    syscalls::{Call, CallId, CallTable, Errno},
    view::{FixedFacts, RecordedFirstCall, testing::Owned},
    workload::{ResolvedWorkload, Workload},
};

/// The kind of the only baseline that is complete.
const KIND: &str = "docker:web";

const LEARNED: &str = "{name: learned, match: ['container=~\".+\"'], extends: runtime-default, learn: {}}";

const MOMENT: SystemTime = SystemTime::UNIX_EPOCH;

fn process() -> Process {
    Process {
        pid: 7,
        tid: 8,
        uid: 0,
        comm: "sh".to_owned(),
        exe: Some("/bin/sh".to_owned()),
        command_line: Some(vec!["sh".to_owned()]),
        parents: vec![Ancestor { pid: 6, comm: "init".to_owned(), exe: Some("/init".to_owned()) }],
        tree: ProcessTree::default(),
    }
}

fn named(path: &str) -> ResolvedWorkload {
    let workload = Workload::cgroup(path.into());
    let Workload::Resolved(metadata) = workload.clone() else { unreachable!() };
    ResolvedWorkload { workload, metadata }
}

fn violation(path: &str, call: Call, seconds: u64) -> Violation {
    let time = MOMENT + Duration::from_secs(seconds);
    Violation {
        time,
        last_seen: time,
        count: 1,
        workload: named(path).workload,
        metadata: named(path).metadata,
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

/// Counts of a class of arguments, in every way.
fn arguments(class: CallId) -> SortedCounts<ArgumentKey> {
    [(ArgumentKey::Of(class), 2), (ArgumentKey::Denied(class), 1), (ArgumentKey::Other, 1)].into_iter().collect()
}

/// A view with each field that an answer can have. There are 5 workloads with 3 calls each, and 5 violations, each an
/// incident.
fn view() -> View {
    let calls = CallTable::x86_64();
    let id = |abi, name| -> CallId { calls.id(abi, name).unwrap() };
    let (openat, read) = (id("x86_64", "openat"), id("x86_64", "read"));
    let mut took = Durations { sum_ns: 2_000_000, ..Durations::default() };
    took.buckets[3] = 1;
    let counts = Counts {
        calls: [(openat, 5), (read, 3), (id("io_uring", "readv"), 1)].into_iter().collect(),
        container_init: [(openat, 1)].into_iter().collect(),
        errors: [(ErrorKey::Of(openat, Errno::new(2)), 2), (ErrorKey::Other, 1)].into_iter().collect(),
        denied: [(DeniedKey::Of(read), 1), (DeniedKey::Unsupported(openat), 1)].into_iter().collect(),
        durations: [(read, took)].into_iter().collect(),
        arguments: arguments(id("x86_64", "socket(AF_ALG)")),
    };
    let counts = Arc::new(counts);
    let slot = |slot: u32| SlotCounts { slot, cgroup_id: slot.into(), counts: Arc::clone(&counts) };
    let snapshot = Snapshot { slots: (1..=5).map(slot).collect(), ..Snapshot::default() };
    let (mut model, mut violations, mut incidents) =
        (Model::new(usize::MAX), Violations::default(), Incidents::default());
    model.born(1, Instant::now());
    model.apply(&snapshot, Instant::now(), |id| Some(named(&format!("/{id}"))));
    for seconds in 1..=5 {
        let call = match seconds {
            4 => calls.call(id("x86_64", "socket(AF_ALG)")),
            5 => Call { abi: "io_uring", syscall: "readv" },
            _ => calls.call(openat),
        };
        let violation = violation(&format!("/{seconds}"), call, seconds);
        incidents.join(violation.clone(), true, Instant::now());
        violations.first(violation, Instant::now());
    }
    let first_call = RecordedFirstCall {
        time: MOMENT,
        workload: named("/1").workload,
        abi: "x86_64",
        syscall: "socket",
        argument: "AF_ALG",
        number: 0,
        denied: false,
        process: process(),
    };
    let spec = serde_saphyr::from_str(LEARNED).unwrap();
    let source = Source { spec, profiles: Vec::new(), origin: "a.yaml".into() };
    let policies = Policies::new(vec![source], true, &calls).unwrap();
    let probe = ProbeStatus { probe: Probe::SysEnter, implementation: None, problem: Some("no BTF".to_owned()) };
    let facts = FixedFacts {
        calls: Arc::new(calls),
        duration_bounds: Bound::defaults().collect(),
        probes: vec![probe],
        ..FixedFacts::minimal()
    };
    View {
        model: model.view().clone(),
        violations: violations.view(),
        incidents: incidents.view(),
        first_calls: vec![Arc::new(first_call)],
        policies: policies.into(),
        ..View::empty(Arc::new(facts))
    }
}

/// The pages of a daemon with this view, and with a baseline that guards and has learned a call.
fn router() -> (Router, Owned) {
    let calls = CallTable::x86_64();
    let (key, mut baselines) = (KIND.parse().unwrap(), Baselines::default());
    baselines.begin_or_get(&key, (&"learned".into(), Learn::default()), MOMENT, true).unwrap();
    baselines.learn(&key, calls.id("x86_64", "read").unwrap(), &calls, MOMENT, Some("nginx"));
    baselines.approve(&key, MOMENT);
    baselines.store.is_up = Some(true);
    let owned = Owned::new(baselines, view());
    let tunables = Tunables { poll_interval: Duration::from_secs(5), expire_after: Duration::from_mins(1) };
    let site = Site::new(owned.views.clone(), owned.owner.clone(), "/metrics", watch::channel(tunables).1).unwrap();
    (site.router(), owned)
}

struct Answered {
    status: StatusCode,
    allow: Option<String>,
    body: Value,
}

async fn ask(router: &Router, method: Method, path: &str) -> Answered {
    let caller = Caller { is_local: true, user: None, addresses: None };
    let request = Request::builder().method(method).uri(path).extension(caller).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let (status, allow) =
        (answer.status(), answer.headers().get(ALLOW).map(|methods| methods.to_str().unwrap().into()));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Answered { status, allow, body: serde_json::from_slice(&body).unwrap_or_default() }
}

async fn data(router: &Router, path: &str) -> Value {
    let answer = ask(router, Method::GET, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    answer.body["data"].clone()
}

async fn the_document(router: &Router) -> Value {
    ask(router, Method::GET, "/api/v1/openapi.json").await.body
}

fn paths(document: &Value) -> &serde_json::Map<String, Value> {
    document["paths"].as_object().unwrap()
}

/// Returns a path with a value for each parameter.
async fn filled(router: &Router, path: &str) -> String {
    let list = path.split("/{id}").next().unwrap();
    let id = match list.rsplit('/').next().unwrap() {
        key if list.len() < path.len() => data(router, list).await[key][0]["id"].as_str().unwrap().to_owned(),
        _ => String::new(),
    };
    path.replace("{id}", &id).replace("{kind}", KIND).replace("{action}", "approve")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_path_and_every_method() {
    let (router, _owned) = router();
    let document = the_document(&router).await;
    let documented: BTreeSet<&str> = paths(&document).keys().map(String::as_str).collect();
    let served = routes().into_iter().map(|(path, _)| path).chain(["/healthz", "/readyz", "/api/v1/policies"]);
    let of_baselines = ["/api/v1/baselines/{kind}", "/api/v1/baselines/{kind}/{action}"];
    assert_eq!(documented, served.chain(of_baselines).collect());
    assert!(baselines::BASELINE.starts_with("/api/v1/baselines/{"));
    for (path, item) in paths(&document) {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            let answer = ask(&router, method.parse().unwrap(), &filled(&router, path).await).await;
            let is_documented = item.get(method.to_lowercase()).is_some();
            assert_eq!(answer.status == StatusCode::METHOD_NOT_ALLOWED, !is_documented, "{method} {path}");
            assert_eq!(answer.allow.is_some(), !is_documented, "{method} {path}");
        }
    }
    let listed = data(&router, "/api/v1").await;
    let listed = listed["endpoints"].as_array().unwrap();
    assert_eq!(listed.len(), documented.len(), "each path has one method: {listed:?}");
    assert!(listed.iter().all(|endpoint| endpoint["summary"].as_str().unwrap().ends_with('.')), "{listed:?}");
}

/// Returns the names of a query's fields, from the error about a field that it does not have.
fn fields<Q: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
    let error = Query::<Q>::try_from_uri(&"/?unheard_of=1".parse().unwrap()).unwrap_err().body_text();
    let names = error.split_once("expected").expect("unknown fields are errors").1;
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_document_has_every_parameter() {
    for (path, fields) in [
        ("/api/v1/workloads", fields::<WorkloadsQuery>()),
        ("/api/v1/calls", fields::<CallsQuery>()),
        ("/api/v1/incidents", fields::<IncidentsQuery>()),
        ("/api/v1/violations", fields::<ViolationsQuery>()),
        ("/api/v1/profile", fields::<ProfileQuery>()),
        ("/api/v1/policies", BTreeSet::new()),
        ("/api/v1", BTreeSet::new()),
    ] {
        let documented: BTreeSet<String> = openapi::parameters(path).into_iter().map(str::to_owned).collect();
        assert_eq!(documented, fields, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_measured_runtime() {
    let document = the_document(&router().0).await;
    let parameters = document.pointer("/paths/~1api~1v1~1profile/get/parameters").unwrap().as_array().unwrap();
    let runtime = parameters.iter().find(|parameter| parameter["name"] == "runtime").unwrap();
    assert_eq!(runtime["schema"]["enum"], json!(crate::profile::base::known()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_lists_what_it_extends() {
    let policies = data(&router().0, "/api/v1/policies").await["policies"].clone();
    let extends = |position: usize| (&policies[position]["name"], &policies[position]["extends"]);
    assert_eq!(extends(0), (&json!("learned"), &json!(["runtime-default"])));
    assert_eq!(extends(1), (&json!("runtime-default"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_are_errors_everywhere() {
    let (router, _owned) = router();
    for (path, item) in paths(&the_document(&router).await).iter().filter(|(path, _)| path.starts_with("/api")) {
        let method = if item.get("get").is_some() { Method::GET } else { Method::POST };
        let answer = ask(&router, method, &format!("{}?unheard_of=1", filled(&router, path).await)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(answer.body["error"].as_str().unwrap().contains("unheard_of"), "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_fields_of_the_document_and_no_others() {
    let (router, owned) = router();
    let document = the_document(&router).await;
    let mut closed = document.clone();
    close(&mut closed);
    let mut seen = Fields::new();
    let mut check = |path: &str, answer: &Answered| {
        let method = if path.ends_with("{action}") { "post" } else { "get" };
        let mut response = &document["paths"][path][method]["responses"][answer.status.as_str()];
        if let Some(path) = response["$ref"].as_str() {
            response = document.pointer(&path[1..]).unwrap();
        }
        let schema = &response["content"]["application/json"]["schema"];
        let mut whole = schema.clone();
        close(&mut whole);
        whole["components"] = closed["components"].clone();
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        let problems: Vec<String> =
            validator.iter_errors(&answer.body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(!schema.is_null() && problems.is_empty(), "{path}: {problems:#?}");
        note(&document, schema, &answer.body, &mut seen, path);
    };
    for path in paths(&document).keys().filter(|path| path.starts_with("/api")) {
        let method = if path.ends_with("{action}") { Method::POST } else { Method::GET };
        let query = if path.ends_with("/profile") { "?match=cgroup%3D%22/1%22" } else { "" };
        check(path, &ask(&router, method, &format!("{}{query}", filled(&router, path).await)).await);
    }
    for path in ["workloads", "calls", "incidents", "violations"] {
        let path = format!("/api/v1/{path}");
        check(&path, &ask(&router, Method::GET, &format!("{path}?limit=2")).await);
        check(&path, &ask(&router, Method::GET, &format!("{path}?limit=two")).await);
    }
    owned.baselines().relearn(&KIND.parse().unwrap(), MOMENT);
    let mut all = Fields::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        fields_of(schema, &format!("/components/schemas/{name}"), &mut all);
    }
    for (schema, fields) in all {
        let missing: Vec<&String> =
            fields.iter().filter(|field| !seen.get(&schema).is_some_and(|seen| seen.contains(*field))).collect();
        // An answer of 16 MiB, a day without a workload, a stop, and a baseline that learns.
        let is_rare = |field: &str| ["truncated", "unseen_for", "stop_seen", "guards_in", "waits_for"].contains(&field);
        assert!(missing.iter().all(|field| is_rare(field)), "{schema}: no answer has {missing:?}");
    }
}

/// Follows `next` from page to page. Returns the identities of the entries.
async fn pages(router: &Router, path: &str, key: &str, identity: impl Fn(&Value) -> String) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = data(router, &format!("{path}?limit=2{cursor}")).await;
        let entries = page[key].as_array().unwrap();
        assert!(entries.len() <= 2 && all.len() < 100, "{page}");
        all.extend(entries.iter().map(&identity));
        let Some(next) = page["next"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_every_entry_once() {
    let (router, _owned) = router();
    for (key, count) in [("workloads", 5), ("calls", 15), ("incidents", 5), ("violations", 5)] {
        let path = &format!("/api/v1/{key}");
        let identity =
            |entry: &Value| ["id", "workload_id", "abi", "syscall"].map(|field| entry[field].to_string()).concat();
        let whole = data(&router, path).await;
        let whole: Vec<String> = whole[key].as_array().unwrap().iter().map(identity).collect();
        assert_eq!(pages(&router, path, key, identity).await, whole, "{path}");
        assert_eq!((whole.len(), whole.iter().collect::<BTreeSet<_>>().len()), (count, count), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_between_pages_skips_nothing_else() {
    let (router, _owned) = router();
    for path in ["/api/v1/workloads", "/api/v1/calls", "/api/v1/incidents", "/api/v1/violations"] {
        let cursor = match path {
            "/api/v1/workloads" => "0000000000000000".to_owned(),
            "/api/v1/calls" => "99999999999-0000000000000000-0".to_owned(),
            _ => format!("{}-0000000000000000", u64::MAX),
        };
        // The entry of the cursor does not exist.
        let key = path.rsplit('/').next().unwrap();
        let (from_it, all) = (data(&router, &format!("{path}?cursor={cursor}")).await, data(&router, path).await);
        assert_eq!((&from_it[key], &from_it["total"]), (&all[key], &all["total"]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_busiest_come_first_if_asked_for() {
    let (router, _owned) = router();
    let busiest = data(&router, "/api/v1/workloads?sort=calls&limit=2").await;
    assert_eq!((busiest["workloads"].as_array().unwrap().len(), &busiest["next"]), (2, &Value::Null));
    let answer = ask(&router, Method::GET, "/api/v1/workloads?sort=calls&cursor=0000000000000000").await;
    assert!(answer.status == StatusCode::CONFLICT && answer.body.to_string().contains("sort=id"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_calls_are_one_request() {
    let (router, _owned) = router();
    // The view begins in 1970.
    let total = async |query: &str| data(&router, &format!("/api/v1/calls?{query}")).await["total"].clone();
    assert_eq!(total("first_seen_since=24h").await, 0);
    assert_eq!(total("first_seen_since=0").await, 15);
    assert_eq!(total("first_seen_since=1970-01-01T00:00:00Z&syscall=read").await, 5);
    assert_eq!(total("match=cgroup%3D%22/1%22&since=0").await, 3);
    assert_eq!((total("during_start=true").await, total("during_start=false").await), (json!(15), json!(0)));
    assert_eq!(data(&router, "/api/v1/violations?first_seen_since=3").await["total"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_thing_by_its_id() {
    let (router, _owned) = router();
    let id = named("/3").workload.id();
    let workload = data(&router, &format!("/api/v1/workloads/{id}")).await;
    assert_eq!((&workload["id"], &workload["workload"]), (&json!(id), &json!({"cgroup": "/3"})));
    for (key, syscall) in [("violations", "/syscall"), ("incidents", "/calls/0/syscall")] {
        let listed = data(&router, &format!("/api/v1/{key}?limit=1")).await[key][0].clone();
        let shown = data(&router, &format!("/api/v1/{key}/{}", listed["id"].as_str().unwrap())).await;
        assert_eq!((&shown, shown.pointer(syscall)), (&listed, Some(&"readv".into())));
    }
    for path in [
        "workloads/0123456789abcdef",
        "violations/0123456789abcdef",
        "incidents/0123456789abcdef",
        "workloads/%1b%22",
        "violations/x",
    ] {
        let answer = ask(&router, Method::GET, &format!("/api/v1/{path}")).await;
        let list = format!("/api/v1/{}", path.split('/').next().unwrap());
        let is_clear = answer.body["error"].as_str().is_some_and(|error| error.contains(&list));
        assert!(answer.status == StatusCode::NOT_FOUND && is_clear, "{}", answer.body);
    }
}

#[test]
fn an_ambiguous_id_is_an_error() {
    let find = |text: &str, ids: &[StableId]| match find(text, "/api/v1/things", ids.iter(), |id| **id) {
        Ok(_) => StatusCode::OK,
        Err(answer) => answer.status(),
    };
    let [a, b] = ["a", "b"].map(|name| StableId::of("thing", [name]));
    let text = a.to_string();
    assert_eq!(find(&text, &[b, a]), StatusCode::OK);
    assert_eq!(find(&text, &[b]), StatusCode::NOT_FOUND);
    assert_eq!(find(&text, &[a, b, a]), StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_pages_of_the_api_have_an_answer_in_json() {
    let (router, _owned) = router();
    for path in ["/api/v1/nothing", "/api/v2", "/api", "/api/"] {
        let answer = ask(&router, Method::GET, path).await;
        let error = answer.body["error"].as_str().unwrap_or_default();
        assert!(answer.status == StatusCode::NOT_FOUND && error.contains("/api/v1"), "{path}: {}", answer.body);
    }
    assert_eq!(ask(&router, Method::GET, "/apis").await.body, Value::Null);
}
