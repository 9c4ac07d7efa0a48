//! What one client, and all clients together, may take. Values only; `accept`, `connection` and `service` apply them.

use std::time::Duration;

/// Bounds on connections, sizes and times.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once, over all listeners; for a further one the idlest is closed. At least 1.
    pub connections: usize,
    /// The same of one client: an IPv4 address, or a /64 of IPv6. At least 1.
    pub connections_per_client: usize,
    /// Bytes of all answers under way, but small ones: slow readers lose theirs when others need the room.
    pub answer_bytes: usize,
    /// Bytes of a request's line and headers together.
    pub header_bytes: usize,
    /// From the connection's start, or a later request's first byte, to the end of the request's headers.
    pub header_timeout: Duration,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the end of a request's headers to the start of its response. Writing the response may take as long again.
    pub request_timeout: Duration,
    /// How long a kept-alive connection may wait for its next request. Longer than a scrape interval, so that
    /// Prometheus need not repeat the TLS handshake.
    pub idle_timeout: Duration,
    /// How long requests in flight may go on after shutdown was asked for.
    pub shutdown_timeout: Duration,
}

impl Limits {
    /// The usual limits with so many connections; a client can have a quarter of them.
    #[must_use]
    pub fn with_connections(connections: usize) -> Self {
        Self { connections, connections_per_client: (connections / 4).max(8), ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_client: 64,
            answer_bytes: 64 * 1024 * 1024,
            header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_secs(150),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}
