//! Against a server that frames gRPC by hand, and servers that speak something else.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http2::Builder,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::UnixListener, task::AbortHandle};

use super::{
    connection::MAX_ANSWER_BYTES,
    messages::{ContainerMetadata, Containers, ImageSpec, Images, Sandboxes, Version},
    *,
};

const SHORT: Duration = Duration::from_millis(200);
const UNIMPLEMENTED: i32 = 12;

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn id(digit: char) -> ContainerId {
    digit.to_string().repeat(64).into()
}

fn cri(socket: PathBuf) -> Cri {
    Cri { timeout: SHORT, ..Cri::new(socket) }
}

/// A server that logs its calls.
struct Server {
    dir: TempDir,
    calls: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Server {
    /// Answers calls with what `answer` makes of their paths.
    fn start(answer: impl Fn(&str) -> Answer + Clone + Send + Sync + 'static) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), answer)
    }

    fn start_in(dir: TempDir, answer: impl Fn(&str) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, Arc::clone(&calls), answer)).abort_handle();
        Self { dir, calls, task }
    }

    fn cri(&self) -> Cri {
        cri(self.dir.path().join("s"))
    }

    /// The paths of calls since the last time.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Stops listening, and ends connections.
    fn stop(self) -> TempDir {
        self.task.abort();
        std::fs::remove_file(self.dir.path().join("s")).unwrap();
        self.dir
    }
}

/// Connections are polled in this task, so that they end with it.
async fn serve(
    listener: UnixListener,
    calls: Arc<Mutex<Vec<String>>>,
    answer: impl Fn(&str) -> Answer + Clone + Send + Sync + 'static,
) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (calls, answer) = (Arc::clone(&calls), answer.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            calls.lock().unwrap().push(request.uri().path().to_owned());
            let answer = answer(request.uri().path());
            async { Ok::<_, Infallible>(answer) }
        });
        connections.spawn(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
    }
}

fn framed(length: usize, message: &[u8]) -> Bytes {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

fn raw(bytes: Bytes) -> Answer {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let body = Full::new(bytes).with_trailers(async { Some(Ok(trailers)) }).boxed();
    Response::builder().header(CONTENT_TYPE, "application/grpc").body(body).unwrap()
}

fn ok(message: &impl Message) -> Answer {
    let message = message.encode_to_vec();
    raw(framed(message.len(), &message))
}

fn refusal(code: i32) -> Answer {
    Response::builder()
        .header(CONTENT_TYPE, "application/grpc")
        .header("grpc-status", code)
        .header("grpc-message", "because")
        .body(Empty::new().boxed())
        .unwrap()
}

fn labels(labels: &[(&str, &str)]) -> HashMap<String, String> {
    labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
}

fn pod_labels() -> HashMap<String, String> {
    labels(&[
        ("io.kubernetes.pod.name", "label-0"),
        ("io.kubernetes.pod.namespace", "label"),
        ("io.kubernetes.pod.uid", "0-0"),
        ("io.kubernetes.container.name", "label"),
    ])
}

/// Container `a` of kubelet's, `b` of crictl's with an image's id, and `c` without metadata; sandboxes `1` and `2`.
fn node(path: &str) -> Answer {
    let image = |image: &str, user: &str| Some(ImageSpec { image: image.into(), user_specified_image: user.into() });
    let container = |name: char, sandbox: char| Container {
        id: id(name).to_string(),
        pod_sandbox_id: id(sandbox).to_string(),
        metadata: Some(ContainerMetadata { name: name.into() }),
        ..Container::default()
    };
    let sandbox = |name: char| Sandbox {
        id: id(name).to_string(),
        metadata: Some(SandboxMetadata { name: "web-0".into(), uid: "1-2".into(), namespace: "shop".into() }),
        ..Sandbox::default()
    };
    let digest = format!("sha256:{}", id('e'));
    match path.rsplit('/').next().unwrap() {
        "Version" => ok(&Version { runtime_name: "containerd".into() }),
        "ListContainers" => ok(&Containers {
            containers: vec![
                Container { labels: pod_labels(), image: image(&digest, "shop/web:2"), ..container('a', '1') },
                Container { image: image(&digest, ""), ..container('b', '2') },
                Container { labels: pod_labels(), metadata: None, ..container('c', '1') },
            ],
        }),
        "ListPodSandbox" => ok(&Sandboxes {
            items: vec![sandbox('1'), Sandbox { labels: pod_labels(), metadata: None, ..sandbox('2') }],
        }),
        "ListImages" => ok(&Images {
            images: vec![Image { id: digest, repo_tags: vec!["shop/db:1".into()], repo_digests: vec![] }],
        }),
        _ => refusal(UNIMPLEMENTED),
    }
}

fn pod(uid: &str, namespace: &str, name: &str) -> PodInfo {
    PodInfo { uid: uid.into(), namespace: namespace.into(), name: name.into() }
}

#[tokio::test]
async fn a_container_of_kubelet_takes_one_call() {
    let server = Server::start(node);
    let mut cri = server.cri();
    let expected = ContainerInfo {
        id: id('a'),
        name: "a".into(),
        pod: Some(pod("0-0", "label", "label-0")),
        image: Some("shop/web:2".into()),
        runtime: "containerd".into(),
        is_pause: false,
    };
    assert_eq!(cri.look_up(&[id('a')]).await.unwrap(), [expected]);
    assert_eq!(server.calls(), ["/runtime.v1.RuntimeService/Version", "/runtime.v1.RuntimeService/ListContainers"]);
    cri.look_up(&[id('a')]).await.unwrap();
    assert_eq!(server.calls(), ["/runtime.v1.RuntimeService/ListContainers"]);
}

#[tokio::test]
async fn metadata_come_before_labels() {
    let found = Server::start(node).cri().look_up(&[id('b'), id('c')]).await.unwrap();
    assert_eq!((&*found[0].name, &found[0].pod), ("b", &Some(pod("0-0", "label", "label-0"))));
    assert_eq!((&*found[1].name, &found[1].pod), ("label", &Some(pod("1-2", "shop", "web-0"))));
}

#[tokio::test]
async fn sandboxes_are_pause_containers_and_unknown_ids_absent() {
    let found = Server::start(node).cri().look_up(&[id('1'), id('f'), "".into(), "\u{e9}\n".into()]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].id, &*found[0].name, found[0].is_pause), (&id('1'), "POD", true));
    assert_eq!((&found[0].pod, &found[0].image), (&Some(pod("1-2", "shop", "web-0")), &None));
}

