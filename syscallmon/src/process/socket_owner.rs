//! The owner of a local TCP socket, from `/proc/self/net/tcp` and `tcp6`.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The tables of sockets. A client of either family can connect to a listener of both.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Maximum bytes that are read of a table: about 100,000 sockets. The owner of a later socket stays unknown.
const MAX_BYTES: u64 = 16 << 20;

/// Returns the user id of the process that made the socket at `local`, which is connected to `remote`; `None` if this
/// network has no such socket. Blocks.
#[must_use]
pub fn owner_of_socket(local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let ends = [local, remote].map(canonical);
    TABLES.iter().find_map(|table| find(BufReader::new(File::open(table).ok()?.take(MAX_BYTES)), ends))
}

fn find(table: impl BufRead, ends: [SocketAddr; 2]) -> Option<u32> {
    let sockets = table.lines().map_while(Result::ok).filter_map(|line| parse(&line));
    sockets.into_iter().find(|(found, _)| *found == ends).map(|(_, uid)| uid)
}

/// Parses a line: a number, the local and the remote address, five more fields, and the user id.
fn parse(line: &str) -> Option<([SocketAddr; 2], u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let ends = [address(fields.next()?)?, address(fields.next()?)?];
    Some((ends, fields.nth(4)?.parse().ok()?))
}

/// Parses `0100007F:2632`. Each group of 8 digits is a word in the byte order of the host.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(words.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match words.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?))
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

/// Returns an address without a scope, and an IPv4 address that is written as IPv6 as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn the_owner_of_a_connection_of_this_process_is_its_user() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(listen) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            let server = accepted.local_addr().unwrap();
            assert_eq!(owner_of_socket(peer, server), Some(own_uid()), "{listen}");
            drop(client);
            let other = SocketAddr::new(server.ip(), server.port() ^ 1);
            assert_eq!(owner_of_socket(peer, other), None, "another connection");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_both_tables_are_read() {
        let line =
            "   0: 0100007F:B0C4 0100007F:2632 01 00000000:00000000 00:00000000 00000000  1000        0 5 1 0 20";
        let ends = ["127.0.0.1:45252", "127.0.0.1:9778"].map(|text| text.parse().unwrap());
        assert_eq!(parse(line), Some((ends, 1000)));
        let mapped =
            "0: 0000000000000000FFFF00000100007F:B0C4 0000000000000000FFFF00000100007F:2632 01 0:0 0:0 0 7 0 5";
        assert_eq!(parse(mapped), Some((ends, 7)));
        let v6 = address("00000000000000000000000001000000:2632").unwrap();
        assert_eq!(v6, "[::1]:9778".parse().unwrap());
        assert_eq!(find("nonsense\n\n".as_bytes(), ends), None);
    }

    proptest! {
        #[test]
        fn no_line_is_too_much(line in "\\PC{0,80}", fields in "([0-9A-F]{0,33}:?[0-9A-Fé]{0,5} ){0,9}") {
            let (_, _) = (parse(&line), parse(&fields));
        }
    }
}
