//! `/api/v1/profile`: a seccomp profile from what workloads of this node call.

use std::{collections::BTreeSet, time::SystemTime};

use axum::{
    extract::{Query, State as Extract, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use clap::ValueEnum;
use serde::Deserialize;

use super::{
    answer_query,
    json::failure,
    query::{QueryError, Selection},
};
use crate::{
    model::Totals,
    profile::{
        Confidence, Details, Evidence, EvidenceError, Format, Observation, Plan, PlanOptions, Provenance, Replica,
        SourceKind, base,
    },
    serve::{Site, exposition::workload_series::denied_call},
    snapshot::ArgumentKey,
    view::View,
    workload::{Label, Workload},
};

/// The query of `/api/v1/profile`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProfileQuery {
    /// The workloads, by all of their metadata: `namespace="shop",owner="web"`.
    #[serde(rename = "match")]
    selector: Option<String>,
    /// Format, as of `syscallmon profile generate --format`; `oci` if absent.
    format: Option<String>,
    /// Leave out siblings of calls.
    strict: bool,
    /// Container runtime, such as `runc-1.3`; all if absent.
    runtime: Option<String>,
    /// Whether containers run with `no_new_privs`.
    no_new_privileges: bool,
    /// Name of the object or policy.
    name: Option<String>,
    /// Namespace of the object.
    namespace: Option<String>,
}

/// Serves the profile.
pub(super) async fn profile(
    Extract(site): Extract<Site>,
    query: Result<Query<ProfileQuery>, QueryRejection>,
) -> Response {
    answer_query(site, query, answer).await
}

fn answer(view: &View, query: &ProfileQuery) -> Result<Response, QueryError> {
    let Some(selector) = &query.selector else {
        return Ok(refused(
            "match is missing: it selects the workloads, such as match=namespace=\"shop\",owner=\"web\"",
        ));
    };
    let details = details(query, selector);
    if let Err(error) = details.check() {
        return Ok(refused(&error.to_string()));
    }
    let known = || view.model.workloads().map(|(_, totals)| totals.metadata.clone()).collect();
    let selection = Selection::of(Some(selector), known)?;
    let evidence = match evidence(view, &selection, selector) {
        Ok(evidence) => evidence,
        Err(error) => return Ok(refused(&error.to_string())),
    };
    if evidence.calls.values().all(|seen| seen.count == 0) {
        return Ok(failure(StatusCode::NOT_FOUND, "no workload with system calls matches".to_owned()));
    }
    Ok(written(&evidence, query, &details).unwrap_or_else(|problem| refused(&problem)))
}

fn refused(problem: &str) -> Response {
    failure(StatusCode::BAD_REQUEST, problem.to_owned())
}

fn details(query: &ProfileQuery, selector: &str) -> Details {
    Details {
        name: query.name.clone().unwrap_or_else(|| "workload".to_owned()),
        namespace: query.namespace.clone(),
        selector: selector.to_owned(),
    }
}

/// Returns the file. The text of an error says what is wrong with the query.
fn written(evidence: &Evidence, query: &ProfileQuery, details: &Details) -> Result<Response, String> {
    let format = query.format.as_deref().unwrap_or("oci");
    let format =
        Format::from_str(format, false).map_err(|_| format!("format: {format:?} is not a format: {}", formats()))?;
    if format.is_directory() {
        return Err(format!("format: an artifact is a directory: use syscallmon profile generate, or {}", formats()));
    }
    let runtime: Option<base::Runtime> =
        query.runtime.as_deref().map(str::parse).transpose().map_err(|error| format!("runtime: {error}"))?;
    let privileges = query.no_new_privileges.then_some(true);
    let made = if format.is_for_containers() { base::base(runtime, privileges) } else { BTreeSet::new() };
    let options = PlanOptions { strict: query.strict, runtime: made, ..PlanOptions::default() };
    let mut plan = Plan::new(evidence, &options);
    plan.warnings.extend(Confidence::new(evidence, SystemTime::now()).warning());
    let runtime = runtime.map_or_else(|| "all measured runtimes".to_owned(), |runtime| runtime.to_string());
    let provenance = Provenance::new(evidence, Some(runtime), SystemTime::now());
    let mut files = format.write(&plan, &provenance, details).map_err(|error| error.to_string())?;
    let content = files.pop().map(|file| file.content).unwrap_or_default();
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(format.media_type()))], content).into_response())
}

