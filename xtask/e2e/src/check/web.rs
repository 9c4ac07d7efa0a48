//! Load for web servers.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

const TIMEOUT: Duration = Duration::from_secs(10);
/// The requests, in turn: for an existing file, for a missing file, and with a method that no server serves.
const REQUESTS: [&str; 3] = ["GET / ", "HEAD /no-such-file ", "POST / "];

/// Whether a server listens on the port.
pub(super) fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Sends this many requests, each on its own connection.
pub(super) fn requests(port: u16, count: usize) -> Result<()> {
    for request in REQUESTS.iter().cycle().take(count) {
        let mut stream =
            TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("nothing listens at {port}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(stream, "{request}HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).with_context(|| format!("{port} does not answer {request}"))?;
        ensure!(answer.starts_with(b"HTTP/1."), "{port} answered {request}with {} bytes", answer.len());
    }
    Ok(())
}
