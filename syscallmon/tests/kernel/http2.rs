//! HTTP/2 clients that open and reset streams without end.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, pki_types::CertificateDer,
};

use crate::harness::{Daemon, wait_for};

/// Generous, because other work shares the machine.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(3);

/// Maximum growth of resident memory by a flood.
const MAX_MEMORY_GROWTH: u64 = 32 << 20;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// `END_STREAM` and `END_HEADERS`.
const WHOLE_REQUEST: u8 = 5;

type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Secured {
    daemon: Daemon,
    trust: RootCertStore,
    _files: TempDir,
}

impl Secured {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(files.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(files.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let config = files.path().join("web.yml");
        fs::write(&config, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n").unwrap();
        let mut trust = RootCertStore::empty();
        trust.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
        let daemon = Daemon::start_with_tls(&[&format!("--web.config.file={}", config.display())]);
        let secured = Self { daemon, trust, _files: files };
        wait_for("readiness", Duration::from_secs(90), || secured.get("/readyz").filter(|text| text.contains(" 200 ")));
        secured
    }

    fn connect(&self, protocol: &[u8]) -> io::Result<Stream> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("usual versions");
        let mut config = builder.with_root_certificates(self.trust.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = "localhost".try_into().expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let stream = TcpStream::connect(self.daemon.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        Ok(StreamOwned::new(tls, stream))
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = self.connect(b"http/1.1").ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Opens a connection and sends the preface.
    fn connect_http2(&self) -> io::Result<Stream> {
        let mut stream = self.connect(b"h2")?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        Ok(stream)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request, followed by its reset.
fn reset_request(stream: u32, path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // HPACK: GET, https, and two literals with names of the static table.
    let headers = [&[0x82, 0x87, 0x01][..], &text("localhost"), &[0x04], &text(path)].concat();
    [frame(HEADERS, WHOLE_REQUEST, stream, &headers), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
}

/// Sends this many reset requests, then checks that the server still answers.
fn flood(stream: &mut Stream, path: &str, count: u32) -> io::Result<()> {
    for batch in (0..count).step_by(100) {
        let requests: Vec<u8> = (batch..batch + 100).flat_map(|number| reset_request(2 * number + 1, path)).collect();
        stream.write_all(&requests)?;
    }
    stream.write_all(&frame(PING, 0, 0, b"are you?"))?;
    let (mut bytes, mut buffer) = (Vec::<u8>::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend(&buffer[..read]),
        }
        if bytes.windows(8).any(|window| window == b"are you?") {
            return Ok(());
        }
    }
}

#[test]
fn a_client_that_resets_streams_without_end_loses_its_connection_and_harms_nobody() {
    let secured = Secured::start();
    let mut polite = secured.connect_http2().unwrap();
    flood(&mut polite, "/healthz", 0).expect("a client that floods nobody is answered");

    let before = secured.daemon.resident_memory();
    thread::scope(|scope| {
        let floods: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Ok(mut stream) = secured.connect_http2() else { continue };
                        flood(&mut stream, "/metrics", 5000).expect_err("the connection is closed");
                    }
                })
            })
            .collect();
        while !floods.iter().all(thread::ScopedJoinHandle::is_finished) {
            let begin = Instant::now();
            let health = secured.get("/healthz").expect("a connection");
            assert!(health.starts_with("HTTP/1.1 200"), "{health}");
            assert!(begin.elapsed() < MAX_RESPONSE_TIME, "/healthz took {:?}", begin.elapsed());
            let growth = secured.daemon.resident_memory().saturating_sub(before);
            assert!(growth < MAX_MEMORY_GROWTH, "{growth} bytes more");
        }
    });
    println!("resident: {} KiB, {} KiB before", secured.daemon.resident_memory() / 1024, before / 1024);
}
