use std::time::Instant;

use super::*;

#[tokio::test]
async fn response_in_flight_is_finished_and_new_connections_are_refused() {
    let server = Running::plain().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(SLOW / 4).await;
    server.shutdown.cancel();
    tokio::time::sleep(SLOW / 4).await;
    assert!(TcpStream::connect(server.addresses[0]).await.is_err());
    assert!(read_all(stream).await.ends_with("slow done"));
    server.task.await.unwrap();
}

#[tokio::test]
async fn response_that_takes_too_long_is_dropped() {
    let limits = Limits { shutdown_timeout: SLOW / 4, ..Limits::default() };
    let server = Running::open(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(SLOW / 4).await;
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert_eq!(read_all(stream).await, "");
}

#[tokio::test]
async fn idle_silent_and_half_spoken_connections_do_not_delay_it() {
    let server = Running::plain().await;
    let _silent = server.connect().await;
    let mut half_spoken = server.connect().await;
    half_spoken.write_all(b"GET /met").await.unwrap();
    let mut idle = server.connect().await;
    idle.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut idle, "the metrics").await;
    let start = Instant::now();
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(start.elapsed() < Limits::default().shutdown_timeout / 2);
}
