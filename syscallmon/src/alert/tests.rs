//! Test violations, a server with scripted answers, and delivery as a whole.

mod restarts;

use std::{
    sync::Mutex,
    time::{Duration, SystemTime},
};

use ::http::Uri;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::*;
use crate::{
    detect::{Incident, IncidentState, IncidentTimes, Incidents, NewCall, Reason, Severity, Violation},
    process::{Ancestor, Process, ProcessTree},
    syscalls::Call,
    workload::{Label, Labels, Workload},
};

/// A violation as the sampler sends it.
pub(crate) fn violation(workload: &str, syscall: &'static str) -> Violation {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    let names = [(Label::Namespace, "shop"), (Label::Pod, "web-1"), (Label::Container, workload)];
    let labels = Labels::new(names.map(|(label, value)| (label, value.into())));
    let more = [(Label::Image, "web:1"), (Label::PodUid, "11111111-2222-3333-4444-555555555555")];
    let more = more.map(|(label, value)| (label, value.into()));
    Violation {
        time,
        last_seen: time,
        count: 1,
        workload: Workload::Resolved(labels),
        metadata: Labels::new(names.map(|(label, value)| (label, value.into())).into_iter().chain(more)),
        call: Call { abi: "x86_64", syscall },
        number: Some(165),
        denied: false,
        process: Some(Process {
            pid: 4711,
            tid: 4712,
            uid: 1000,
            comm: "sh".to_owned(),
            exe: Some("/bin/sh".to_owned()),
            command_line: Some(vec!["sh".to_owned(), "-c".to_owned(), "mount /dev/sda \"/mnt\"".to_owned()]),
            parents: vec![Ancestor { pid: 4700, comm: "nginx".to_owned(), exe: Some("/usr/sbin/nginx".to_owned()) }],
            tree: ProcessTree::default(),
        }),
        policy: "runtime-default".into(),
        severity: Severity::Critical,
        reason: Reason::NotAllowed,
        runtime_default_allows: false,
    }
}

/// The incident of these violations of one process tree.
pub(super) fn incident(violations: impl IntoIterator<Item = Violation>) -> Incident {
    let (mut incidents, now) = (Incidents::default(), std::time::Instant::now());
    for violation in violations {
        incidents.join(violation, true, now);
    }
    let [notice] = &incidents.take_notices(now + Duration::from_mins(1))[..] else { panic!("one incident") };
    (*notice.incident).clone()
}

/// A record of an incident.
pub(super) fn record_of(incident: Incident) -> record::Record {
    record::Record { node: "node-1".into(), content: record::Content::Incident(Arc::new(incident)) }
}

/// The record of an incident that has only this violation, and its id.
pub(super) fn record(violation: Violation) -> record::Record {
    record_of(Incident { id: violation.id(), ..incident([violation]) })
}

/// The notice of such an incident.
pub(crate) fn notice(violation: Violation, is_new: bool) -> IncidentNotice {
    let state = if is_new { IncidentState::New } else { IncidentState::Repeated };
    let incident = Arc::new(Incident { id: violation.id(), state, ..incident([violation.clone()]) });
    let news = is_new.then(|| NewCall { violation: Arc::new(violation), is_new });
    IncidentNotice { incident, news: news.into_iter().collect() }
}

/// What a server does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// Answers with a status and a body.
    Status(u16, &'static str),
    /// Asks to come back in 7 s.
    Busy,
    /// Answers with what is no HTTP.
    Garbage,
    /// Closes the connection.
    HangUp,
    /// Never answers.
    Silence,
    /// Answers with a status, and a body without an end.
    EndlessBody(u16),
    /// Answers with headers without an end.
    EndlessHead,
}

/// A request that a server got.
#[derive(Clone, Debug)]
pub(super) struct Received {
    head: String,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// `POST /path`.
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")
    }
}

/// Gives its answers one after the other, one a connection; runs until the runtime ends. Its last answer is
/// given for ever.
pub(super) struct Server {
    scheme: &'static str,
    address: String,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    pub(super) async fn start<const N: usize>(answers: [Answer; N]) -> Self {
        Self::listen(answers.to_vec(), None).await
    }

