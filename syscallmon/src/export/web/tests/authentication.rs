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
