//! One connection: TLS handshake, the protocol both sides agreed on, deadlines, and the end at shutdown.
//!
//! `server` spawns [`Connection::serve`] for each accepted stream. Errors here are the client's and are logged for
//! debugging only: a stranger must not be able to fill the log.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    connections::ConnectionPermit,
    limits::Limits,
    memory::PIECE,
    reload::WatchedConfig,
    request_line::not_tls,
    service::Service,
    tls_config,
    watchdog::{Tracked, Watchdog, WatchedStream},
};

/// hyper's smallest buffer; header limits below it still hold.
const MIN_BUFFER: usize = 8192;

/// Requests at once on one HTTP/2 connection. Prometheus sends one.
const MAX_STREAMS: u32 = 4;

/// Streams that a client has reset, and hyper has not yet forgotten; beyond, the connection is closed.
const MAX_RESET_STREAMS: usize = 16;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Tracked>, Infallible>> + Send>>;

/// What serving a connection takes.
pub(super) struct Connection {
    pub(super) source: Arc<WatchedConfig>,
    pub(super) service: Arc<Service>,
    pub(super) limits: Limits,
    /// Finish the request in flight, take no further one.
    pub(super) shutdown: CancellationToken,
}

impl Connection {
    /// Serves until the client leaves, a deadline passes, or shutdown lets it end.
    pub(super) async fn serve(&self, stream: TcpStream, permit: &ConnectionPermit) {
        // Responses are written whole; waiting to fill a packet only delays their tail.
        let _ = stream.set_nodelay(true);
        match self.source.current().await.tls() {
            None => Box::pin(self.http1(stream, permit)).await,
            Some(config) => self.secured(config, stream, permit).await,
        }
    }

    // Each protocol's future is boxed: a connection is to hold the one it speaks, not room for all.
    async fn secured(&self, config: Arc<ServerConfig>, stream: TcpStream, permit: &ConnectionPermit) {
        let Some(stream) = self.handshake(config, stream).await else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(tls_config::HTTP2) {
            Box::pin(self.http2(stream, permit)).await;
        } else {
            Box::pin(self.http1(stream, permit)).await;
        }
    }

    async fn handshake(&self, config: Arc<ServerConfig>, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let handshake = timeout(self.limits.handshake_timeout, Box::pin(accept_tls(config, stream)));
        match self.shutdown.run_until_cancelled(handshake).await? {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                debug!(%error, "TLS handshake failed");
                None
            }
            Err(_) => {
                debug!("TLS handshake took too long");
                None
            }
        }
    }

    pub(super) async fn http1<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        &self,
        stream: S,
        permit: &ConnectionPermit,
    ) {
        let watchdog = &permit.watchdog;
        let stream = WatchedStream::http1(stream, watchdog);
        let connection = http1::Builder::new()
            // The watchdog's deadline covers it.
            .header_read_timeout(None)
            .max_header_size(self.limits.header_bytes)
            .max_buf_size(self.limits.header_bytes.max(MIN_BUFFER))
            .serve_connection(TokioIo::new(stream), service_fn(self.handler(permit)));
        self.drive(connection, watchdog).await;
    }

    pub(super) async fn http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        &self,
        stream: S,
        permit: &ConnectionPermit,
    ) {
        let watchdog = &permit.watchdog;
        let stream = WatchedStream::http2(stream, watchdog);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            // No page reads a body: a client may send little of one.
            .initial_stream_window_size(16 * 1024)
            .initial_connection_window_size(64 * 1024)
            .max_header_list_size(u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(PIECE)
            .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
            .max_local_error_reset_streams(MAX_RESET_STREAMS)
            .serve_connection(TokioIo::new(stream), service_fn(self.handler(permit)));
        self.drive(connection, watchdog).await;
    }

    /// Owns what it needs: HTTP/2 runs each request as a task of its own.
    fn handler(&self, permit: &ConnectionPermit) -> impl Fn(Request<Incoming>) -> Answer + Clone + use<> {
        let (service, watchdog) = (Arc::clone(&self.service), Arc::clone(&permit.watchdog));
        let (client, addresses) = (permit.client, permit.addresses);
        move |request| {
            let (service, in_flight) = (Arc::clone(&service), watchdog.begin());
            Box::pin(async move {
                let (head, body) = service.answer(request, client, addresses).await.into_parts();
                Ok(Response::from_parts(head, Tracked::new(body, in_flight)))
            })
        }
    }

    async fn drive<C: GracefulConnection>(&self, connection: C, watchdog: &Watchdog)
    where
        C::Error: std::fmt::Display,
    {
        let mut connection = pin!(connection);
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "web connection failed");
                    }
                    return;
                }
                () = watchdog.expired() => return debug!("web connection was too slow"),
                () = self.shutdown.cancelled(), if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                    watchdog.hurry();
                }
            }
        }
    }
}

async fn accept_tls(config: Arc<ServerConfig>, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first[0].is_ascii_uppercase() {
        stream.write_all(&not_tls()).await?;
        stream.shutdown().await?;
        // What is unread when a socket is closed resets the connection, and the client may not see the answer.
        let mut request = [0; 4096];
        while stream.read(&mut request).await? > 0 {}
        return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
    }
    TlsAcceptor::from(config).accept(stream).await
}
