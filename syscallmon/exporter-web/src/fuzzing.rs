//! Interface for fuzz targets: a server without sockets.

use std::{net::IpAddr, path::Path, sync::Arc};

use axum::{Router, http::HeaderMap};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_util::sync::CancellationToken;

use super::{
    auth::has_credentials, client::Client, config::WebConfig, connection::Connection, connections::Connections,
    error::Error, files::Files, limits::Limits, reload::WatchedConfig, request_line::Repair, service::Service,
};

/// Capacity for sent bytes that the other side has not read.
const PIPE: usize = 64 * 1024;

/// Parses a web configuration file at this path.
///
/// # Errors
///
/// The mistake.
pub fn web_config(path: &Path, text: &str) -> Result<WebConfig, Error> {
    WebConfig::parse(path, text, Files::default())
}

/// Whether these headers carry a user and a password.
pub fn authorization(headers: &HeaderMap) -> bool {
    has_credentials(headers)
}

/// Returns the bytes that hyper gets for these bytes, which arrive in two pieces.
pub fn repaired(bytes: &[u8], at: usize) -> Vec<u8> {
    let (mut repair, mut out) = (Repair::default(), Vec::new());
    let (head, tail) = bytes.split_at(at.min(bytes.len()));
    repair.push(head, &mut out);
    repair.push(tail, &mut out);
    out
}

/// Serves connections that are pipes.
pub struct PipeServer {
    connection: Connection,
    connections: Arc<Connections>,
}

impl PipeServer {
    /// Returns a server of this router, which requires the passwords of `config`.
    #[must_use]
    pub fn new(config: WebConfig, router: Router) -> Self {
        let (source, limits) = (Arc::new(WatchedConfig::fixed(config)), Limits::default());
        let service = Arc::new(Service::new(Arc::clone(&source), router, &limits));
        let connections = Connections::new(limits.clone());
        Self { connection: Connection { source, service, limits, shutdown: CancellationToken::new() }, connections }
    }

    /// Returns what a client at `address` receives until the server closes the connection. The client sends only these
    /// pieces.
    pub async fn answer(&self, address: IpAddr, is_http2: bool, pieces: impl Iterator<Item = &[u8]>) -> Vec<u8> {
        let (mut client, server) = duplex(PIPE);
        let (permit, _) = self.connections.admit(Client::of(address));
        let serve = async {
            if is_http2 {
                self.connection.http2(server, &permit).await;
            } else {
                self.connection.http1(server, &permit).await;
            }
        };
        let talk = async {
            for piece in pieces {
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
            answer
        };
        tokio::join!(serve, talk).1
    }
}
