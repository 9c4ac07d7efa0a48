use std::time::Instant;

use super::*;

const SHORT: Duration = Duration::from_millis(300);

/// Generous: other work shares the machine.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn too_large_headers_are_refused() {
    let server = Running::plain().await;
    let fits = format!("X-Fill: {}\r\n", "x".repeat(15 * 1024));
    assert_eq!(code(&server.get("/metrics", &fits).await), "200");
    let too_large = format!("X-Fill: {}\r\n", "x".repeat(17 * 1024));
    assert_eq!(code(&server.get("/metrics", &too_large).await), "431");
}

#[tokio::test]
async fn header_limit_below_the_buffer_size_holds() {
    let server = Running::open(Limits { header_bytes: 512, ..Limits::default() }).await;
    let headers = format!("X-Fill: {}\r\n", "x".repeat(600));
    assert_eq!(code(&server.get("/metrics", &headers).await), "431");
}

#[tokio::test]
async fn client_that_drips_its_headers_is_dropped() {
    let server = Running::open(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let start = Instant::now();
    tokio::spawn(async move {
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut byte = [0];
    let ended = tokio::time::timeout(MAX_WAIT, reader.read(&mut byte)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)));
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn second_request_that_drips_is_dropped_before_the_idle_timeout() {
    let server = Running::open(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "the metrics").await;
    stream.write_all(b"GET").await.unwrap();
    assert_eq!(tokio::time::timeout(MAX_WAIT, read_all(stream)).await.unwrap(), "");
}

#[tokio::test]
async fn kept_alive_connection_outlives_the_header_timeout_but_not_the_idle_timeout() {
    let idle_timeout = 4 * SHORT;
    let server = Running::open(Limits { header_timeout: SHORT, idle_timeout, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut stream, "the metrics").await;
        tokio::time::sleep(2 * SHORT).await;
    }
    assert_eq!(tokio::time::timeout(MAX_WAIT, read_all(stream)).await.unwrap(), "");
}

#[tokio::test]
async fn handshake_that_does_not_come_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.path().join("c"), issued.cert.pem()).unwrap();
    std::fs::write(dir.path().join("k"), issued.signing_key.serialize_pem()).unwrap();
    let config = write_config(dir.path(), "tls_server_config: {cert_file: c, key_file: k}\n");
    let limits = Limits { handshake_timeout: SHORT, ..Limits::default() };
    let server = Running::start(dir, Some(config), limits);
    let stream = server.connect().await;
    assert_eq!(tokio::time::timeout(MAX_WAIT, read_all(stream)).await.unwrap(), "");
}

/// Health and a page at once, while many connections do nothing.
async fn serves_beside_idle_ones(server: &Running, ask: impl AsyncFn(&str) -> String) {
    let mut idle = Vec::new();
    for address in server.addresses.iter().cycle().take(300) {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    for path in ["/healthz", "/metrics", "/readyz"] {
        let response = tokio::time::timeout(MAX_WAIT, ask(path)).await.expect("an answer");
        assert_eq!(code(&response), "200", "{response}");
    }
}

#[tokio::test]
async fn idle_connections_do_not_shut_others_out() {
    let server = Running::open(Limits { connections: 16, ..Limits::default() }).await;
    serves_beside_idle_ones(&server, async |path| server.get(path, "").await).await;
    let server = Running::open(Limits { connections_per_client: 8, ..Limits::default() }).await;
    serves_beside_idle_ones(&server, async |path| server.get(path, "").await).await;
}

#[tokio::test]
async fn a_kept_connection_of_another_client_survives_a_flood() {
    let server = Running::open(Limits { connections: 16, ..Limits::default() }).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
    let mut kept = socket.connect(server.addresses[0]).await.unwrap();
    kept.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut kept, "the metrics").await;
    serves_beside_idle_ones(&server, async |path| server.get(path, "").await).await;
    kept.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut kept, "the metrics").await;
}

#[tokio::test]
async fn slow_readers_of_large_answers_pin_a_bounded_memory() {
    let server = Running::open(Limits { answer_bytes: 10 << 20, ..Limits::default() }).await;
    let ask = async || {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /medium HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        (code(&head).to_owned(), head.to_lowercase().contains("retry-after: 1"), stream)
    };
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(ask().await);
    }
    let codes: Vec<&str> = readers.iter().map(|(code, ..)| code.as_str()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "200").count(), 2, "{codes:?}");
    assert!(readers.iter().all(|(code, retry, _)| (code == "503") == *retry), "{codes:?}");
    assert_eq!(code(&server.get("/healthz", "").await), "200");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let whole = server.get("/medium", "").await;
    assert!(whole.len() > 4 << 20, "the slow ones make room: {} bytes", whole.len());
    let (.., slow) = readers.swap_remove(0);
    assert!(read_all(slow).await.len() < 4 << 20, "its answer ends in the middle");
}

#[tokio::test]
async fn silent_connections_give_their_place_up() {
    let server = Running::open(Limits { connections: 1, header_timeout: SHORT, ..Limits::default() }).await;
    let _silent = server.connect().await;
    let response = tokio::time::timeout(MAX_WAIT, server.get("/metrics", "")).await.unwrap();
    assert_eq!(code(&response), "200");
}

#[tokio::test]
async fn request_that_takes_too_long_is_answered_503() {
    let server = Running::open(Limits { request_timeout: SLOW / 4, ..Limits::default() }).await;
    let start = Instant::now();
    assert_eq!(code(&server.get("/slow", "").await), "503");
    assert!(start.elapsed() < SLOW);
}

#[tokio::test]
async fn client_that_does_not_read_is_dropped() {
    let server = Running::open(Limits { request_timeout: SHORT, ..Limits::default() }).await;
    let mut deaf = server.connect().await;
    deaf.write_all(b"GET /medium HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(5 * SHORT).await;
    let read = tokio::time::timeout(MAX_WAIT, read_all(deaf)).await.unwrap();
    assert!(read.len() < 4 << 20, "{}", read.len());
}
