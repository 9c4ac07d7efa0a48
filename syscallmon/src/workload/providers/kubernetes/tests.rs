//! The watch, against a server on this machine.

use std::iter;

use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};

use super::{
    server::{Answer::*, *},
    *,
};

const LIMITS: RequestLimits = RequestLimits {
    answer: 64 << 10,
    list: Duration::from_millis(300),
    silence: Duration::from_millis(800),
    requests: 1000,
    period: Duration::from_millis(1),
};

/// What was reported, in order.
#[derive(Debug, PartialEq)]
enum Reported {
    Restarted,
    Synced,
    Applied(String),
    Deleted(String),
    Failed(String),
}

/// A watch of what a server says.
struct Watch {
    server: ApiServer,
    changes: UnboundedReceiver<Reported>,
    task: JoinHandle<()>,
}

impl Watch {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start_with(LIMITS, answers).await
    }

    async fn start_with(limits: RequestLimits, answers: impl IntoIterator<Item = Answer>) -> Self {
        let server = ApiServer::start(answers).await;
        let config = configuration(Some(server.kubeconfig())).await.unwrap();
        let delays = iter::repeat(Duration::from_millis(10));
        let kubernetes = Kubernetes::with_limits(config, "node1", limits, delays, || {}).await.unwrap();
        let (sender, changes) = unbounded_channel();
        let failures = sender.clone();
        let task = tokio::spawn(kubernetes.watch(
            move |change| sender.send(reported(change)).unwrap(),
            move |error| failures.send(Failed(description(&error))).unwrap(),
        ));
        Self { server, changes, task }
    }

    async fn next(&mut self) -> Reported {
        timeout(Duration::from_secs(10), self.changes.recv()).await.expect("in time").unwrap()
    }

    async fn expect(&mut self, expected: impl IntoIterator<Item = Reported>) {
        for expected in expected {
            assert_eq!(self.next().await, expected);
        }
    }

    /// Expects a failure that says this.
    async fn expect_failure(&mut self, text: &str) {
        match self.next().await {
            Failed(failure) => assert!(failure.contains(text) && failure.len() < 3000, "{failure}"),
            changes => panic!("{changes:?} instead of a failure with {text}"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

use Reported::{Applied, Deleted, Failed, Restarted, Synced};

fn reported(change: PodChange) -> Reported {
    match change {
        PodChange::Restarted => Restarted,
        PodChange::Applied(pod) => Applied(format!("{} {}", pod.facts.uid, pod.containers.len())),
        PodChange::Deleted { uid } => Deleted(uid.to_string()),
        PodChange::Synced => Synced,
    }
}

fn applied(uid: &str) -> Reported {
    Applied(format!("{uid} 1"))
}

fn pod(uid: &str, version: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"uid": uid, "name": format!("p-{uid}"), "namespace": "default", "resourceVersion": version},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": {"containerStatuses": [{"name": "c", "containerID": format!("containerd://{uid}"), "state": {}}]},
    })
}

fn list(version: &str, uids: &[&str]) -> Answer {
    let items: Vec<Value> = uids.iter().map(|uid| pod(uid, version)).collect();
    Whole(
        200,
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items})
            .to_string(),
    )
}

fn event(kind: &str, uid: &str, version: &str) -> String {
    json!({"type": kind, "object": pod(uid, version)}).to_string()
}

fn bookmark(version: &str) -> String {
    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version, "creationTimestamp": null},
        "spec": {"containers": null}, "status": {}});
    json!({"type": "BOOKMARK", "object": object}).to_string()
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": "R", "code": code})
}

fn gone() -> String {
    json!({"type": "ERROR", "object": status(410, "too old resource version: 1 (9)")}).to_string()
}

