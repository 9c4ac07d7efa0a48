use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn get_is_answered_on_every_listener() {
    let server = Running::plain().await;
    for address in &server.addresses {
        let response = get_over(TcpStream::connect(address).await.unwrap(), "/metrics", "").await;
        assert_eq!(code(&response), "200", "{response}");
        assert!(response.ends_with("the metrics"), "{response}");
    }
}

#[tokio::test]
async fn head_has_no_body() {
    let server = Running::plain().await;
    let mut stream = server.connect().await;
    stream.write_all(b"HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let response = read_all(stream).await;
    assert_eq!(code(&response), "200", "{response}");
    assert!(response.ends_with("\r\n\r\n"), "{response}");
}

#[tokio::test]
async fn post_is_refused_without_waiting_for_its_body() {
    let server = Running::plain().await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\nx").await.unwrap();
    let response = read_all(stream).await;
    assert_eq!(code(&response), "405", "{response}");
    assert!(response.contains("allow: GET,HEAD"), "{response}");
}

#[tokio::test]
async fn every_error_says_what_is_wrong() {
    let server = Running::plain().await;
    let ask = async |text: &str| {
        let mut stream = server.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        read_all(stream).await
    };
    for (request, expected, said) in [
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400", "percent-encoded"),
        ("nonsense\r\n\r\n", "400", "not an HTTP request"),
        ("DELETE /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405", "Allow"),
        ("OPTIONS /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405", "Allow"),
        ("GET /api/a b HTTP/1.1\r\nHost: a\r\n\r\n", "400", r#"{"error":"Bad Request: not an HTTP request"#),
        ("DELETE /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405", "use GET or HEAD"),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404", "Not Found"),
        (
            "GET /api/nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "404",
            r#"{"error":"Not Found","status":"error"}"#,
        ),
    ] {
        let response = ask(request).await;
        assert_eq!(code(&response), expected, "{request}: {response}");
        let body = response.split_once("\r\n\r\n").unwrap().1;
        assert!(body.contains(said), "{request}: {response}");
    }
    let long = ask(&format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000))).await;
    assert!(code(&long) == "431" && long.contains("exceed 16384 bytes"), "{long}");
}

#[tokio::test]
async fn quotes_in_a_query_need_no_encoding() {
    let server = Running::plain().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /query?match=namespace=\"shop\" HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "query match=namespace=%22shop%22").await;
}

#[tokio::test]
async fn a_body_is_never_read_as_another_request() {
    let server = Running::plain().await;
    let hidden = "POST /query HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    // Encoded, each quote would have three bytes, and what is hidden would begin after the announced length.
    let body = format!("G?{}\n{hidden}", "\"".repeat(hidden.len() / 2));
    let head =
        format!("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = server.connect().await;
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let answers = read_all(stream).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
}

#[tokio::test]
async fn connection_serves_one_request_after_the_other() {
    let server = Running::plain().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut stream, "the metrics").await;
    }
}

#[tokio::test]
async fn configured_headers_are_on_every_response() {
    let text = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: 0\n";
    let server = Running::configured(tempfile::tempdir().unwrap(), text).await;
    for path in ["/metrics", "/healthz", "/nothing-here"] {
        let response = server.get(path, "").await;
        assert!(response.contains("x-frame-options: deny"), "{response}");
        assert!(response.contains("x-xss-protection: 0"), "{response}");
    }
}