fn formats() -> String {
    let formats = Format::value_variants().iter().filter(|format| !format.is_directory());
    let names = formats.filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()));
    format!("expected one of {}", names.collect::<Vec<_>>().join(", "))
}

/// Returns what this node knows about the selected workloads. Calls of container init belong to the runtime.
fn evidence(view: &View, selection: &Selection, selector: &str) -> Result<Evidence, EvidenceError> {
    let label = |totals: &Totals, label| totals.metadata.get(label).map_or_else(String::new, ToString::to_string);
    let mut evidence = Evidence::new(SourceKind::Daemon, format!("this node, {selector}"));
    for (workload, totals) in view.model.workloads().filter(|(_, totals)| selection.has(&totals.metadata)) {
        let created = totals.created();
        let replica = evidence.add_replica(Replica {
            name: replica_name(workload, &label(totals, Label::Node)),
            image: Some(label(totals, Label::Image)).filter(|image| !image.is_empty()),
            from: Some(view.facts.time_of(created)),
            to: Some(view.snapshot.time),
            saw_start: created.is_some(),
            lost: 0,
            windows: 0,
            window: std::time::Duration::ZERO,
        })?;
        for (call, &count) in totals.counts.calls.since(&totals.counts.container_init).iter() {
            let call = view.facts.calls.call(call);
            let seen = Observation { count, replicas: [replica].into(), ..Observation::default() };
            evidence.add(call.abi, call.syscall, &seen);
        }
        for (denial, &denied) in totals.counts.denied.iter() {
            let (call, _) = denied_call(&view.facts, denial);
            let seen = Observation { denied, denied_replicas: [replica].into(), ..Observation::default() };
            evidence.add(call.abi, call.syscall, &seen);
        }
        add_arguments(&mut evidence, view, totals, replica);
    }
    Ok(evidence)
}

/// Adds the classes of arguments of a replica, if none was lost.
fn add_arguments(evidence: &mut Evidence, view: &View, totals: &Totals, replica: u32) {
    let counts = &totals.counts.arguments;
    if counts.get(ArgumentKey::Other).is_some() || view.snapshot.losses.arguments_full > 0 {
        return;
    }
    evidence.add_arguments(counts.iter().filter_map(|(key, &count)| {
        let (class, seen) = match key {
            ArgumentKey::Of(class) => {
                (class, Observation { count, replicas: [replica].into(), ..Observation::default() })
            }
            ArgumentKey::Denied(class) => {
                let denied_replicas = [replica].into();
                (class, Observation { denied: count, denied_replicas, ..Observation::default() })
            }
            ArgumentKey::Other => return None,
        };
        let class = view.facts.calls.call(class);
        Some((class.abi, class.syscall, seen))
    }));
}