#[tokio::test]
async fn a_list_and_then_changes() {
    let changes = vec![event("ADDED", "b", "11"), event("MODIFIED", "b", "12"), event("DELETED", "a", "13")];
    let mut watch = Watch::start([list("10", &["a"]), Silent(changes)]).await;
    watch.expect([Restarted, applied("a"), Synced, applied("b"), applied("b"), Deleted("a".to_owned())]).await;
    let requests = watch.server.requests();
    let selector = "fieldSelector=spec.nodeName%3Dnode1";
    assert!(requests[0].starts_with("/api/v1/pods?") && requests[0].contains(selector), "{requests:?}");
    assert!(requests[0].contains("resourceVersion=0") && !requests[0].contains("limit="), "{requests:?}");
    assert!(requests[1].contains("watch=true") && requests[1].contains(selector), "{requests:?}");
    assert!(requests[1].contains("resourceVersion=10"), "{requests:?}");
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let torn = vec![event("ADDED", "b", "11"), event("ADDED", "c", "12")];
    let answers = [
        list("10", &[]),
        Torn(torn),
        Ended(vec![event("ADDED", "c", "12"), bookmark("20")]),
        Silent(vec![event("ADDED", "d", "21")]),
    ];
    let mut watch = Watch::start(answers).await;
    watch.expect([Restarted, Synced, applied("b"), applied("c"), applied("d")]).await;
    let requests = watch.server.requests();
    assert!(requests[2].contains("resourceVersion=11") && requests[3].contains("resourceVersion=20"), "{requests:?}");
}

