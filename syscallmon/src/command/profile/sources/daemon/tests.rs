use clap::{CommandFactory, FromArgMatches, Parser};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{
    command::profile::sources::{WorkloadFlag, baseline},
    syscalls::Call,
};

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    workload: WorkloadFlag,
    #[command(flatten)]
    source: DaemonSource,
}

fn flags(url: &str) -> (Daemon, Selector) {
    let arguments = ["test", "--daemon", url, "--workload", r#"namespace="shop",owner=~"w.b""#];
    let matches = Flags::command().try_get_matches_from(arguments).unwrap();
    let Flags { workload, source } = Flags::from_arg_matches(&matches).unwrap();
    (source.daemon().unwrap(), workload.selector.unwrap())
}

/// An answer of a daemon on Linux 6.18, shortened; the second workload was added.
fn answer() -> Value {
    json!({
        "snapshot_time": 1_795_969_201.344_136_7,
        "probes": [{"probe": "sys_enter", "implementation": "tp_btf", "problem": null}],
        "lost": {"cgroups_full": 0, "series_full": 0, "reclaim": 3, "recursion": null},
        "total": 2,
        "first_calls": [],
        "workloads": [{
            "workload": {"cgroup": "/system.slice/backup.service"},
            "metadata": {"cgroup": "/system.slice/backup.service", "node": "vm"},
            "gone": false, "calls": 178,
            "syscalls": [
                {"abi": "x86_64", "syscall": "openat", "calls": 177},
                {"abi": "x86_64", "syscall": "unknown", "calls": 1},
            ],
            "errors": [{"abi": "x86_64", "syscall": "openat", "errno": "ENOENT", "errors": 71}],
            "io_uring": [{"op": "openat", "requests": 1}],
        }, {
            "workload": {"container": "httpd", "namespace": "shop", "pod": "web-1\u{1b}"},
            "metadata": {"namespace": "shop", "image": "web:1"},
            "gone": true, "started": 1_795_969_100.5, "calls": 65,
            "syscalls": [
                {"abi": "x86_64", "syscall": "read", "calls": 35, "container_init": 30},
                {"abi": "x86_64", "syscall": "mount", "calls": 30, "container_init": 30},
            ],
            "denied": [
                {"abi": "x86_64", "syscall": "clone3", "errno": "ENOSYS", "denied": 2},
                {"abi": "(remainder)", "syscall": "(remainder)", "denied": 9},
            ],
        }],
    })
}

fn evidence_of(answer: Value) -> Result<Evidence> {
    let (daemon, workload) = flags("http://127.0.0.1:9778");
    of_answer(answer, &daemon.url.to_string(), &workload)
}

#[test]
fn workloads_are_replicas_with_their_calls() {
    let evidence = evidence_of(answer()).unwrap();
    let of = |syscall| &evidence.calls[&Call { abi: "x86_64", syscall }];
    assert_eq!((of("openat").count, &of("openat").replicas), (177, &[0].into()));
    assert_eq!((of("clone3").count, of("clone3").denied, &of("clone3").denied_replicas), (0, 2, &[1].into()));
    assert_eq!((evidence.calls.len(), evidence.unknown_numbers, evidence.unrecognized.len()), (3, 1, 0));
    let names: Vec<&str> = evidence.replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names, ["/system.slice/backup.service", "shop/web-1\\u{1b}/httpd"]);
    let replica = &evidence.replicas[1];
    assert_eq!((replica.image.as_deref(), replica.saw_start, replica.lost), (Some("web:1"), true, 0));
    assert!(replica.to.is_some() && replica.from < replica.to);
    assert_eq!((evidence.replicas[0].saw_start, evidence.replicas[0].from), (false, None));
    assert_eq!(evidence.sources[0].warnings, ["9 denied calls have no name: more than capacity.denied"]);
}

#[test]
fn arguments_of_a_workload_are_evidence_if_none_was_lost() {
    let mut answer = answer();
    let class = |abi: &str, syscall: &str, argument: &str, calls: u64, denied: u64| {
        let (labels, counts) = ([abi, syscall, argument], [calls, denied]);
        json!({
            "abi": labels[0], "syscall": labels[1], "argument": labels[2], "calls": counts[0], "denied": counts[1],
        })
    };
    answer["workloads"][0]["arguments"] =
        json!([class("x86_64", "socket", "AF_UNIX", 3, 0), class("x86_64", "socket", "AF_ALG", 0, 2)]);
    let classes = |answer: &Value| {
        let evidence = evidence_of(answer.clone()).unwrap();
        let of = evidence.arguments.iter().map(|(class, seen)| (class.syscall, seen.count, seen.denied));
        of.collect::<Vec<_>>()
    };
    assert_eq!(classes(&answer), [("socket(AF_ALG)", 0, 2), ("socket(AF_UNIX)", 3, 0)]);
    let mut full = answer.clone();
    full["workloads"][0]["arguments"][1] = class("(remainder)", "(remainder)", "(remainder)", 9, 0);
    assert_eq!(classes(&full), []);
    answer["lost"]["arguments_full"] = 7.into();
    assert_eq!(classes(&answer), []);
    assert!(evidence_of(answer).unwrap().sources[0].warnings[0].contains("profiles allow all arguments"));
}

