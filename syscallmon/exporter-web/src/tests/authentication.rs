use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::future::join_all;
use tokio::net::TcpSocket;

use super::*;

/// Wrong passwords at a time, of one client: as many as it may have connections, nearly.
const ATTACKS: usize = 60;

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
    assert!(missing.contains("Unauthorized: requires a user and a password"), "{missing}");
    let api = server.get_as("/api/v1/targets", "prometheus", "wrong").await;
    assert!(api.contains(r#""error":"Unauthorized: the user or the password is wrong""#), "{api}");
}

#[tokio::test]
async fn a_right_password_waits_for_few_wrong_ones_of_others() {
    let server = protected().await;
    let (begun, hashed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let attack = async |connection: usize| {
        for attempt in 0.. {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let Ok(stream) = socket.connect(server.addresses[0]).await else { continue };
            begun.fetch_add(1, Relaxed);
            let response = get_over(stream, "/metrics", &basic("prometheus", &format!("{connection} {attempt}"))).await;
            if code(&response) == "401" {
                hashed.fetch_add(1, Relaxed);
            }
        }
    };
    let attacks = join_all((0..ATTACKS).map(attack));
    let right = async {
        // Until all of them wait, as far as they may.
        while begun.load(Relaxed) < ATTACKS || hashed.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = hashed.load(Relaxed);
        let response = server.get_as("/metrics", "prometheus", "secret").await;
        assert_eq!(code(&response), "200", "{response}");
        hashed.load(Relaxed) - before
    };
    tokio::select! {
        _ = attacks => unreachable!("they go on"),
        waited_for = right => assert!(waited_for < ATTACKS / 2, "it waited for {waited_for} others"),
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
async fn pages_know_the_user_that_asks() {
    let response = protected().await.get_as("/caller", "prometheus", "secret").await;
    assert!(response.contains("Caller { is_local: true, user: Some(\"prometheus\"), addresses: Some((127.0.0.1:"));
    let response = Running::plain().await.get_as("/caller", "prometheus", "secret").await;
    assert!(response.contains("Caller { is_local: true, user: None, addresses: Some((127.0.0.1:"), "{response}");
}
