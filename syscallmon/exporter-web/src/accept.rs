//! Takes connections from all listeners, and a permit of `connections` for each.
//!
//! `server` calls it in a loop.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    client::Client,
    connections::{ConnectionPermit, Connections},
    limits::Limits,
};

/// Long enough not to spin when descriptors run out, short enough to be ready when one is free.
const BACK_OFF: Duration = Duration::from_millis(200);

/// Clients can cause either problem many times a second; the log shows it once.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// The listeners and the connections of one server.
pub(super) struct Acceptor {
    listeners: Vec<TcpListener>,
    /// Where to look first, so that a busy listener does not starve the others.
    first: usize,
    connections: Arc<Connections>,
    full: RareWarning,
    failed: RareWarning,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<TcpListener>, limits: &Limits) -> Self {
        let connections = Connections::new(limits.clone());
        Self { listeners, first: 0, connections, full: RareWarning::default(), failed: RareWarning::default() }
    }

    /// The next connection and its permit. Errors are logged and waited out.
    pub(super) async fn accept(&mut self) -> (TcpStream, ConnectionPermit) {
        self.connections.room().await;
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok((stream, peer)) => {
                    let (mut permit, is_full) = self.connections.admit(Client::of(peer.ip()));
                    permit.addresses = stream.local_addr().ok().map(|server| (peer, server));
                    if is_full && self.full.is_due() {
                        warn!("too many web connections; closing the most idle ones");
                    }
                    return (stream, permit);
                }
                Err(error) => self.back_off(&error).await,
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let count = self.listeners.len();
        for index in (0..count).map(|offset| (self.first + offset) % count) {
            if let Poll::Ready(accepted) = self.listeners[index].poll_accept(cx) {
                self.first = index + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    async fn back_off(&mut self, error: &io::Error) {
        // Caused by the client, not by this server.
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            return;
        }
        if self.failed.is_due() {
            warn!(%error, "cannot accept web connections; retrying");
        }
        sleep(BACK_OFF).await;
    }
}

/// A warning that may be repeated each [`WARNING_INTERVAL`].
#[derive(Default)]
struct RareWarning(Option<Instant>);

impl RareWarning {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= WARNING_INTERVAL);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_is_not_repeated_at_once() {
        let mut warning = RareWarning::default();
        assert!(warning.is_due());
        assert!(!warning.is_due());
    }

    #[tokio::test]
    async fn lack_of_descriptors_is_waited_out_and_a_vanished_client_is_not() {
        let mut acceptor = Acceptor::new(Vec::new(), &Limits::default());
        let start = Instant::now();
        acceptor.back_off(&ErrorKind::ConnectionAborted.into()).await;
        assert!(start.elapsed() < BACK_OFF);
        let emfile = io::Error::from_raw_os_error(24);
        acceptor.back_off(&emfile).await;
        assert!(start.elapsed() >= BACK_OFF);
    }
}