#[test]
fn losses_probes_and_merged_workloads_are_reported() {
    let mut answer = answer();
    answer["lost"]["series_full"] = 7.into();
    answer["probes"][0]["implementation"] = Value::Null;
    answer["workloads"][0]["workload"]["cgroup"] = "(remainder)".into();
    let evidence = evidence_of(answer).unwrap();
    assert_eq!((evidence.replicas.len(), evidence.replicas[0].lost), (1, 7));
    let warnings = evidence.sources[0].warnings.join("\n");
    for part in ["7 calls of all workloads", "the probe sys_enter is not attached", "1 matches such as (remainder)"] {
        assert!(warnings.contains(part), "{warnings}");
    }
}

#[test]
fn containers_that_hold_the_namespaces_of_pods_are_left_out_without_a_warning() {
    let mut answer = answer();
    answer["workloads"][0]["workload"]["cgroup"] = "(pause)".into();
    let evidence = evidence_of(answer).unwrap();
    assert_eq!(evidence.replicas.len(), 1);
    assert!(!evidence.sources[0].warnings.iter().any(|warning| warning.contains("stand for several")));
}

#[test]
fn an_answer_without_all_workloads_is_refused() {
    let mut cut = answer();
    cut["total"] = 3.into();
    let error = evidence_of(cut).unwrap_err().to_string();
    assert!(
        error.contains("3 workloads of the daemon") && error.contains("has only 2: use a narrower --workload"),
        "{error}"
    );
    let error = evidence_of(json!({"snapshot_time": 0.0, "total": 0, "workloads": []})).unwrap_err().to_string();
    assert!(error.contains("curl -s http://127.0.0.1:9778/api/v1/workloads"), "{error}");
    for other in [json!({}), json!([]), json!(null), json!({"total": -1}), json!({"total": 1, "workloads": [1]})] {
        assert!(format!("{:#}", evidence_of(other).unwrap_err()).contains("another version"));
    }
}

/// Answers each request with this. Returns the URL.
async fn serve(answer: String) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let is_expected = path.starts_with("/api/v1/baselines/docker:web")
                || path == "/api/v1/workloads?match=namespace%3D%22shop%22%2Cowner%3D~%22w.b%22&limit=10000";
            let body = if is_expected { answer.clone() } else { format!("unexpected {path}") };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    };
    (url, AbortOnDropHandle::new(tokio::spawn(serve)))
}

#[tokio::test]
async fn a_daemon_is_asked_for_the_workload() {
    let (url, _server) = serve(json!({"status": "success", "data": answer()}).to_string()).await;
    let (daemon, workload) = flags(&url);
    assert_eq!(evidence(&daemon, &workload).await.unwrap().replicas.len(), 2);
}

#[tokio::test]
async fn what_is_no_daemon_is_said_to_be() {
    let body = |data: &str| format!("{{\"status\":\"success\",\"data\":{data}}}");
    let long = format!("\"{}\"", "x".repeat(18 << 20));
    for (answer, expected) in [
        ("<html>".to_owned(), "--daemon requires the address of the daemon"),
        (body("{}"), "another version"),
        (body(&long), "exceeds 17 MiB"),
        (
            "{\"status\":\"error\",\"error\":\"the selector is too long\"}".to_owned(),
            "rejected the request: the selector",
        ),
    ] {
        let (url, _server) = serve(answer).await;
        let (daemon, workload) = flags(&url);
        let error = format!("{:#}", evidence(&daemon, &workload).await.unwrap_err());
        assert!(error.contains(expected), "{error}");
        let error = baseline::of_daemon(&daemon, &"docker:web".parse().unwrap()).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(expected) || error.contains("not a baseline"), "{error}");
    }
}

#[tokio::test]
async fn a_baseline_is_read_from_a_daemon() {
    let baseline = json!({
        "version": 1, "kind": "docker:web", "policy": "web", "state": "guarding",
        "began": "2026-01-31T12:00:00Z", "calls": {"x86_64/openat": ""},
    });
    let (url, _server) = serve(json!({"status": "success", "data": baseline}).to_string()).await;
    let evidence = baseline::of_daemon(&flags(&url).0, &"docker:web".parse().unwrap()).await.unwrap();
    assert_eq!((evidence.calls.len(), evidence.replicas[0].name.as_str()), (1, "docker:web"));
    assert!(evidence.sources[0].name.starts_with("docker:web of http://127.0.0.1"));
}
