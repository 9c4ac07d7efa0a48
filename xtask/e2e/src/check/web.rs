//! Load for web servers.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(10);
/// What is asked for in turn: something that is there, something that is not, and what no server serves.
const REQUESTS: [&str; 3] = ["GET / ", "HEAD /no-such-file ", "POST / "];

/// Whether something listens there.
pub(super) fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// So many requests, each on a connection of its own.
pub(super) fn requests(port: u16, count: usize) -> Result<()> {
    for request in REQUESTS.iter().cycle().take(count) {
        let mut stream =
            TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("nothing listens at {port}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{request}HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).with_context(|| format!("{port} does not answer {request}"))?;
        ensure!(answer.starts_with(b"HTTP/1."), "{port} answered {request}with {} bytes", answer.len());
    }
    Ok(())
}
