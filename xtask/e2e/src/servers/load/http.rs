//! Load for web servers.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{Phase, Target};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A request: its first line without the version, more headers, the number of bytes of its body, and the expected
/// status.
pub(crate) type Request = (&'static str, &'static str, usize, u16);

const NGINX: [&[Request]; 2] = [
    &[
        ("GET /", "", 0, 200),
        ("GET /missing", "", 0, 404),
        ("GET /list/", "", 0, 200),
        ("GET /big", "", 0, 200),
        ("GET /big", "Range: bytes=7-99999\r\n", 0, 206),
        ("HEAD /", "", 0, 200),
        ("POST /proxy/echo", "", 70_000, 200),
        ("GET /proxy/big", "", 0, 200),
        ("GET /list/a.txt", "Accept-Encoding: gzip\r\n", 0, 200),
        ("GET /secret", "", 0, 403),
    ],
    &[
        ("GET /list/b.txt", "Accept-Encoding: gzip\r\n", 0, 200),
        ("GET /closed/", "", 0, 403),
        ("DELETE /", "", 0, 405),
        ("POST /echo", "", 300_000, 200),
        ("POST /proxy/echo", "", 300_000, 200),
        ("GET /proxy/missing", "", 0, 404),
        ("GET /index.html", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n", 0, 200),
        ("HEAD /big", "", 0, 200),
        ("GET /big", "Range: bytes=-5\r\n", 0, 206),
    ],
];

const BUSYBOX: [&[Request]; 2] = [
    &[
        ("GET /", "", 0, 200),
        ("GET /missing", "", 0, 404),
        ("GET /cgi-bin/echo?a", "", 0, 200),
        ("POST /cgi-bin/echo", "", 3000, 200),
        ("GET /big", "", 0, 200),
        ("GET /list/b.txt", "Range: bytes=5-77\r\n", 0, 206),
        ("GET /list/", "", 0, 404),
    ],
    &[
        ("GET /list/a.txt", "", 0, 200),
        ("GET /closed/", "", 0, 404),
        ("GET /big", "Range: bytes=100-999\r\n", 0, 206),
        ("POST /cgi-bin/echo?b=c", "", 9000, 200),
        ("HEAD /index.html", "", 0, 200),
        ("DELETE /", "", 0, 501),
    ],
];

const PYTHON: [&[Request]; 2] = [
    &[
        ("GET /", "", 0, 200),
        ("GET /missing", "", 0, 404),
        ("GET /list/", "", 0, 200),
        ("GET /run", "", 0, 200),
        ("POST /", "", 5000, 200),
        ("GET /big", "", 0, 200),
    ],
    &[
        ("GET /list/b.txt", "", 0, 200),
        ("HEAD /closed/", "", 0, 200),
        ("POST /x", "", 900_000, 200),
        ("DELETE /", "", 0, 501),
        ("GET /run", "", 0, 200),
        ("GET /index.html", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n", 0, 304),
    ],
];

const RUST: [&[Request]; 2] =
    [&[("GET /", "", 0, 200), ("HEAD /x", "", 0, 200)], &[("GET /y", "A: b\r\n", 0, 200), ("PUT /z", "", 0, 200)]];

const GO: [&[Request]; 2] = [
    &[
        ("GET /", "", 0, 200),
        ("GET /metrics", "Accept-Encoding: gzip\r\n", 0, 200),
        ("GET /probe?module=http_2xx&target=127.0.0.1:9115", "", 0, 200),
        ("GET /probe?module=tcp&target=127.0.0.1:1", "", 0, 200),
        ("GET /probe?module=none&target=127.0.0.1:1", "", 0, 400),
        ("GET /missing", "", 0, 200),
        ("POST /-/reload", "", 0, 200),
    ],
    &[
        ("GET /config", "", 0, 200),
        ("GET /probe?module=tcp&target=127.0.0.1:9115", "", 0, 200),
        ("GET /probe?module=http_2xx&target=localhost:9115/config", "", 0, 200),
        ("GET /probe?module=http_2xx&target=127.0.0.1:1", "", 0, 200),
        ("GET /probe", "", 0, 400),
        ("GET /metrics", "", 0, 200),
    ],
];

/// Sends nginx requests for files, lists, errors, uploads and pages of another server.
pub(crate) fn nginx(target: &Target<'_>, phase: Phase) -> Result<()> {
    run(target, phase, NGINX)
}

/// Sends busybox requests for files, errors and a script.
pub(crate) fn busybox(target: &Target<'_>, phase: Phase) -> Result<()> {
    run(target, phase, BUSYBOX)
}

/// Sends Python requests for files, errors, uploads and a program.
pub(crate) fn python(target: &Target<'_>, phase: Phase) -> Result<()> {
    run(target, phase, PYTHON)
}

/// Sends the server in Rust requests. It has one answer.
pub(crate) fn rust(target: &Target<'_>, phase: Phase) -> Result<()> {
    run(target, phase, RUST)
}

/// Sends the exporter in Go requests for pages, and for probes that succeed and fail.
pub(crate) fn go(target: &Target<'_>, phase: Phase) -> Result<()> {
    run(target, phase, GO)
}

/// Sends every request from several clients at the same time.
fn run(target: &Target<'_>, phase: Phase, [first, second]: [&[Request]; 2]) -> Result<()> {
    let (requests, clients) = if phase == Phase::First { (first, 3) } else { (second, 8) };
    target.network.run(|| {
        thread::scope(|scope| {
            let client = || requests.iter().cycle().take(3 * requests.len()).try_for_each(|one| send(target.port, one));
            let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            let join = |client: thread::ScopedJoinHandle<'_, Result<()>>| {
                client.join().map_err(|_| anyhow!("a client has failed"))?
            };
            clients.into_iter().try_for_each(join)
        })
    })?
}

/// Sends a request. Fails if the answer has another status.
pub(crate) fn send(port: u16, &(request, headers, body, expected): &Request) -> Result<()> {
    let failed = || format!("no answer to {request}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).with_context(failed)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let length = if body > 0 { format!("Content-Length: {body}\r\n") } else { String::new() };
    let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}Connection: close\r\n\r\n");
    // A server may answer and close before it has read the body.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'x'; body]));
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer).and(sent)
        && answer.is_empty()
    {
        return Err(error).with_context(failed);
    }
    let line = String::from_utf8_lossy(answer.get(..12).unwrap_or(&answer)).into_owned();
    ensure!(line.ends_with(&format!(" {expected}")), "{request} was answered with {line:?}, not {expected}");
    Ok(())
}
