//! A generated seccomp profile, enforced on a Deployment: the commands of the guide in `docs/profiles.md`.

use std::{path::Path, process::Output};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask_support::{arch::Arch, static_build};

use super::{
    calls,
    cluster::{Cluster, DAEMON},
    step, value,
};
use crate::{images::BUSYBOX, kubernetes::SECCOMP_PROFILES, wait::wait_for};

const NAMESPACE: &str = "--namespace=enforced";
/// Selects the workload in the daemon.
const WORKLOAD: &str = r#"--workload=namespace="enforced",owner="front""#;
const SERVER: &str = "mkdir -p /www && echo hello >/www/index.html && exec httpd -f -p 8080 -h /www";
/// What seccomp did not let run in the namespace.
const DENIED: &str = r#"sum by (syscall, errno) (syscallmon_syscalls_denied_total{namespace="enforced"})"#;
/// Calls of each load that are easy to count.
const CALLS: u64 = 50;

/// Generates a profile from a running Deployment, enforces it, and adds a call that it lacks.
pub(super) fn on_a_deployment(root: &Path, cluster: &Cluster<'_>) -> Result<()> {
    let front = Front::start(root, cluster)?;
    step("a profile is generated from a running Deployment", || {
        front.serve()?;
        front.syscallmon(&["generate", WORKLOAD, "--output", &front.file(1)], 0)?;
        front.syscallmon(&["check", WORKLOAD, &front.file(1)], 0).map(drop)
    })?;
    step("it is enforced, and no call is refused", || {
        front.enforce(1)?;
        front.serve()?;
        let denied = cluster.prometheus.query(&format!("{DENIED} > 0"))?;
        ensure!(denied.is_empty(), "calls were denied: {denied:?}");
        front.syscallmon(&["check", WORKLOAD, &front.file(1)], 0).map(drop)
    })?;
    step("a call that it lacks is found and added", || {
        ensure!(front.change_mode().is_err(), "the profile has chmod, which nobody called");
        wait_for("a denied call", super::TIMEOUT, || {
            Ok(value(&cluster.prometheus, DENIED)?.filter(|denied| *denied > 0.0))
        })?;
        let found = front.syscallmon(&["check", WORKLOAD, &front.file(1), "--suggest", &front.file(2)], 1)?;
        ensure!(found.contains("chmod") && found.contains("The profile must not be enforced."), "{found}");
        front.enforce(2)?;
        front.serve()?;
        front.change_mode()?;
        front.syscallmon(&["check", WORKLOAD, &front.file(2)], 0).map(drop)
    })?;
    cluster.node.kubectl(&["delete", "namespace", "enforced", "--wait=false"]).map(drop)
}

/// A Deployment with a web server, and the means to give it a profile.
struct Front<'a> {
    cluster: &'a Cluster<'a>,
    /// Directory of profiles, on the node as well.
    dir: std::path::PathBuf,
    binary: std::path::PathBuf,
    daemon: String,
}

impl<'a> Front<'a> {
    fn start(root: &Path, cluster: &'a Cluster<'a>) -> Result<Self> {
        let node = cluster.node;
        node.apply(&deployment())?;
        // The image of the daemon has the same binary.
        let binary = static_build::build(root, Arch::native(), None)?.daemon;
        let address = [&["get", "pods", "-o=jsonpath={.items[0].status.podIP}"], DAEMON.as_slice()].concat();
        let daemon = format!("--daemon=http://{}:9778", node.kubectl(&address)?.trim());
        let front = Self { cluster, dir: node.directory("profiles")?, binary, daemon };
        front.wait_until_ready()?;
        Ok(front)
    }

    /// Returns the path of a profile.
    fn file(&self, number: u32) -> String {
        self.dir.join(format!("front-{number}.json")).display().to_string()
    }

    fn wait_until_ready(&self) -> Result<()> {
        let status = ["rollout", "status", "deployment/front", NAMESPACE, "--timeout=90s"];
        self.cluster.node.kubectl(&status).map(drop).with_context(|| {
            self.cluster.node.kubectl(&["describe", "pods", NAMESPACE]).unwrap_or_default() + &self.cluster.daemon_log()
        })
    }

    /// Puts a profile on the node, and starts the containers again with it.
    fn enforce(&self, number: u32) -> Result<()> {
        let node = self.cluster.node;
        let installed = format!("{SECCOMP_PROFILES}/front-{number}.json");
        let mut install = node.command("install");
        install.args(["-D", "--mode=644", &self.file(number), &installed]);
        xtask_support::shell::query(&mut install, "its message says what it lacks")?;
        let profile = json!({"type": "Localhost", "localhostProfile": format!("front-{number}.json")});
        let container = json!({"name": "httpd", "securityContext": {"seccompProfile": profile}});
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string();
        node.kubectl(&["patch", "deployment", "front", NAMESPACE, "--patch", &patch])?;
        self.wait_until_ready()
    }

    /// Runs a command in the newest container.
    fn exec(&self, pod: &str, command: &[&str]) -> Result<String> {
        self.cluster.node.kubectl(&[&["exec", pod, NAMESPACE, "--"], command].concat())
    }

    fn newest_pod(&self) -> Result<String> {
        let sorted = "--sort-by=.metadata.creationTimestamp";
        let name = "-o=jsonpath={.items[-1:].metadata.name}";
        Ok(self.cluster.node.kubectl(&["get", "pods", NAMESPACE, sorted, name])?.trim().to_owned())
    }

    /// Sends requests, and waits until Prometheus has the calls of the last one.
    fn serve(&self) -> Result<()> {
        let pod = self.newest_pod()?;
        for page in ["index.html", "missing", ""] {
            let answer = self.exec(&pod, &["wget", "-q", "-O", "-", &format!("http://127.0.0.1:8080/{page}")]);
            ensure!(answer.is_ok() == (page != "missing"), "{page}: {answer:?}");
        }
        self.exec(&pod, &["sh", "-c", &calls(CALLS)])?;
        let counted = format!(r#"syscallmon_syscalls_total{{namespace="enforced",pod="{pod}",syscall="kill"}}"#);
        self.cluster.expect_count(&format!("sum({counted})"), CALLS)
    }

    fn change_mode(&self) -> Result<String> {
        self.exec(&self.newest_pod()?, &["chmod", "600", "/www/index.html"])
    }

    /// Runs a subcommand of `syscallmon profile` against the daemon. Returns what it prints.
    fn syscallmon(&self, args: &[&str], status: i32) -> Result<String> {
        let mut command = self.cluster.node.command(&self.binary);
        command.arg("profile").args(args).arg(&self.daemon);
        let Output { status: ended, stdout, stderr } = command.output().context("cannot start syscallmon")?;
        let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        ensure!(ended.code() == Some(status), "profile {args:?}: {ended}: {text}");
        Ok(text)
    }
}

/// Returns the namespace and the Deployment. JSON is YAML.
fn deployment() -> String {
    let container =
        json!({"name": "httpd", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", SERVER]});
    let labels = json!({"app": "front"});
    let pod = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    let spec = json!({
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    });
    let metadata = json!({"name": "front", "namespace": "enforced"});
    let deployment: Value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "enforced"}});
    format!("---\n{namespace}\n---\n{deployment}\n")
}
