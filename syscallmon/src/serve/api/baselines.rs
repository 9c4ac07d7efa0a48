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
        HeaderMap, StatusCode, Uri, Version,
        header::{CONTENT_TYPE, ORIGIN},
    },
    response::Response,
    routing::get,
};
use exporter_web::Caller;
use serde::Serialize;

use super::{
    audit::Origin,
    builders::Builders,
    json::{failure, success},
    local::refusal,
};
use crate::{
    detect::{Baseline, BaselineKey, Learn, Phase, Policy, Progress, in_seconds},
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

/// An action on a baseline.
#[derive(Clone, Copy, Debug)]
enum BaselineAction {
    Approve,
    Forget,
    Relearn,
}

/// Access to baselines.
#[derive(Clone, Debug)]
struct Baselines {
    views: Views,
    owner: Requester,
}

/// Returns the routes.
pub(crate) fn router(views: Views, owner: Requester) -> Router {
    Router::new()
        .route("/api/v1/policies", get(list))
        .layer(Extension(Builders::default()))
        .route("/api/v1/baselines/{*kind}", get(show).post(change))
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
        Self { name, origin: policy.origin(), learn: policy.learn().copied(), workloads }
    }
}

impl<'a> BaselineEntry<'a> {
    fn new((baseline, progress): (&'a Arc<Baseline>, Progress), workloads: &HashMap<BaselineKey, usize>) -> Self {
        Self {
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

async fn show(Extract(baselines): Extract<Baselines>, Path(key): Path<String>) -> Response {
    let key: BaselineKey = match key.parse() {
        Ok(key) => key,
        Err(error) => return failure(StatusCode::BAD_REQUEST, format!("{error}")),
    };
    baselines.owner.refresh().await;
    let view = baselines.views.newest();
    view.baselines.get(&key).map_or_else(|| unknown(&key), |baseline| success(&**baseline))
}

fn unknown(key: &BaselineKey) -> Response {
    failure(StatusCode::NOT_FOUND, format!("there is no baseline {key}: see /api/v1/policies for the list"))
}

/// Answers with the baseline after the action; for `forget`, with the one before.
async fn change(
    Extract(baselines): Extract<Baselines>,
    Path(path): Path<String>,
    Extension(caller): Extension<Caller>,
    (version, uri, headers): (Version, Uri, HeaderMap),
) -> Response {
    if let Err(reason) = may_change(&caller, version, &uri, &headers) {
        return failure(StatusCode::FORBIDDEN, reason);
    }
    let Some((key, action)) = path.rsplit_once('/').and_then(|(key, name)| Some((key, BaselineAction::named(name)?)))
    else {
        return failure(StatusCode::NOT_FOUND, "the path must end with /approve, /forget or /relearn".to_owned());
    };
    let key: BaselineKey = match key.parse() {
        Ok(key) => key,
        Err(error) => return failure(StatusCode::BAD_REQUEST, format!("{error}")),
    };
    let (of, now) = (key.clone(), SystemTime::now());
    let changed = baselines.owner.baselines(move |baselines| {
        let before = baselines.get(&of).cloned()?;
        match action {
            BaselineAction::Approve => baselines.approve(&of, now),
            BaselineAction::Forget => baselines.forget(&of),
            BaselineAction::Relearn => baselines.relearn(&of, now),
        };
        Some(baselines.get(&of).cloned().unwrap_or(before))
    });
    let Some(Some(baseline)) = changed.await else { return unknown(&key) };
    let Origin { by, user, uid, address } = Origin::of(&caller).await;
    tracing::info!(kind = %key, ?action, by, user, uid, address, "baseline changed through the API");
    success(&*baseline)
}

impl BaselineAction {
    fn named(name: &str) -> Option<Self> {
        match name {
            "approve" => Some(Self::Approve),
            "forget" => Some(Self::Forget),
            "relearn" => Some(Self::Relearn),
            _ => None,
        }
    }
}

/// Whether a request may change something; otherwise the reason.
fn may_change(caller: &Caller, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
    if caller.user.is_none() {
        let why = if caller.is_local {
            refusal(version, uri, headers)
        } else {
            Some("it is not from a loopback address".to_owned())
        };
        if let Some(why) = why {
            return Err(format!(
                "changing a baseline requires a user of web.config.file, or a local client on a loopback address: {why}"
            ));
        }
    }
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == b"application/json");
    // For a page of another origin, a browser sends this content type only after a preflight request, which is refused
    // here, and it adds `Origin`.
    if !is_json || headers.contains_key(ORIGIN) {
        return Err("requires the header Content-Type: application/json".to_owned());
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
        assert_eq!(get(&owned, "/api/v1/baselines/web").await.0, 400);
        let post = async |path| ask(&owned, Method::POST, path, LOCAL, &[JSON]).await.0;
        assert_eq!(post("/api/v1/baselines/docker:web/approve").await, 404);
        assert_eq!(post("/api/v1/baselines/web/approve").await, 400);
        assert_eq!(post(PATH).await, 404);
        assert_eq!(post("/api/v1/policies").await, 405);
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
            (LOCAL, &[], 403),
            (LOCAL, &[("content-type", "text/plain")], 403),
            (user.clone(), &[("content-type", "application/x-www-form-urlencoded")], 403),
            (LOCAL, &[JSON, ("origin", "http://127.0.0.1:9778")], 403),
        ] {
            let path = format!("{PATH}/approve");
            let (status, answer) = ask(&owned, Method::POST, &path, caller.clone(), headers).await;
            assert_eq!(status, expected, "{caller:?} {headers:?}");
            assert_eq!(answer["error"].is_string(), expected == 403, "{answer}");
        }
    }
}