#[tokio::test]
async fn a_forgotten_version_is_a_new_list_and_no_failure() {
    let whole = Whole(410, status(410, "Expired").to_string());
    let answers = [list("10", &["a"]), Ended(vec![gone()]), list("20", &["b"]), whole, list("30", &["c"])];
    let mut watch = Watch::start(answers).await;
    watch.expect([Restarted, applied("a"), Synced, Restarted, applied("b"), Synced]).await;
    watch.expect([Restarted, applied("c"), Synced]).await;
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again() {
    let forbidden = Whole(403, status(403, "pods is forbidden").to_string());
    let page = Whole(502, format!("<html>{}</html>", "Bad Gateway ".repeat(2000)));
    let ill = Whole(500, status(500, "etcd is ill").to_string());
    let mut watch =
        Watch::start([forbidden, page, list("10", &["a"]), ill, Silent(vec![event("DELETED", "a", "11")])]).await;
    watch.expect([Restarted]).await;
    watch.expect_failure("403: pods is forbidden").await;
    watch.expect([Restarted]).await;
    watch.expect_failure("502: <html>Bad Gateway").await;
    watch.expect([Restarted, applied("a"), Synced]).await;
    watch.expect_failure("500: etcd is ill").await;
    watch.expect([Deleted("a".to_owned())]).await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_a_failure_and_a_new_list() {
    let answers = [
        Whole(200, "{\"items\": 1".to_owned()),
        list("10", &[]),
        Silent(vec!["nonsense".to_owned()]),
        list("11", &["a"]),
    ];
    let mut watch = Watch::start(answers).await;
    watch.expect([Restarted]).await;
    watch.expect_failure("deserializing").await;
    watch.expect([Restarted, Synced]).await;
    watch.expect_failure("deserializing").await;
    watch.expect([Restarted, applied("a"), Synced]).await;
}

#[tokio::test]
async fn a_line_without_an_end_is_a_failure() {
    let mut watch = Watch::start([list("10", &[]), Endless, Silent(vec![event("ADDED", "a", "11")])]).await;
    watch.expect([Restarted, Synced]).await;
    watch.expect_failure("the response is too long").await;
    watch.expect([applied("a")]).await;
}

#[tokio::test]
async fn a_watch_of_many_changes_is_no_failure() {
    let many = (11..400).map(|version| event("MODIFIED", "a", &version.to_string())).collect();
    let mut watch = Watch::start([list("10", &[]), Ended(many), Silent(vec![event("ADDED", "b", "500")])]).await;
    watch.expect([Restarted, Synced]).await;
    let mut changes = 0;
    while watch.next().await == applied("a") {
        changes += 1;
    }
    assert!((100..389).contains(&changes), "{changes}");
    let requests = watch.server.requests();
    assert!(requests[2].contains(&format!("resourceVersion={}", 10 + changes)), "{requests:?}");
}

#[tokio::test]
async fn a_list_that_is_too_long_is_asked_for_in_pages() {
    let page = json!({"metadata": {"resourceVersion": "10", "continue": "next"}, "items": [pod("a", "9")]});
    let answers = [Endless, Whole(200, page.to_string()), list("10", &["b"]), Silent(vec![event("ADDED", "c", "11")])];
    let mut watch = Watch::start(answers).await;
    watch.expect([Restarted]).await;
    watch.expect_failure("the response is too long").await;
    watch.expect([Restarted, applied("a"), applied("b"), Synced, applied("c")]).await;
    let requests = watch.server.requests();
    assert!(requests[1].contains("limit=8") && requests[2].contains("continue=next"), "{requests:?}");
}

#[tokio::test]
async fn silence_ends() {
    let silent_list = Silent(vec![]);
    let mut watch =
        Watch::start([silent_list, list("10", &[]), Silent(vec![]), Silent(vec![event("ADDED", "a", "11")])]).await;
    watch.expect([Restarted]).await;
    watch.expect_failure("no answer within 0 s").await;
    watch.expect([Restarted, Synced]).await;
    watch.expect_failure("watch stream failed").await;
    watch.expect([applied("a")]).await;
}

#[tokio::test]
async fn watches_that_end_at_once_are_not_asked_for_without_a_pause() {
    let limits = RequestLimits { requests: 3, period: Duration::from_millis(500), ..LIMITS };
    let ends = (0..1000).map(|_| Ended(vec![]));
    let mut watch = Watch::start_with(limits, iter::once(list("10", &[])).chain(ends)).await;
    watch.expect([Restarted, Synced]).await;
    sleep(Duration::from_millis(750)).await;
    assert!((3..=6).contains(&watch.server.requests().len()), "{}", watch.server.requests().len());
}

#[tokio::test]
async fn nobody_there_is_a_failure_to_connect() {
    let config = Config::new("http://127.0.0.1:1".parse().unwrap());
    let kubernetes =
        Kubernetes::with_limits(config, "node1", LIMITS, iter::repeat(Duration::from_secs(9)), || {}).await.unwrap();
    let (sender, mut failures) = unbounded_channel();
    let task = tokio::spawn(kubernetes.watch(|_| (), move |error| sender.send(error).unwrap()));
    let failure = timeout(Duration::from_secs(10), failures.recv()).await.unwrap().unwrap();
    task.abort();
    assert!(
        matches!(&failure, ProviderError::Connect(error) if error.kind() == std::io::ErrorKind::ConnectionRefused),
        "{failure:?}"
    );
}

#[tokio::test]
async fn files_that_a_kubeconfig_names_are_beside_it_wherever_the_daemon_runs() {
    let cache = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["api".to_owned()]).unwrap();
    std::fs::write(cache.path().join("ca.pem"), certificate.cert.pem()).unwrap();
    let kubeconfig = cache.path().join("kubeconfig");
    let write = |authority: &str| {
        let cluster = json!({"server": "https://127.0.0.1:1", "certificate-authority": authority});
        let context = json!({"name": "c", "context": {"cluster": "k", "user": "u"}});
        let clusters = json!([{"name": "k", "cluster": cluster}]);
        let config = json!({"current-context": "c", "contexts": [context], "clusters": clusters, "users": []});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
    };
    write("ca.pem");
    assert!(Kubernetes::connect(Some(&kubeconfig), "node1", || {}).await.is_ok());
    write("other.pem");
    assert!(Kubernetes::connect(Some(&kubeconfig), "node1", || {}).await.is_err());
}

#[tokio::test]
async fn a_kubeconfig_that_is_none_is_refused() {
    for bad in ["/nonexistent", "/proc/self/cmdline"] {
        let error = Kubernetes::connect(Some(Path::new(bad)), "node1", || {}).await.err().unwrap();
        assert!(matches!(error, ProviderError::Answer(_)), "{error:?}");
    }
    assert!(!Kubernetes::is_in_cluster() || Path::new(TOKEN).exists());
}
