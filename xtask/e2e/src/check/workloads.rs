//! The workloads in the cluster, of all common kinds. Each container makes a known number of calls.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{calls, calls_and_waits};
use crate::images::BUSYBOX;

/// Number of short-lived Jobs.
pub(super) const JOBS: u64 = 50;
/// Calls of each Job's pod.
pub(super) const JOB_CALLS: u64 = 100;
/// Calls of the crashing container after each start.
pub(super) const CRASH_CALLS: u64 = 10;

/// Labels that select the series of a container, and the sum of its calls.
pub(super) const EXPECTED: [(&str, u64); 5] = [
    (r#"pod=~"web-.*",container="httpd""#, 2 * 1000),
    (r#"pod=~"web-.*",container="side""#, 2 * 2000),
    (r#"pod="guaranteed",container="c""#, 500),
    (r#"pod=~"agent-.*",container="agent""#, 700),
    (r#"pod=~"long-.*",container=~"long-.*""#, 300),
];

/// Returns the longest names that a kubelet accepts. A pod's directory name contains the pod's name, the namespace and
/// a UID. Names of containers are DNS labels.
pub(super) fn long_names() -> (String, String) {
    (format!("long-{}", "p".repeat(205)), format!("long-{}", "c".repeat(58)))
}

fn container(name: &str, script: &str) -> Value {
    json!({"name": name, "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script]})
}

fn pod(name: &str, containers: &Value) -> Value {
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": containers});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn controller(kind: &str, name: &str, mut spec: Value, containers: &Value) -> Value {
    let labels = json!({"app": name});
    spec["selector"] = json!({"matchLabels": labels});
    spec["template"] = json!({
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": containers},
    });
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn job(number: u64) -> Value {
    let spec = json!({"restartPolicy": "Never", "containers": [container("job", &calls(JOB_CALLS))]});
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": format!("job-{number}"), "namespace": "shop"},
        "spec": {"template": {"spec": spec}},
    })
}

fn documents(documents: impl IntoIterator<Item = Value>) -> String {
    documents.into_iter().fold(String::new(), |mut text, document| {
        writeln!(text, "---\n{document}").expect("writing to a string");
        text
    })
}

/// Returns all workloads that stay. JSON is YAML.
pub(super) fn lasting() -> String {
    let web = json!([container("httpd", &calls_and_waits(1000)), container("side", &calls_and_waits(2000))]);
    let mut guaranteed = container("c", &calls_and_waits(500));
    let resources = json!({"cpu": "100m", "memory": "32Mi"});
    guaranteed["resources"] = json!({"requests": resources, "limits": resources});
    let crash = format!("{}; exit 1", calls(CRASH_CALLS));
    let (long_pod, long_container) = long_names();
    documents([
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        controller("Deployment", "web", json!({"replicas": 2}), &web),
        pod("guaranteed", &json!([guaranteed])),
        controller("DaemonSet", "agent", json!({}), &json!([container("agent", &calls_and_waits(700))])),
        pod("crash", &json!([container("crash", &crash)])),
        pod(&long_pod, &json!([container(&long_container, &calls_and_waits(300))])),
    ])
}

/// Returns a pod in which a shell makes one unexpected call, and another one when the file `/go` exists. Both fail. It
/// is a child of the container's first process: calls of its children are one incident.
pub(super) fn intruded() -> String {
    let script = "(unshare -m true; until [ -e /go ]; do sleep 1; done; mount -t tmpfs none /); sleep 1000";
    documents([pod("intruded", &json!([container("c", script)]))])
}

/// Returns workloads that imitate those of a Deployment or `CronJob` by name, label or owner reference, and a real
/// `CronJob`. `uid` is the UID of the Deployment `web`.
pub(super) fn pretenders(uid: &str) -> String {
    let containers = json!([container("c", &calls_and_waits(10))]);
    let mut set = controller("ReplicaSet", "web-evil", json!({"replicas": 1}), &containers);
    set["spec"]["selector"]["matchLabels"]["pod-template-hash"] = "evil".into();
    set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = "evil".into();
    let mut claims = pod("claims", &containers);
    claims["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": true}]);
    let metadata = |name: &str| json!({"name": name, "namespace": "shop"});
    let spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": containers});
    let spec = json!({"template": {"spec": spec}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata("backup-12345678"), "spec": spec});
    let schedule = json!({"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": spec}});
    let cron =
        json!({"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": metadata("nightly"), "spec": schedule});
    documents([set, claims, job, cron])
}

/// Returns the Jobs.
pub(super) fn jobs() -> String {
    documents((0..JOBS).map(job))
}
