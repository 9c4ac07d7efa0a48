use std::net::SocketAddr;

use axum::{Router, http::StatusCode, routing::get};
use clap::Parser;
use exporter_web::{Limits, Server};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    health: Health,
}

const COUNTED: &str = "# HELP x\nsyscallmon_syscalls_total{cgroup=\"/a b\",syscall=\"read\"} 7\n";

async fn daemon(ready: StatusCode, metrics: (StatusCode, String)) -> (SocketAddr, AbortOnDropHandle<()>) {
    let routes = Router::new();
    let routes = routes.route("/readyz", get(move || async move { (ready, "no snapshot yet") }));
    let routes = routes.route("/metrics", get(move || async move { metrics }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(None, Limits::default()).unwrap();
    let serving = server.run(vec![listener], routes, CancellationToken::new());
    (address, AbortOnDropHandle::new(tokio::spawn(serving)))
}

async fn health(address: SocketAddr) -> Result<String> {
    let url = format!("http://{address}");
    Flags::try_parse_from(["health", "--url", &url])?.health.check_until_well().await
}

#[tokio::test]
async fn a_daemon_is_well_if_it_is_ready_and_has_counted_calls() {
    let (ok, busy) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
    let far = format!("{}{COUNTED}", "syscallmon_syscalls_total{syscall=\"a\"} 0\n".repeat(100_000));
    for (ready, status, metrics, expected) in [
        (ok, ok, COUNTED.to_owned(), Ok("is ready, and exports counted calls")),
        (ok, ok, far, Ok("is ready, and exports counted calls")),
        (ok, StatusCode::UNAUTHORIZED, String::new(), Ok("require a password")),
        (busy, ok, COUNTED.to_owned(), Err("503 Service Unavailable (no snapshot yet)")),
        (ok, busy, "no".to_owned(), Err("503 Service Unavailable (no)")),
        (ok, ok, COUNTED.replace(" 7", " 0"), Err("no call is counted")),
        (ok, ok, "node_cpu_seconds_total 7\n".to_owned(), Err("no call is counted")),
        (ok, ok, "x".repeat(100_000), Err("no metrics of syscallmon")),
    ] {
        let (address, _server) = daemon(ready, (status, metrics)).await;
        let found = health(address).await.map_err(|error| format!("{error:#}"));
        let (Ok(text) | Err(text)) = &found;
        let (Ok(part) | Err(part)) = expected;
        assert!(found.is_ok() == expected.is_ok() && text.contains(part), "{found:?} {expected:?}");
    }
}

#[tokio::test]
async fn a_check_is_repeated_until_a_daemon_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = format!("{:#}", health(address).await.unwrap_err());
    assert!(error.contains("is the daemon running"), "{error}");
    let url = format!("http://{address}");
    let patient = Flags::try_parse_from(["health", "--url", &url, "--wait=20s"]).unwrap().health;
    let starts = async {
        sleep(Duration::from_millis(300)).await;
        let routes = Router::new().route("/readyz", get(|| async {})).route("/metrics", get(|| async { COUNTED }));
        let listener = TcpListener::bind(address).await.unwrap();
        Server::new(None, Limits::default()).unwrap().run(vec![listener], routes, CancellationToken::new()).await;
    };
    tokio::select! {
        found = patient.check_until_well() => assert!(found.unwrap().contains("exports counted calls")),
        () = starts => unreachable!("it serves for ever"),
    }
}

#[test]
fn names_of_objects_have_a_namespace() {
    for (text, is_good) in [("a/b", true), ("a", false), ("a/b/c", false), ("/b", false), ("../b", false)] {
        assert_eq!(text.parse::<ObjectName>().is_ok(), is_good, "{text}");
    }
}
