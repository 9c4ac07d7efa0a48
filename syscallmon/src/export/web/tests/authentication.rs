use std::time::Instant;

use futures_util::future::join_all;
use tokio::net::TcpSocket;

use super::*;

async fn protected() -> Running {
    Running::configured(tempfile::tempdir().unwrap(), &user_section("prometheus", "secret")).await
}

#[tokio::test]
async fn right_password_is_admitted() {
    let server = protected().await;
    for _ in 0..2 {
        let response = server.get_as("/metrics", "prometheus", "secret").await;
        assert!(response.ends_with("the metrics"), "{response}");
    }
}

#[tokio::test]
async fn wrong_password_unknown_user_and_no_password_are_asked_to_authenticate() {
    let server = protected().await;
    let responses = [
        server.get_as("/metrics", "prometheus", "wrong").await,
        server.get_as("/metrics", "nobody", "secret").await,
        server.get_as("/metrics", "", "").await,
        server.get("/metrics", "").await,
        server.get("/metrics", "Authorization: Basic %%%\r\n").await,
    ];
    for response in responses {
        assert_eq!(code(&response), "401", "{response}");
        assert!(response.contains("www-authenticate: Basic\r\n"), "{response}");
        assert!(!response.contains("the metrics"), "{response}");
    }
    let wrong = server.get_as("/metrics", "prometheus", "wrong").await;
    assert!(wrong.ends_with("Unauthorized: the user or the password is wrong\n"), "{wrong}");
    let missing = server.get("/metrics", "").await;
    assert!(missing.contains("Unauthorized: needs a user and a password"), "{missing}");
    let api = server.get_as("/api/v1/workloads", "prometheus", "wrong").await;
    assert!(api.contains(r#""error":"Unauthorized: the user or the password is wrong""#), "{api}");
}

#[tokio::test]
async fn a_right_password_waits_for_few_wrong_ones_of_others() {
    let server = protected().await;
    let attack = async |connection: usize| {
        for attempt in 0.. {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let Ok(stream) = socket.connect(server.addresses[0]).await else { continue };
            get_over(stream, "/metrics", &basic("prometheus", &format!("{connection} {attempt}"))).await;
        }
    };
    let attacks = join_all((0..60).map(attack));
    let right = async {
        tokio::time::sleep(SLOW).await;
        let start = Instant::now();
        let response = server.get_as("/metrics", "prometheus", "secret").await;
        assert_eq!(code(&response), "200", "{response}");
        start.elapsed()
    };
    tokio::select! {
        _ = attacks => unreachable!("they go on"),
        waited = right => assert!(waited < Duration::from_secs(5), "{waited:?}"),
    }
}

#[tokio::test]
async fn probes_need_no_password_and_nothing_near_them_is_open() {
    let server = protected().await;
    assert!(server.get("/healthz", "").await.ends_with("healthy"));
    assert!(server.get("/readyz?verbose", "").await.ends_with("ready"));
    for path in ["/healthz/", "/healthz/../metrics", "//healthz", "/%68ealthz"] {
        assert_eq!(code(&server.get(path, "").await), "401", "{path}");
    }
}

#[tokio::test]
async fn pages_are_told_who_asks() {
    let response = protected().await.get_as("/caller", "prometheus", "secret").await;
    assert!(response.ends_with("Caller { is_local: true, is_authenticated: true }"), "{response}");
    let response = Running::plain().await.get_as("/caller", "prometheus", "secret").await;
    assert!(response.ends_with("Caller { is_local: true, is_authenticated: false }"), "{response}");
}
