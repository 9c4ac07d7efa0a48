//! Looks up host names for HTTP clients, by the C library, in threads that have a deadline.
//!
//! hyper's own resolver uses tokio's blocking threads, for which the end of the daemon would wait.

use std::{
    future::Future,
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use tower::Service;

use crate::blocking::{self, Work};

/// Connects to addresses that [`Resolver`] finds.
pub type Connector = HttpConnector<Resolver>;

/// The deadline of a look-up.
const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks up host names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resolver;

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let host = name.to_string();
            // The caller puts its own port in.
            let look_up = move || (name.as_str(), 0).to_socket_addrs();
            blocking::run(Work::Dns, &host, DNS_TIMEOUT, look_up).await?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_has_addresses() {
        let addresses = Resolver.call("localhost".parse().unwrap()).await.unwrap();
        assert!(addresses.into_iter().all(|address| address.ip().is_loopback()));
    }
}
