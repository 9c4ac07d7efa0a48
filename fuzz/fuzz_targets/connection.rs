//! Sends a client's bytes over a connection without TLS to the real pages: HTTP/1, or HTTP/2 frames.
//!
//! The first byte selects the connection: bit 0, HTTP/2; bit 1, whether the server requires a password; bit 2, whether
//! the client is local. The second byte is the size of the pieces in which the rest arrives, in multiples of 8 bytes.

#![no_main]

use std::{
    alloc::System,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use cap::Cap;
use exporter_web::{
    WebConfig,
    fuzzing::{PipeServer, web_config},
};
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    detect::{Baseline, Baselines, Policies},
    engine::Tunables,
    serve::Site,
    syscalls::CallTable,
    view::{FixedFacts, View, Views, fuzzing::owner},
};
use tokio::{runtime::Runtime, sync::watch};

/// Memory limit: higher use is a finding. A connection has two buffers of 16 KiB, and HTTP/2 has four streams.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 192 << 20);

/// Maximum length of the input.
const MAX_BYTES: usize = 32 * 1024;

/// Approximate size of the shortest request (HTTP/2: a frame's head and one byte of HPACK), and of the longest answer,
/// in bytes.
const MIN_REQUEST: usize = 10;
const MAX_ANSWER: usize = 64 * 1024;

/// Start of an HTTP/2 connection (RFC 9113, section 3.4), with empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A baseline that the server must not disclose without a password.
const BASELINE: &[u8] = include_bytes!("../seeds/baseline/learning.json");
const CANARY: &str = "canary-kh3";

/// A user with an unknown password.
const USERS: &str = "basic_auth_users:\n  u: $2a$04$abcdefghijklmnopqrstuuDoJPnFCQiKSKG3vUSCgxEwSyQy4SuFe\n";

struct Servers {
    runtime: Runtime,
    table: CallTable,
    baselines: Arc<Mutex<Baselines>>,
    open: PipeServer,
    protected: PipeServer,
}

static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    // The clock advances automatically when all tasks wait, so deadlines pass at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let table = CallTable::x86_64();
    let baselines = Arc::new(Mutex::new(baselines(&table)));
    let policies = Policies::new(vec![], true, &table).expect("the built-in policy is right");
    let first = View { policies: Arc::new(policies), ..View::empty(Arc::new(FixedFacts::minimal())) };
    let (publish, views) = Views::new(first.clone());
    let (owner, serve) = owner(Arc::clone(&baselines), first, publish);
    runtime.spawn(serve);
    let tunables = Tunables { poll_interval: Duration::from_secs(5), expire_after: Duration::from_secs(300) };
    let site = Site::new(views, owner, "/metrics", watch::channel(tunables).1);
    let router = site.expect("the table of families is right").router();
    let users = web_config(Path::new("web.yml"), USERS).expect("it is a web configuration");
    Servers {
        runtime,
        table,
        baselines,
        open: PipeServer::new(WebConfig::open(), router.clone()),
        protected: PipeServer::new(users, router),
    }
});

fn baselines(table: &CallTable) -> Baselines {
    let mut baselines = Baselines::default();
    let mut baseline = Baseline::from_json(BASELINE, table).expect("the seed is right");
    baseline.kind = format!("shop/Deployment/{CANARY}/web").parse().expect("it is a kind");
    assert!(baselines.adopt(baseline));
    baselines
}

fuzz_target!(|data: &[u8]| {
    let Some(([options, size], request)) = data.split_first_chunk::<2>() else { return };
    let request = &request[..request.len().min(MAX_BYTES)];
    let [is_http2, is_protected, is_local] = [1, 2, 4].map(|bit| options & bit != 0);
    let address = IpAddr::from(if is_local { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(192, 0, 2, 1) });
    let Servers { runtime, open, protected, .. } = &*SERVERS;
    let server = if is_protected { protected } else { open };
    let preface = if is_http2 { PREFACE } else { &[] };
    let pieces = [preface].into_iter().chain(request.chunks(8 * usize::from((*size).max(1))));
    let answer = runtime.block_on(server.answer(address, is_http2, pieces));

    let has = |text: &[u8], part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());
    assert!(answer.len() <= MAX_ANSWER * (1 + request.len() / MIN_REQUEST), "{} bytes of answer", answer.len());
    if !is_http2 && !answer.is_empty() {
        assert!(answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
        assert!(!answer[8..].starts_with(b" 500"), "{:?}", String::from_utf8_lossy(&answer));
    }
    assert!(!is_protected || has(request, CANARY) || !has(&answer, CANARY), "disclosed without a password");
    changes_are_for_local_clients(is_local && !is_protected, request, is_http2);
});

/// Checks that only local clients changed baselines, then restores the baselines.
fn changes_are_for_local_clients(is_allowed: bool, request: &[u8], is_http2: bool) {
    let mut changed = SERVERS.baselines.lock().expect("nobody panics with it");
    if changed.take_changes().is_empty() {
        return;
    }
    assert!(is_allowed, "changed by {:?}", String::from_utf8_lossy(request));
    assert!(is_http2 || request.windows(16).any(|window| window == b"application/json"));
    *changed = baselines(&SERVERS.table);
}
