//! The identity of a client for limits.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The client's and the server's address of a TCP connection.
pub(super) type Addresses = Option<(SocketAddr, SocketAddr)>;

/// An IPv4 address, or the /64 of an IPv6 address: a host with one address of it can use all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Client(IpAddr);

impl Client {
    /// Returns the client of this address.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => Self(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64))),
            same => Self(same),
        }
    }

    /// Whether it is a process of this host that connects over a loopback address.
    pub(super) fn is_local(self) -> bool {
        self.0.is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let client = |text: &str| Client::of(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert!(client("::1").is_local() && client("127.0.0.2").is_local() && client("::ffff:127.0.0.1").is_local());
        assert!(!client("10.0.0.1").is_local() && !client("::2").is_local());
    }
}
