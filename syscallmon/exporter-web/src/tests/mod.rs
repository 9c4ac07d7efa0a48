//! The server over real sockets on 127.0.0.1, as a client meets it.

mod authentication;
mod configuration;
mod limits;
mod plain;
mod reload;
mod shutdown;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use base64::prelude::{BASE64_STANDARD, Engine};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Caller, Error, Limits, Server};

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_millis(400);

/// A server in a task, with a directory for its files.
struct Running {
    addresses: Vec<SocketAddr>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    dir: TempDir,
}

impl Running {
    async fn plain() -> Self {
        Self::open(Limits::default()).await
    }

    #[expect(clippy::unused_async, reason = "every server of a test is awaited")]
    async fn open(limits: Limits) -> Self {
        Self::start(tempfile::tempdir().unwrap(), None, limits)
    }

    /// With `web.yml` of this text beside whatever `dir` holds.
    #[expect(clippy::unused_async, reason = "every server of a test is awaited")]
    async fn configured(dir: TempDir, text: &str) -> Self {
        let path = write_config(dir.path(), text);
        Self::start(dir, Some(path), Limits::default())
    }

    fn start(dir: TempDir, config: Option<PathBuf>, limits: Limits) -> Self {
        Self::serve(dir, Server::new(config, limits).unwrap())
    }

    fn serve(dir: TempDir, server: Server) -> Self {
        let listeners = vec![bind(), bind()];
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.run(listeners, router(), shutdown.clone()));
        Self { addresses, shutdown, task, dir }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).await.unwrap()
    }

    /// The whole response to a GET on a connection of its own.
    async fn get(&self, path: &str, headers: &str) -> String {
        get_over(self.connect().await, path, headers).await
    }

    async fn get_as(&self, path: &str, user: &str, password: &str) -> String {
        self.get(path, &basic(user, password)).await
    }
}

fn router() -> Router {
    let slow = || async {
        tokio::time::sleep(SLOW).await;
        "slow done"
    };
    let medium = || async { vec![b'x'; 4 << 20] };
    Router::new()
        .route("/metrics", get(async || "the metrics"))
        .route("/healthz", get(async || "healthy"))
        .route("/readyz", get(async || "ready"))
        .route("/query", get(async |uri: axum::http::Uri| format!("query {}", uri.query().unwrap_or_default())))
        .route("/slow", get(slow))
        .route("/medium", get(medium))
        .route("/caller", get(async |Extension(caller): Extension<Caller>| format!("{caller:?}")))
}

fn bind() -> TcpListener {
    let listener = super::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    TcpListener::from_std(listener).unwrap()
}

fn write_config(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("web.yml");
    std::fs::write(&path, text).unwrap();
    path
}

fn load_error(text: &str) -> Error {
    let dir = tempfile::tempdir().unwrap();
    super::WebConfig::load(&write_config(dir.path(), text)).unwrap_err()
}

/// A `basic_auth_users` section with one user.
fn user_section(user: &str, password: &str) -> String {
    let hash = bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap();
    format!("basic_auth_users:\n  {user}: {hash}\n")
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

async fn get_over<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    // The server may refuse before it has read all; what it answered counts.
    let _ = stream.write_all(request.as_bytes()).await;
    read_all(stream).await
}

/// What the server sends until it closes or resets.
async fn read_all<S: AsyncRead + Unpin>(mut stream: S) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `end` has been seen, on a connection that stays open.
async fn read_until<S: AsyncRead + Unpin>(stream: &mut S, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(end) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

/// The status line's code.
fn code(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}
