//! Against servers that answer with fixed bytes.

use std::{
    fmt::Write,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use super::*;

const SHORT: Duration = Duration::from_millis(200);

fn id(digit: char) -> ContainerId {
    digit.to_string().repeat(64).into()
}

/// A server that answers requests with what `answer` makes of their first lines.
struct Server {
    dir: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8(request[..length].to_vec()).unwrap();
                let line = request.lines().next().unwrap().to_owned();
                let bytes = answer(&line);
                log.lock().unwrap().push(line);
                // An empty answer is one that is never given.
                if bytes.is_empty() {
                    tokio::spawn(async move { stream.read(&mut [0; 1]).await });
                } else {
                    stream.write_all(&bytes).await.unwrap();
                }
            }
        });
        Self { dir, requests }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn docker(&self) -> Engine {
        Engine { timeout: SHORT, ..Engine::docker(self.socket()) }
    }

    fn podman(&self) -> Engine {
        Engine { timeout: SHORT, ..Engine::podman(self.socket()) }
    }
}

fn response(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    response("200 OK", body)
}

/// What Docker lists of one container.
fn listed(id: &str, name: &str, labels: &str) -> String {
    format!(r#"[{{"Id":"{id}","Names":["{name}"],"Image":"shop/web:2","Labels":{labels},"State":"created"}}]"#)
}

async fn answer_to(bytes: Vec<u8>) -> Result<Vec<ContainerInfo>, ProviderError> {
    Server::start(move |_| bytes.clone()).docker().look_up(&[id('a')]).await
}

#[tokio::test]
async fn a_container_of_docker() {
    let server =
        Server::start(|_| ok(&listed(&id('a'), "/w\\\"eb\u{1f980}\\n", r#"{"io.kubernetes.pod.name":"image's"}"#)));
    let facts = server.docker().look_up(&[id('a')]).await.unwrap();
    let name = "w\"eb\u{1f980}\n".into();
    let expected = ContainerInfo {
        id: id('a'),
        name,
        pod: None,
        image: Some("shop/web:2".into()),
        runtime: "docker".into(),
        is_pause: false,
    };
    assert_eq!(facts, [expected]);
    let path = format!("/containers/json?all=true&filters=%7B%22id%22%3A%5B%22{}%22%5D%7D", id('a'));
    assert_eq!(*server.requests.lock().unwrap(), [format!("GET {path} HTTP/1.1")]);
}

#[tokio::test]
async fn containers_of_cri_dockerd_are_in_pods() {
    let labels = |kind: &str| {
        format!(
            r#"{{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"1-2",
            "io.kubernetes.container.name":"web","io.kubernetes.docker.type":"{kind}"}}"#
        )
    };
    let answers =
        [("/k8s_web_web-0_shop_1-2_0", "container"), ("/k8s_POD_web-0_shop_1-2_0", "podsandbox"), ("/x", "podsandbox")];
    let mut found = Vec::new();
    for (name, kind) in answers {
        found.extend(answer_to(ok(&listed(&id('a'), name, &labels(kind)))).await.unwrap());
    }
    let pod = PodInfo { uid: "1-2".into(), namespace: "shop".into(), name: "web-0".into() };
    let seen = |facts: &ContainerInfo| (facts.name.to_string(), facts.pod.clone(), facts.is_pause);
    assert_eq!(seen(&found[0]), ("web".to_owned(), Some(pod.clone()), false));
    assert_eq!(seen(&found[1]), ("POD".to_owned(), Some(pod), true));
    assert_eq!(seen(&found[2]), ("x".to_owned(), None, false), "labels that are perhaps the image's");
}

#[tokio::test]
async fn podman_s_infra_container_is_a_pause_container() {
    let body =
        format!(r#"[{{"Id":"{}","Names":["89a4-infra"],"Image":"pause:1","IsInfra":true,"Labels":null}}]"#, id('a'));
    let server = Server::start(move |_| ok(&body));
    let facts = server.podman().look_up(&[id('a')]).await.unwrap();
    assert_eq!((&*facts[0].name, &*facts[0].runtime, facts[0].is_pause), ("89a4-infra", "podman", true));
    assert!(server.requests.lock().unwrap()[0].starts_with("GET /v4.0.0/libpod/containers/json?all=true&"));
}

#[tokio::test]
async fn names_that_links_give_are_not_a_container_s_own() {
    let body = format!(r#"[{{"Id":"{}","Names":["/web/database","/db"]}}]"#, id('a'));
    assert_eq!(&*answer_to(ok(&body)).await.unwrap()[0].name, "db");
}

#[tokio::test]
async fn unknown_ids_are_absent() {
    for body in ["[]", "null", "[ ]\n", &listed(&id('b'), "/other", "{}")] {
        assert_eq!(answer_to(ok(body)).await.unwrap(), [], "{body}");
    }
}

#[tokio::test]
async fn only_lowercase_hexadecimal_goes_into_the_path() {
    let server = Server::start(|_| ok("[]"));
    let ids = ["../x", "a b", "AB", "a\r\nb", "a%22", "", "web"].map(ContainerId::from);
    assert_eq!(server.docker().look_up(&ids).await.unwrap(), []);
    assert_eq!(*server.requests.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_container_without_names_has_its_id() {
    for names in ["[]", "null", r#"[""]"#, r#"["/"]"#] {
        let body = format!(r#"[{{"Id":"{}","Names":{names},"Image":""}}]"#, id('a'));
        let facts = answer_to(ok(&body)).await.unwrap();
        assert_eq!((&facts[0].name, &facts[0].image), (&id('a'), &None), "{names}");
    }
}

#[tokio::test]
async fn garbage_is_an_error() {
    let deep = "[".repeat(100_000);
    for body in ["", "{", "{}", "[1]", r#"[{"Id":1}]"#, "\0\u{1}", &deep] {
        assert!(matches!(answer_to(ok(body)).await, Err(ProviderError::Answer(_))), "{}", &body[..body.len().min(20)]);
    }
    for bytes in [&b"SSH-2.0-OpenSSH\r\n"[..], b"\x16\x03\x01\x00", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
        assert!(matches!(answer_to(bytes.to_vec()).await, Err(ProviderError::Answer(_))));
    }
}

#[tokio::test]
async fn refusals_are_errors() {
    for status in ["404 Not Found", "400 Bad Request", "500 Internal Server Error", "301 Moved", "204 No Content"] {
        let error = answer_to(response(status, "{}")).await.unwrap_err();
        assert!(error.to_string().contains(&status[..3]), "{error}");
    }
}

#[tokio::test]
async fn a_container_that_fails_does_not_cost_others_their_facts() {
    let answer = |line: &str| match line {
        line if line.contains("bb") => response("500 Internal Server Error", ""),
        line if line.contains("cc") => Vec::new(),
        _ => ok(&listed(&id('d'), "/d", "{}")),
    };
    let server = Server::start(answer);
    let facts = server.docker().look_up(&[id('b'), id('c'), id('d')]).await.unwrap();
    assert_eq!(facts.len(), 1);
    let error = server.docker().look_up(&[id('b')]).await.unwrap_err();
    assert!(matches!(error, ProviderError::Answer(_)));
}

#[tokio::test]
async fn an_engine_that_hangs_is_asked_twice_at_most() {
    let server = Server::start(|_| Vec::new());
    let error = server.docker().look_up(&[id('a'), id('b'), id('c'), id('d')]).await.unwrap_err();
    assert!(matches!(error, ProviderError::Timeout(SHORT)));
    assert_eq!(server.requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_absent_engine_is_distinguished_from_a_broken_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::docker(dir.path().join("none"));
    assert!(matches!(engine.look_up(&[id('a')]).await, Err(ProviderError::Connect(_))));
    assert_eq!(engine.look_up(&[]).await.unwrap(), []);
}

/// Serves `head`, then `chunk` without end, and counts the bytes that it got rid of.
async fn endless(head: &'static str, chunk: Vec<u8>) -> (Result<Vec<ContainerInfo>, ProviderError>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        while let Ok(()) = stream.write_all(&chunk).await {
            count.fetch_add(chunk.len(), Relaxed);
        }
    });
    let start = Instant::now();
    let answer = Engine::docker(dir.path().join("s")).look_up(&[id('a')]).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    (answer, sent.load(Relaxed))
}

#[tokio::test]
async fn of_an_endless_answer_little_is_read() {
    let answers = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", vec![0; 1024]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            format!("400\r\n{}\r\n", " ".repeat(1024)).into_bytes(),
        ),
        ("HTTP/1.1 200 OK\r\n", format!("X: {}\r\n", "x".repeat(1024)).into_bytes()),
    ];
    for (head, chunk) in answers {
        let (answer, sent) = endless(head, chunk).await;
        assert!(matches!(answer, Err(ProviderError::Answer(_))), "{answer:?}");
        assert!(sent < 3 * MAX_ANSWER_BYTES, "{head}: {sent}");
    }
}

#[tokio::test]
async fn long_names_are_cut() {
    let mut name = "/".to_owned();
    (0..1000).for_each(|number| write!(name, "{number}\u{e9}").unwrap());
    let facts = answer_to(ok(&listed(&id('a'), &name, "{}"))).await.unwrap();
    assert!((1023..=1024).contains(&facts[0].name.len()));
}
