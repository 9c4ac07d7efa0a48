//! Addresses to listen on, in the notation of Prometheus' exporters.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    str::FromStr,
};

use exporter_web::{listen, listen_everywhere};
use serde::Deserialize;

/// An address and port: `127.0.0.1:9778`, `[::1]:9778`, or `:9778` for every address of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ListenAddress {
    /// This port of all IPv6 and IPv4 addresses.
    Every(u16),
    /// One address.
    One(SocketAddr),
}

impl ListenAddress {
    /// Returns the port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Every(port) => port,
            Self::One(address) => address.port(),
        }
    }

    /// Listens on it without blocking.
    ///
    /// # Errors
    ///
    /// When the address is in use, is not of this host, or is not permitted.
    pub fn listen(self) -> io::Result<TcpListener> {
        match self {
            Self::Every(port) => listen_everywhere(port),
            Self::One(address) => listen(address),
        }
    }
}

/// A text that is no address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a listen address: expected IP:PORT, [IPv6]:PORT or :PORT")]
pub struct AddressError(String);

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parsed = match text.strip_prefix(':') {
            Some(port) => port.parse().map(Self::Every).ok(),
            None => text.parse().map(Self::One).ok(),
        };
        parsed.ok_or_else(|| AddressError(text.to_owned()))
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(port) => write!(formatter, ":{port}"),
            Self::One(address) => address.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        let parse = |text: &str| text.parse::<ListenAddress>().map(|address| address.to_string());
        assert_eq!(parse(":9778").unwrap(), ":9778");
        assert_eq!(":9778".parse::<ListenAddress>().unwrap(), ListenAddress::Every(9778));
        assert_eq!(parse("127.0.0.1:0").unwrap(), "127.0.0.1:0");
        assert_eq!(parse("[::1]:80").unwrap(), "[::1]:80");
        for text in ["9778", "localhost", "127.0.0.1", ":", ":99999", "[::1]"] {
            assert!(parse(text).unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