fn replica_name(workload: &Workload, node: &str) -> String {
    let labels: Vec<&str> = workload.labels().map(|(_, value)| value).chain(Some(node)).collect();
    labels.into_iter().filter(|label| !label.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use http_body_util::BodyExt as _;

    use super::{super::openapi, *};
    use crate::{
        model::Model,
        seccomp::Profile,
        snapshot::{Counts, SlotCounts, Snapshot},
        syscalls::{CallId, CallTable},
        view::FixedFacts,
        workload::ResolvedWorkload,
    };

    /// A view of the cgroup `/web`. The program made 5 calls of `openat`; the runtime made 3 of `mount`, and 1 of the
    /// 5 of `read`.
    fn view() -> View {
        let calls = CallTable::x86_64();
        let id = |name| -> CallId { calls.id("x86_64", name).unwrap() };
        let counts = Counts {
            calls: [("openat", 5), ("mount", 3), ("read", 5), ("socket", 2)]
                .map(|(name, count)| (id(name), count))
                .into_iter()
                .collect(),
            container_init: [(id("mount"), 3), (id("read"), 1)].into_iter().collect(),
            arguments: [(ArgumentKey::Of(id("socket(AF_UNIX)")), 2)].into_iter().collect(),
            ..Counts::default()
        };
        let slots = vec![SlotCounts { slot: 1, cgroup_id: 7, counts: counts.into() }];
        let workload = Workload::cgroup("/web".into());
        let Workload::Resolved(metadata) = workload.clone() else { unreachable!() };
        let mut model = Model::new(usize::MAX);
        model.apply(&Snapshot { slots, ..Snapshot::default() }, Instant::now(), |_| {
            Some(ResolvedWorkload { workload: workload.clone(), metadata: metadata.clone() })
        });
        let facts = FixedFacts { calls: Arc::new(calls), ..FixedFacts::minimal() };
        View { model: model.view().clone(), ..View::empty(Arc::new(facts)) }
    }

    async fn ask(selector: Option<&str>, format: &str) -> (StatusCode, String) {
        let query = ProfileQuery {
            selector: selector.map(str::to_owned),
            format: Some(format.to_owned()),
            ..ProfileQuery::default()
        };
        let response = answer(&view(), &query).unwrap();
        let (status, body) = (response.status(), response.into_body().collect().await.unwrap().to_bytes());
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn calls_of_the_program_are_allowed_and_calls_that_only_the_runtime_made_are_not() {
        let (status, text) = ask(Some("cgroup=\"/web\""), "oci").await;
        let profile = Profile::parse(&text).unwrap();
        let allows = |name| profile.decide("x86_64", "x86_64", name, &[0; 6]).allows();
        assert_eq!((status, allows("openat"), allows("read"), allows("mount")), (StatusCode::OK, true, true, false));
        let socket = |family| profile.decide("x86_64", "x86_64", "socket", &[family, 0, 0, 0, 0, 0]).allows();
        assert_eq!([1, 2, 38].map(socket), [true, false, false], "only the family that was observed");
    }

    #[tokio::test]
    async fn every_mistake_has_an_answer_that_says_what_is_expected() {
        for (selector, format, status, reason) in [
            (None, "oci", StatusCode::BAD_REQUEST, "match is missing"),
            (Some("cgroup=\"/db\""), "oci", StatusCode::NOT_FOUND, "no workload"),
            (Some("cgroup=\"/web\""), "xml", StatusCode::BAD_REQUEST, "expected one of oci, spo"),
            (Some("cgroup=\"/web\""), "artifact", StatusCode::BAD_REQUEST, "is a directory"),
        ] {
            let (answered, text) = ask(selector, format).await;
            assert_eq!(answered, status);
            assert!(text.contains(reason), "{text}");
        }
    }
    #[tokio::test]
    async fn names_are_checked_as_documented_whatever_the_format() {
        let document = openapi::document().await.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let parameters = document.pointer("/paths/~1api~1v1~1profile/get/parameters").unwrap().as_array().unwrap();
        let is_documented = |parameter: &str, text: &str| {
            let parameter = parameters.iter().find(|known| known["name"] == parameter).unwrap();
            jsonschema::draft202012::new(&parameter["schema"]).unwrap().is_valid(&text.into())
        };
        let (longest, longer) = ("w".repeat(63), "w".repeat(64));
        for (text, is_name, is_namespace) in [
            ("shop-web", true, true),
            ("7", true, true),
            (&longest, true, true),
            ("web.7d5", true, false),
            ("", false, false),
            (&longer, false, false),
            ("Web", false, false),
            ("a..b", false, false),
            ("a-.b", false, false),
            ("-a", false, false),
            ("a-", false, false),
        ] {
            for format in ["oci", "spo", "spo-v1beta1", "systemd", "policy"] {
                let query = |name: Option<&str>, namespace: Option<&str>| ProfileQuery {
                    selector: Some("cgroup=\"/web\"".to_owned()),
                    format: Some(format.to_owned()),
                    name: name.map(str::to_owned),
                    namespace: namespace.map(str::to_owned),
                    ..ProfileQuery::default()
                };
                let status = |query: &ProfileQuery| answer(&view(), query).unwrap().status();
                let expected = |valid| if valid { StatusCode::OK } else { StatusCode::BAD_REQUEST };
                assert_eq!(status(&query(Some(text), None)), expected(is_name), "{format}: {text}");
                assert_eq!(status(&query(None, Some(text))), expected(is_namespace), "{format}: {text}");
            }
            let documented = (is_documented("name", text), is_documented("namespace", text));
            assert_eq!(documented, (is_name, is_namespace), "{text}");
        }
    }
}