#[tokio::test]
async fn an_image_s_id_is_replaced_by_its_name() {
    let found = Server::start(node).cri().look_up(&[id('b')]).await.unwrap();
    assert_eq!(found[0].image.as_deref(), Some("shop/db:1"));
    let elsewhere = |path: &str| if path.contains("Image") { refusal(UNIMPLEMENTED) } else { node(path) };
    let found = Server::start(elsewhere).cri().look_up(&[id('b')]).await.unwrap();
    assert_eq!(found[0].image, Some(format!("sha256:{}", id('e')).into()));
}

#[tokio::test]
async fn the_older_version_of_the_cri_is_spoken_too() {
    let server = Server::start(|path| if path.contains(".v1.") { refusal(UNIMPLEMENTED) } else { node(path) });
    assert_eq!(server.cri().look_up(&[id('a')]).await.unwrap().len(), 1);
    assert_eq!(server.calls().last().unwrap(), "/runtime.v1alpha2.RuntimeService/ListContainers");
}

#[tokio::test]
async fn a_server_without_the_cri_is_named_as_such() {
    let error = Server::start(|_| refusal(UNIMPLEMENTED)).cri().look_up(&[id('a')]).await.unwrap_err();
    assert!(error.to_string().contains("does not serve CRI"), "{error}");
}

#[tokio::test]
async fn refusals_are_errors_with_their_reason() {
    let error = Server::start(|_| refusal(2)).cri().look_up(&[id('a')]).await.unwrap_err();
    assert!(error.to_string().contains("Version") && error.to_string().contains("because"), "{error}");
    let error = Server::start(|_| refusal(4)).cri().look_up(&[id('a')]).await.unwrap_err();
    assert!(matches!(error, ProviderError::Timeout(SHORT)), "the runtime may see the deadline first");
}

#[tokio::test]
async fn empty_answers_know_nobody() {
    let server = Server::start(|_| ok(&()));
    assert_eq!(server.cri().look_up(&[id('a')]).await.unwrap(), []);
    let mut cri = server.cri();
    server.stop();
    assert_eq!(cri.look_up(&[]).await.unwrap(), [], "nobody is asked");
}

#[tokio::test]
async fn strange_names_stay_and_long_ones_are_cut() {
    let name = "\"\u{1f980}\0\n".to_owned() + &"x".repeat(2000);
    let server = Server::start(move |path| {
        let metadata = Some(ContainerMetadata { name: name.clone() });
        let container = Container { id: id('a').to_string(), metadata, ..Container::default() };
        if path.ends_with("Containers") { ok(&Containers { containers: vec![container] }) } else { node(path) }
    });
    let found = server.cri().look_up(&[id('a')]).await.unwrap();
    assert!(found[0].name.starts_with("\"\u{1f980}\0\n") && found[0].name.len() == 1024);
    assert_eq!((&found[0].pod, &found[0].image), (&None, &None));
}

