use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Instant;

use super::*;

/// Tries until it holds. Changes are looked for once a second, and not within their first half second.
pub(super) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(10), "still not so");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Longer than it takes for a change to be noticed.
async fn wait_for_check(server: &Running) {
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        server.get("/healthz", "").await;
    }
}

#[tokio::test]
async fn new_password_is_in_force_without_restart_and_the_old_one_is_not() {
    let server = Running::configured(tempfile::tempdir().unwrap(), &user_section("a", "old")).await;
    assert_eq!(code(&server.get_as("/metrics", "a", "old").await), "200");
    write_config(server.dir.path(), &user_section("a", "new"));
    eventually(async || code(&server.get_as("/metrics", "a", "new").await) == "200").await;
    assert_eq!(code(&server.get_as("/metrics", "a", "old").await), "401");
}

#[tokio::test]
async fn broken_file_keeps_the_old_password_until_it_is_mended() {
    let server = Running::configured(tempfile::tempdir().unwrap(), &user_section("a", "old")).await;
    write_config(server.dir.path(), "basic_auth_users: [");
    wait_for_check(&server).await;
    assert_eq!(code(&server.get_as("/metrics", "a", "old").await), "200");
    assert_eq!(code(&server.get("/metrics", "").await), "401");
    write_config(server.dir.path(), &user_section("a", "new"));
    eventually(async || code(&server.get_as("/metrics", "a", "new").await) == "200").await;
}

#[tokio::test]
async fn removed_file_does_not_open_the_server() {
    let server = Running::configured(tempfile::tempdir().unwrap(), &user_section("a", "old")).await;
    std::fs::remove_file(server.dir.path().join("web.yml")).unwrap();
    wait_for_check(&server).await;
    assert_eq!(code(&server.get("/metrics", "").await), "401");
}

#[tokio::test]
async fn a_file_that_hangs_holds_nobody_up() {
    let server = Running::configured(tempfile::tempdir().unwrap(), &user_section("a", "old")).await;
    assert_eq!(code(&server.get_as("/metrics", "a", "old").await), "200");
    let path = server.dir.path().join("web.yml");
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    for _ in 0..30 {
        let start = Instant::now();
        assert_eq!(code(&server.get("/healthz", "").await), "200");
        assert_eq!(code(&server.get_as("/metrics", "a", "old").await), "200");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn checks_run_where_the_exporter_runs_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_config(dir.path(), &user_section("a", "old"));
    let checks = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&checks);
    let server = Server::new(Some(path), Limits::default()).unwrap().check_files_with(move |check| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { tokio::task::spawn_blocking(check).await.unwrap() }
    });
    let server = Running::serve(dir, server);
    write_config(server.dir.path(), &user_section("a", "new"));
    eventually(async || code(&server.get_as("/metrics", "a", "new").await) == "200").await;
    assert!(checks.load(Ordering::Relaxed) > 0);
}
