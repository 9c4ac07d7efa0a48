//! `/api/v1/policies` and `/api/v1/baselines/<kind>`: baselines, and the actions on them.
//!
//! Changes require a user and password, or a loopback address. A web page of another origin can never make them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    extract::{Path, State as Extract},
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri, Version,
        header::{ALLOW, CONTENT_TYPE, ORIGIN},
    },
    middleware,
    response::Response,
    routing::get,
};
use exporter_web::Caller;
use serde::Serialize;

use super::{
    baseline_action::BaselineAction,
    builders::Builders,
    json::{failure, success},
    local::refusal,
    query::check_parameters,
};
use crate::{
    detect::{Baseline, BaselineKey, BaselinesView, Learn, Phase, Policy, Progress, in_seconds},
    stable_id::StableId,
    view::{Requester, View, Views},
};

#[derive(Serialize)]
struct Listed<'a> {
    /// In order of precedence: the first that selects a workload applies.
    policies: Vec<PolicyEntry<'a>>,
    store: Store,
    /// Sorted by key.
    baselines: Vec<BaselineEntry<'a>>,
}

#[derive(Serialize)]
struct PolicyEntry<'a> {
    name: &'a str,
    /// Its file, or `built in`.
    origin: &'a str,
    /// The policies that it extends, the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extends: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    learn: Option<Learn>,
    /// Number of current workloads with this policy.
    workloads: usize,
}

/// State of the store of baselines.
#[derive(Serialize)]
struct Store {
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    errors: u64,
    unreadable_files: usize,
}

/// A baseline without its calls.
#[derive(Serialize)]
struct BaselineEntry<'a> {
    id: StableId,
    kind: &'a BaselineKey,
    policy: &'a str,
    state: Phase,
    approved: bool,
    partial: bool,
    #[serde(with = "humantime_serde")]
    began: SystemTime,
    #[serde(with = "humantime_serde")]
    last_new: Option<SystemTime>,
    #[serde(with = "humantime_serde")]
    frozen_at: Option<SystemTime>,
    #[serde(serialize_with = "in_seconds")]
    learned_for: Duration,
    #[serde(serialize_with = "in_seconds")]
    quiet_for: Duration,
    #[serde(flatten)]
    progress: Progress,
    /// Number of calls.
    calls: usize,
    /// Number of current workloads of the kind.
    workloads: usize,
}

/// Access to baselines.
#[derive(Clone, Debug)]
struct Baselines {
    views: Views,
    owner: Requester,
}

/// The path of a baseline, by its kind or id. Kinds have slashes. A path of an action ends with its name.
pub(super) const BASELINE: &str = "/api/v1/baselines/{*kind}";

/// Returns the routes.
pub(crate) fn router(views: Views, owner: Requester) -> Router {
    Router::new()
        .route("/api/v1/policies", get(list))
        .layer(Extension(Builders::default()))
        .route(BASELINE, get(show).post(change).fallback(other_method))
        .route_layer(middleware::from_fn(check_parameters))
        .with_state(Baselines { views, owner })
}

async fn list(Extract(baselines): Extract<Baselines>, Extension(builders): Extension<Builders>) -> Response {
    baselines.owner.refresh().await;
    let view = baselines.views.newest();
    builders.build(move || listed(&view)).await
}

fn listed(view: &View) -> Response {
    let (mut by_policy, mut by_key) = (HashMap::<&str, usize>::new(), HashMap::new());
    for (workload, totals) in view.model.workloads().filter(|(_, totals)| !totals.is_gone()) {
        if let Some(policy) = view.policies.of(&totals.metadata).filter(|_| workload.is_one()) {
            *by_policy.entry(policy.name()).or_default() += 1;
        }
        if let Some(key) = BaselineKey::of(&totals.metadata) {
            *by_key.entry(key).or_default() += 1;
        }
    }
    let status = view.baselines.store;
    success(Listed {
        policies: view.policies.iter().map(|policy| PolicyEntry::new(policy, &by_policy)).collect(),
        store: Store { up: status.is_up, errors: status.errors, unreadable_files: status.unreadable },
        baselines: view.baselines.with_progress().map(|baseline| BaselineEntry::new(baseline, &by_key)).collect(),
    })
}