#[tokio::test]
async fn garbage_is_an_error() {
    let answers: [&[u8]; 6] =
        [b"", b"\0", b"\0\0\0\0\x02\xff\xff", b"\x01\0\0\0\x01a", b"\0\0\0\0\x04\x0a\x02\xff\xff", b"<html>"];
    for bytes in answers {
        let server = Server::start(move |path| if path.ends_with("Version") { node(path) } else { raw(bytes.into()) });
        let answer = server.cri().look_up(&[id('a')]).await;
        assert!(matches!(answer, Err(ProviderError::Answer(_))), "{bytes:?}: {answer:?}");
    }
    let html = |_: &str| Response::new(Full::from("<html>").boxed());
    assert!(matches!(Server::start(html).cri().look_up(&[id('a')]).await, Err(ProviderError::Answer(_))));
}

/// Serves fixed bytes to every client, then nothing.
fn plain(bytes: &'static [u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(bytes).await.unwrap();
            streams.push(stream);
        }
    });
    dir
}

#[tokio::test]
async fn another_protocol_is_an_error() {
    let dir = plain(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    let answer = cri(dir.path().join("s")).look_up(&[id('a')]).await;
    assert!(matches!(answer, Err(ProviderError::Answer(_))), "{answer:?}");
}

#[tokio::test]
async fn a_runtime_that_hangs_is_not_waited_for() {
    let dir = plain(b"");
    let start = Instant::now();
    let answer = cri(dir.path().join("s")).look_up(&[id('a')]).await;
    assert!(matches!(answer, Err(ProviderError::Timeout(SHORT))), "{answer:?}");
    assert!(start.elapsed() < 5 * SHORT);
}

#[tokio::test]
async fn a_runtime_that_comes_back_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut cri = cri(dir.path().join("s"));
    assert!(matches!(cri.look_up(&[id('a')]).await, Err(ProviderError::Connect(_))));
    let server = Server::start_in(dir, node);
    assert_eq!(cri.look_up(&[id('a')]).await.unwrap().len(), 1);
    let dir = server.stop();
    tokio::time::sleep(SHORT).await;
    assert!(matches!(cri.look_up(&[id('a')]).await, Err(ProviderError::Connect(_))));
    let _server = Server::start_in(dir, node);
    assert_eq!(cri.look_up(&[id('a')]).await.unwrap().len(), 1);
}

/// A body without end, which counts what was taken of it.
struct Endless {
    head: Option<Bytes>,
    chunk: Bytes,
    sent: Arc<AtomicUsize>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.head.take().unwrap_or_else(|| self.chunk.clone());
        self.sent.fetch_add(bytes.len(), Relaxed);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// What comes of a list that begins so and goes on in zeros, and how much of it was taken.
async fn endless(head: Bytes) -> (Result<Vec<ContainerInfo>, ProviderError>, usize) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Server::start(move |path| {
        let body = Endless { head: Some(head.clone()), chunk: vec![0; 16 << 10].into(), sent: Arc::clone(&count) };
        if path.ends_with("Version") { node(path) } else { Response::new(body.boxed()) }
    });
    // Longer than any host needs: the answer is an error because of what was read.
    let mut cri = Cri { timeout: Duration::from_mins(1), ..server.cri() };
    let answer = cri.look_up(&[id('a')]).await;
    (answer, sent.load(Relaxed))
}

#[tokio::test]
async fn of_an_endless_answer_little_is_read() {
    let (answer, sent) = endless(framed(1 << 30, &[])).await;
    assert!(matches!(answer, Err(ProviderError::Answer(_))), "{answer:?}");
    assert!(sent < 8 << 20, "a message that is too long is refused by its length: {sent}");
    // Empty messages one after the other.
    let (answer, sent) = endless(Bytes::new()).await;
    assert!(matches!(answer, Err(ProviderError::Answer(_))), "{answer:?}");
    assert!(sent < MAX_ANSWER_BYTES + (8 << 20), "{sent}");
}

#[tokio::test]
async fn answers_may_be_as_long_as_kubelet_s() {
    let name = "x".repeat(MAX_ANSWER_BYTES - 100);
    let server = Server::start(move |path| {
        let container = Container { id: id('a').to_string(), pod_sandbox_id: name.clone(), ..Container::default() };
        if path.ends_with("Containers") { ok(&Containers { containers: vec![container] }) } else { node(path) }
    });
    let mut cri = Cri { timeout: 50 * SHORT, ..server.cri() };
    assert_eq!(cri.look_up(&[id('a')]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_that_would_take_much_memory_is_refused() {
    let answer = |path: &str| {
        let empty_entries = [0x0a, 0].repeat(MAX_ANSWER_BYTES / 2);
        if path.ends_with("Version") { node(path) } else { raw(framed(empty_entries.len(), &empty_entries)) }
    };
    let server = Server::start(answer);
    let error = Cri { timeout: 50 * SHORT, ..server.cri() }.look_up(&[id('a')]).await.unwrap_err();
    assert!(error.to_string().contains("fields"), "{error}");
}
