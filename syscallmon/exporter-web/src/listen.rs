//! Listening sockets: of both address families if the host has both, and with bounded buffers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen as start, socket_with, sockopt};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Of each connection, in the kernel, which doubles them. By default a client that stops to read can pin megabytes
/// there, and they count towards the memory limit of the exporter's cgroup.
const SEND_BUFFER: usize = 64 * 1024;
const RECEIVE_BUFFER: usize = 32 * 1024;

/// Listens on one address, as the host's settings say for `[::]`.
///
/// # Errors
///
/// When the address is in use, not this host's, or not permitted.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    Ok(listen_with(address, None)?)
}

/// Listens on every address: of IPv6 and IPv4, whatever `net.ipv6.bindv6only` says, or of IPv4 on a host without IPv6.
///
/// # Errors
///
/// As for [`listen`].
pub fn listen_everywhere(port: u16) -> io::Result<TcpListener> {
    match listen_with((Ipv6Addr::UNSPECIFIED, port).into(), Some(false)) {
        // Without the module, and where it has no addresses.
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT) => {
            listen((Ipv4Addr::UNSPECIFIED, port).into())
        }
        listening => Ok(listening?),
    }
}

fn listen_with(address: SocketAddr, v6only: Option<bool>) -> Result<TcpListener, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // A restarted exporter must not wait for the old one's connections to time out.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if let Some(v6only) = v6only {
        sockopt::set_ipv6_v6only(&socket, v6only)?;
    }
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
    bind(&socket, &address)?;
    start(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn every_address_is_one_of_both_families() {
        let listener = listen_everywhere(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_ok());
        }
        let error = listen_everywhere(port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_inherited_by_connections_is_bounded() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (connection, _) = listener.accept().unwrap();
        assert!(sockopt::socket_send_buffer_size(&connection).unwrap() <= 2 * SEND_BUFFER);
        assert!(sockopt::socket_recv_buffer_size(&connection).unwrap() <= 2 * RECEIVE_BUFFER);
    }
}