impl<'a> PolicyEntry<'a> {
    fn new(policy: &'a Policy, workloads: &HashMap<&str, usize>) -> Self {
        let name = policy.name().as_ref();
        let workloads = workloads.get(name).copied().unwrap_or_default();
        let extends = policy.ancestors().map(|policy| policy.name().as_ref()).collect();
        Self { name, origin: policy.origin(), extends, learn: policy.learn().copied(), workloads }
    }
}

impl<'a> BaselineEntry<'a> {
    fn new((baseline, progress): (&'a Arc<Baseline>, Progress), workloads: &HashMap<BaselineKey, usize>) -> Self {
        Self {
            id: baseline.kind.id(),
            progress,
            kind: &baseline.kind,
            policy: &baseline.policy,
            state: baseline.state,
            approved: baseline.approved,
            partial: baseline.partial,
            began: baseline.began,
            last_new: baseline.last_new,
            frozen_at: baseline.frozen_at,
            learned_for: baseline.learned_for,
            quiet_for: baseline.quiet_for,
            calls: baseline.size(),
            workloads: workloads.get(&baseline.kind).copied().unwrap_or_default(),
        }
    }
}

async fn show(Extract(baselines): Extract<Baselines>, Path(path): Path<String>) -> Response {
    baselines.owner.refresh().await;
    let view = baselines.views.newest();
    match (found(&view.baselines, &path), action_of(&path)) {
        (Ok(key), _) if let Some(baseline) = view.baselines.get(&key) => success(&**baseline),
        (_, Some(_)) => not_allowed("POST", "a change requires the method POST"),
        (Ok(key), None) => unknown(&key),
        (Err(missing), None) => *missing,
    }
}

/// Returns the kind of a baseline from its text, or from its id.
fn found(baselines: &BaselinesView, text: &str) -> Result<BaselineKey, Box<Response>> {
    let missing = |why: String| failure(StatusCode::NOT_FOUND, format!("{why}: see /api/v1/policies for the list"));
    if let Ok(id) = text.parse::<StableId>() {
        let mut of_it = baselines.iter().map(|baseline| &baseline.kind).filter(|kind| kind.id() == id);
        return match (of_it.next(), of_it.next()) {
            (Some(kind), None) => Ok(kind.clone()),
            (None, _) => Err(missing(format!("there is no baseline with the id {id}")).into()),
            _ => Err(failure(StatusCode::CONFLICT, format!("the id {id} is ambiguous: use the kind")).into()),
        };
    }
    text.parse().map_err(|error| missing(format!("{error}")).into())
}

fn unknown(key: &BaselineKey) -> Response {
    failure(StatusCode::NOT_FOUND, format!("there is no baseline {key}: see /api/v1/policies for the list"))
}

fn not_allowed(allowed: &'static str, text: &str) -> Response {
    let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, text.to_owned());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Answers to other methods.
async fn other_method(Path(path): Path<String>) -> Response {
    match action_of(&path) {
        Some(_) => not_allowed("POST", "a change requires the method POST"),
        None => {
            not_allowed("GET,HEAD", "Method Not Allowed: use GET or HEAD; to change a baseline, POST to .../approve")
        }
    }
}

/// Splits the path of a change into baseline and action.
fn action_of(path: &str) -> Option<(&str, BaselineAction)> {
    let (key, name) = path.rsplit_once('/')?;
    Some((key, BaselineAction::named(name)?))
}

/// Answers with the baseline after the action; for `forget`, with the one before.
async fn change(
    Extract(baselines): Extract<Baselines>,
    Path(path): Path<String>,
    Extension(caller): Extension<Caller>,
    (version, uri, headers): (Version, Uri, HeaderMap),
) -> Response {
    let Some((key, action)) = action_of(&path) else {
        return not_allowed("GET,HEAD", "the path of a change ends with /approve, /forget or /relearn");
    };
    if let Err((code, reason)) = may_change(&caller, version, &uri, &headers) {
        return failure(code, reason);
    }
    let key = match found(&baselines.views.newest().baselines, key) {
        Ok(key) => key,
        Err(missing) => return *missing,
    };
    let changed = action.apply(&baselines.owner, &key, &caller, "the API").await;
    let Some(baseline) = changed else { return unknown(&key) };
    success(&*baseline)
}

/// Whether a request may change something; otherwise the status and the reason.
fn may_change(caller: &Caller, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
    if caller.user.is_none() {
        let why = if caller.is_local {
            refusal(version, uri, headers)
        } else {
            Some("it is not from a loopback address".to_owned())
        };
        if let Some(why) = why {
            let who = "a user of web.config.file, or a local client on a loopback address";
            return Err((StatusCode::FORBIDDEN, format!("changing a baseline requires {who}: {why}")));
        }
    }
    if headers.contains_key(ORIGIN) {
        let why = "the header Origin is of a browser; changes are for other clients, such as curl or syscallmon policy";
        return Err((StatusCode::FORBIDDEN, why.to_owned()));
    }
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == b"application/json");
    // For a page of another origin, a browser sends this content type only after a preflight request, which is refused
    // here, and it adds `Origin`.
    if !is_json {
        let remedy = "requires the header Content-Type: application/json (curl: -H 'Content-Type: application/json')";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, remedy.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Method, Request};
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        detect::{self, Policies},
        syscalls::CallTable,
        view::{FixedFacts, testing::Owned},
    };

    const LOCAL: Caller = Caller { is_local: true, user: None, addresses: None };
    const STRANGER: Caller = Caller { is_local: false, user: None, addresses: None };
    const JSON: (&str, &str) = ("content-type", "application/json");

    /// An owner with one baseline, which has learned one call.
    fn owned() -> Owned {
        let calls = CallTable::x86_64();
        let policies = Arc::new(Policies::new(vec![], true, &calls).unwrap());
        let (policy, mut baselines): (Arc<str>, _) = ("web".into(), detect::Baselines::default());
        baselines.begin_or_get(&key(), (&policy, Learn::default()), SystemTime::UNIX_EPOCH, true).unwrap();
        let read = calls.id("x86_64", "read").unwrap();
        baselines.learn(&key(), read, &calls, SystemTime::UNIX_EPOCH, Some("nginx"));
        Owned::new(baselines, View { policies, ..View::empty(Arc::new(FixedFacts::minimal())) })
    }

    fn key() -> BaselineKey {
        "shop/Deployment/a%2Fb/httpd".parse().unwrap()
    }

    /// Returns the key for a path, with its escapes escaped once more.
    const PATH: &str = "/api/v1/baselines/shop/Deployment/a%252Fb/httpd";

    async fn ask(owned: &Owned, method: Method, path: &str, caller: Caller, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).extension(caller);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:9778");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = router(owned.views.clone(), owned.owner.clone())
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(owned: &Owned, path: &str) -> (u16, Value) {
        ask(owned, Method::GET, path, STRANGER, &[]).await
    }

    async fn post(owned: &Owned, action: &str) -> (u16, Value) {
        ask(owned, Method::POST, &format!("{PATH}/{action}"), LOCAL, &[JSON]).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn baselines_are_listed_and_shown() {
        let owned = owned();
        let (status, answer) = get(&owned, "/api/v1/policies").await;
        let policy = serde_json::json!({"name": "runtime-default", "origin": "built in", "workloads": 0});
        assert_eq!(answer["data"]["policies"], serde_json::json!([policy]));
        let listed = &answer["data"]["baselines"][0];
        assert_eq!((status, &answer["status"], &listed["kind"]), (200, &"success".into(), &key().as_str().into()));
        assert_eq!(
            (&listed["calls"], &listed["state"], &listed["partial"]),
            (&1.into(), &"learning".into(), &true.into())
        );
        let (status, answer) = get(&owned, PATH).await;
        assert_eq!((status, &answer["data"]["calls"]["x86_64/read"]), (200, &"1970-01-01T00:00:00Z nginx".into()));
    }

    #[tokio::test]
    async fn a_missing_baseline_and_a_bad_key_are_distinguished() {
        let owned = owned();
        let (status, answer) = get(&owned, "/api/v1/baselines/docker:web").await;
        assert_eq!(status, 404);
        assert!(answer["error"].as_str().unwrap().contains("no baseline docker:web"), "{answer}");
        let (status, answer) = get(&owned, "/api/v1/baselines/web").await;
        assert!(status == 404 && answer["error"].as_str().unwrap().contains("not a kind"), "{answer}");
        let post = async |path| ask(&owned, Method::POST, path, LOCAL, &[JSON]).await.0;
        assert_eq!(post("/api/v1/baselines/docker:web/approve").await, 404);
        assert_eq!(post("/api/v1/baselines/web/approve").await, 404);
        assert_eq!(post(PATH).await, 405);
        assert_eq!(post("/api/v1/policies").await, 405);
        assert_eq!(get(&owned, &format!("{PATH}/approve")).await.0, 405);
        assert_eq!(get(&owned, &format!("{PATH}?a=b")).await.0, 400);
    }

    #[tokio::test]
    async fn an_id_is_as_good_as_the_kind() {
        let owned = owned();
        let id = get(&owned, "/api/v1/policies").await.1["data"]["baselines"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(id, key().id().to_string());
        let path = format!("/api/v1/baselines/{id}");
        assert_eq!(get(&owned, &path).await.1["data"]["kind"], key().as_str());
        let (status, answer) = ask(&owned, Method::POST, &format!("{path}/approve"), LOCAL, &[JSON]).await;
        assert_eq!((status, &answer["data"]["state"]), (200, &"guarding".into()));
        let (status, answer) = get(&owned, "/api/v1/baselines/0123456789abcdef").await;
        assert!(status == 404 && answer["error"].as_str().unwrap().contains("0123456789abcdef"), "{answer}");
    }

    #[tokio::test]
    async fn a_baseline_is_approved_relearned_and_forgotten() {
        let owned = owned();
        let (status, answer) = post(&owned, "approve").await;
        let data = &answer["data"];
        assert_eq!((status, &data["state"], &data["approved"]), (200, &"guarding".into(), &true.into()));
        assert!(owned.baselines().is_guarding(&key()));
        assert_eq!(post(&owned, "relearn").await.1["data"]["state"], "learning");
        let (status, answer) = post(&owned, "forget").await;
        assert_eq!(status, 200);
        assert!(answer["data"]["calls"]["x86_64/read"].is_string(), "so that it can be put back: {answer}");
        assert!(owned.baselines().get(&key()).is_none());
        assert_eq!(post(&owned, "forget").await.0, 404);
    }

    #[tokio::test]
    async fn only_those_who_may_change_anything() {
        let owned = owned();
        let user = Caller { user: Some("admin".into()), ..STRANGER };
        for (caller, headers, expected) in [
            (LOCAL, &[JSON][..], 200),
            (user.clone(), &[JSON], 200),
            (user.clone(), &[JSON, ("x-forwarded-for", "192.0.2.1")], 200),
            (STRANGER, &[JSON], 403),
            (LOCAL, &[JSON, ("x-forwarded-for", "192.0.2.1")], 403),
            (LOCAL, &[JSON, ("forwarded", "for=192.0.2.1")], 403),
            (LOCAL, &[JSON, ("via", "1.1 proxy")], 403),
            (LOCAL, &[JSON, ("host", "node.example")], 403),
            (LOCAL, &[JSON, ("host", "localhost:9778")], 200),
            (user.clone(), &[JSON, ("host", "node.example"), ("via", "1.1 proxy")], 200),
            (LOCAL, &[], 415),
            (LOCAL, &[("content-type", "text/plain")], 415),
            (user.clone(), &[("content-type", "application/x-www-form-urlencoded")], 415),
            (LOCAL, &[JSON, ("origin", "http://127.0.0.1:9778")], 403),
        ] {
            let path = format!("{PATH}/approve");
            let (status, answer) = ask(&owned, Method::POST, &path, caller.clone(), headers).await;
            assert_eq!(status, expected, "{caller:?} {headers:?}");
            assert_eq!(answer["error"].is_string(), expected != 200, "{answer}");
        }
    }
}