    pub(super) async fn start_tls<const N: usize>(
        answers: [Answer; N],
        certificate: CertificateDer<'static>,
        key: Vec<u8>,
    ) -> Self {
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.into()))
            .unwrap();
        Self::listen(answers.to_vec(), Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// Returns an address on which no server listens.
    pub(super) async fn nobody() -> Uri {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap()
    }

    async fn listen(answers: Vec<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, requests) = (listener.local_addr().unwrap().to_string(), Arc::default());
        let (scheme, log) = (if tls.is_some() { "https" } else { "http" }, Arc::clone(&requests));
        tokio::spawn(async move {
            let last = *answers.last().unwrap();
            let mut answers = answers.into_iter();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let served = match &tls {
                    None => serve(stream, answers.next().unwrap_or(last), &log).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => serve(stream, answers.next().unwrap_or(last), &log).await,
                        Err(_) => continue,
                    },
                };
                // The client hangs up on what it does not like.
                drop(served);
            }
        });
        Self { scheme, address, requests }
    }

    pub(super) fn uri(&self, path: &str) -> Uri {
        format!("{}://{}{path}", self.scheme, self.address).parse().unwrap()
    }

    pub(super) fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    requests: &Mutex<Vec<Received>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mut received = Received { head: String::from_utf8(head).unwrap(), body: String::new() };
    let mut body = vec![0; received.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    received.body = String::from_utf8(body).unwrap();
    requests.lock().unwrap().push(received);
    match answer {
        Answer::Status(status, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all((head + body).as_bytes()).await?;
        }
        Answer::Busy => {
            let head = b"HTTP/1.1 429 X\r\nConnection: close\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(head).await?;
        }
        Answer::Garbage => stream.write_all(b"220 mail.example ESMTP\r\n").await?,
        Answer::HangUp => {}
        Answer::Silence => sleep(Duration::from_mins(1)).await,
        Answer::EndlessBody(status) => {
            stream.write_all(format!("HTTP/1.1 {status} X\r\n\r\n").as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Answer::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 X\r\n").await?;
            loop {
                stream.write_all(b"X-More: more\r\n").await?;
            }
        }
    }
    stream.shutdown().await
}

/// Sinks that are started, and what ends them.
struct Running {
    alerts: Alerts,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    fn start(config: &AlertConfig) -> Self {
        Self::start_after(config, LastingDelivery::default())
    }

    fn start_after(config: &AlertConfig, earlier: LastingDelivery) -> Self {
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let alerts = Alerts::start(config, "node-1", earlier, &shutdown, &mut tasks);
        Self { alerts, shutdown, tasks }
    }

    fn notify(&self, violation: Violation, is_new: bool) {
        self.alerts.notify(notice(violation, is_new));
    }

    fn sink(&self) -> SinkStatus {
        self.alerts.status().sinks[0].clone()
    }

    async fn end(mut self) {
        self.alerts.finish();
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// Nowhere, until a test says where.
pub(crate) fn nowhere() -> AlertConfig {
    AlertConfig {
        command_line: crate::process::CommandLines::Redacted,
        log: LogTarget::Off,
        repeat_interval: Duration::from_hours(1),
        incidents: IncidentTimes::default(),
        rate_limit: RateLimit::default(),
        alertmanager: Alertmanagers {
            urls: Vec::new(),
            client_config: HttpClientConfig::default(),
            labels: Vec::new(),
            resolve_after: Duration::from_mins(15),
        },
        webhook: None,
        kubernetes_events: false,
        kubeconfig: None,
    }
}

fn webhook(uri: &Uri) -> WebhookConfig {
    let url = uri.to_string().parse().unwrap();
    let content_type = "application/json".parse().unwrap();
    WebhookConfig { url, client_config: HttpClientConfig::default(), template: None, content_type, headers: Vec::new() }
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 15 s");
}

#[tokio::test]
async fn after_an_outage_a_violation_is_sent_once_in_its_last_state() {
    let answers = [Answer::Status(500, ""), Answer::Garbage, Answer::HangUp, Answer::Status(200, "")];
    let server = Server::start(answers).await;
    let config = AlertConfig {
        webhook: Some(webhook(&server.uri("/hook"))),
        repeat_interval: Duration::from_millis(1),
        ..nowhere()
    };
    let running = Running::start(&config);
    running.notify(violation("web", "mount"), true);
    wait_until("a failure", || running.sink().failed >= 1).await;
    for count in 2..=100 {
        sleep(Duration::from_millis(2)).await;
        running.notify(Violation { count, ..violation("web", "mount") }, false);
    }
    assert_eq!(running.sink().queued, 1, "one for all");
    wait_until("delivery", || running.sink().sent == 1).await;
    sleep(Duration::from_millis(100)).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert_eq!((requests[3].line(), requests[3].header("content-type")), ("POST /hook", "application/json"));
    assert!(requests[3].header("user-agent").starts_with("syscallmon/"));
    let sent: serde_json::Value = serde_json::from_str(&requests[3].body).unwrap();
    assert_eq!((&sent["count"], &sent["state"]), (&100.into(), &"new".into()), "the newest, and nobody knew of it yet");
    let status = running.sink();
    assert_eq!((status.sent, status.failed, status.queued, status.refused), (1, 3, 0, 0));
    running.end().await;
}

#[tokio::test]
async fn a_notice_that_the_receiver_rejects_is_dropped_and_counted_and_the_next_is_sent() {
    let server = Server::start([Answer::Status(400, "no"), Answer::Status(200, "")]).await;
    let running = Running::start(&AlertConfig { webhook: Some(webhook(&server.uri("/"))), ..nowhere() });
    running.notify(violation("web", "mount"), true);
    running.notify(violation("web", "bpf"), true);
    wait_until("delivery", || running.sink().sent == 1).await;
    let status = running.sink();
    assert_eq!((status.refused, status.failed, status.queued), (1, 1, 0));
    assert_eq!(server.requests().len(), 2);
    running.end().await;
}

#[tokio::test]
async fn a_sink_that_never_answers_delays_no_other_and_holds_little() {
    let (silent, server) = (Server::start([Answer::Silence]).await, Server::start([Answer::Status(200, "")]).await);
    let mut config = AlertConfig { webhook: Some(webhook(&silent.uri("/"))), ..nowhere() };
    config.alertmanager.urls = vec![server.uri("/am/").to_string().parse().unwrap()];
    let running = Running::start(&config);
    let notice = notice(violation("web", "mount"), true);
    for index in 0..6000 {
        let name: Arc<str> = format!("web-{index}").into();
        let id = crate::stable_id::StableId::of("test", [&*name]);
        let workload = Workload::Resolved(Labels::new([(Label::Namespace, "shop".into()), (Label::Container, name)]));
        let call = Arc::new(Violation { workload: workload.clone(), ..violation("web", "mount") });
        let news = vec![NewCall { violation: call, is_new: true }];
        let incident = Arc::new(Incident { id, workload, ..(*notice.incident).clone() });
        running.alerts.notify(IncidentNotice { incident, news });
    }
    let of = |name: &str| running.alerts.status().sinks.into_iter().find(|sink| sink.sink == name).unwrap();
    wait_until("alerts", || of("alertmanager").sent >= 4096).await;
    assert!(of("webhook").queued <= 4096 && of("webhook").queue_full > 1000, "{:?}", of("webhook"));
    assert_eq!(server.requests()[0].line(), "POST /am/api/v2/alerts");
    running.end().await;
}

#[tokio::test]
async fn two_alertmanagers_get_everything_though_one_is_down() {
    let (first, second) =
        (Server::start([Answer::Status(200, "")]).await, Server::start([Answer::Status(200, "")]).await);
    let mut config = nowhere();
    let uris = [first.uri("/"), Server::nobody().await, second.uri("/")];
    config.alertmanager.urls = uris.iter().map(|uri| uri.to_string().parse().unwrap()).collect();
    config.alertmanager.labels = vec!["cluster=prod".parse().unwrap()];
    let running = Running::start(&config);
    running.notify(violation("web", "mount"), true);
    let sent = || running.alerts.status().sinks.iter().map(|sink| (sink.sink.clone(), sink.sent)).collect::<Vec<_>>();
    let expected =
        [("alertmanager", 1), ("alertmanager-2", 0), ("alertmanager-3", 1)].map(|(sink, n)| (sink.to_owned(), n));
    wait_until("both", || sent() == expected).await;
    for server in [first, second] {
        let [request] = &server.requests()[..] else { panic!("one request") };
        let sent: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(sent.as_array().unwrap().len(), 1);
        let labels = serde_json::json!({
            "alertname": "UnexpectedSyscall", "severity": "critical", "incident": violation("web", "mount").id(),
            "node": "node-1", "namespace": "shop", "pod": "web-1", "container": "web", "cluster": "prod",
        });
        assert_eq!(sent[0]["labels"], labels);
        assert_eq!(sent[0]["startsAt"], "2023-11-14T22:13:20.250Z");
        let description = sent[0]["annotations"]["description"].as_str().unwrap();
        assert!(description.contains("pid 4711") && description.contains("nginx (4700)"), "{description}");
    }
    running.end().await;
}

#[tokio::test]
async fn the_log_gets_a_line_for_each_and_follows_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("violations"), directory.path().join("violations.1"));
    let running = Running::start(&AlertConfig { log: LogTarget::File(path.clone()), ..nowhere() });
    running.notify(violation("web", "mount"), true);
    running.notify(Violation { count: 2, ..violation("web", "mount") }, false);
    wait_until("a line", || running.sink().sent == 1).await;
    std::fs::rename(&path, &moved).unwrap();
    running.notify(violation("web", "bpf"), true);
    wait_until("another", || running.sink().sent == 2).await;
    running.notify(violation("web", "ptrace"), true);
    running.end().await;
    let calls = |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let line = |line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["calls"][0]["syscall"].as_str().unwrap().to_owned()
        };
        text.lines().map(line).collect::<Vec<String>>()
    };
    assert_eq!(calls(&moved), ["mount"], "once, though it was repeated");
    assert_eq!(calls(&path), ["bpf", "ptrace"], "the last at the end, too");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/violations");
    let running = Running::start(&AlertConfig { log: LogTarget::File(path.clone()), ..nowhere() });
    running.notify(violation("web", "mount"), true);
    wait_until("a failure", || running.sink().failed > 0).await;
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    wait_until("delivery", || running.sink().sent == 1).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    running.end().await;
}

#[test]
fn no_sink_is_no_mistake() {
    let alerts = Alerts::default();
    alerts.notify(notice(violation("web", "mount"), true));
    assert_eq!(alerts.status(), AlertStatus::default());
}
