//! Addresses for servers that cannot choose a free port automatically.

use std::net::TcpListener;

/// Returns an address of this host on which no server listens at this moment.
///
/// # Panics
///
/// If the host has no free port.
#[must_use]
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}
