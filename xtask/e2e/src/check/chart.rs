//! Installations of the chart with files of values in its `ci/`, by both versions of helm. Each daemon must have the
//! names that its values promise, and each uninstallation must leave nothing.

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use xtask_support::{parallel, shell};

use super::{CALL, calls, calls_and_waits, cluster, step};
use crate::{
    images::BUSYBOX,
    kubernetes::{Helm, Node, SECCOMP_PROFILES},
    wait::wait_for,
};

/// An installation.
struct Release {
    /// Name of the file without its ending, and of the release.
    values: &'static str,
    helm: Helm,
    /// Texts that the metrics must have.
    has: &'static [&'static str],
    /// Texts that metrics, pod and cluster roles must not have.
    lacks: &'static [&'static str],
}

const CRI: &str = r#"syscallmon_names_source_up{source="cri"} 1"#;
const API: &str = r#"syscallmon_names_source_up{source="kubernetes"} 1"#;
/// Where the token of a service account is mounted.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const SOCKET: &str = "/run/containerd";
const CLUSTER_ROLE: &str = "clusterrole.rbac.authorization.k8s.io/";

const fn release(
    values: &'static str,
    helm: Helm,
    has: &'static [&'static str],
    lacks: &'static [&'static str],
) -> Release {
    Release { values, helm, has, lacks }
}

/// Other files need what this node lacks: `CAP_SYS_RESOURCE`, CRI-O, images, or a newer Kubernetes or containerd. The
/// releases of a batch run side by side, which takes less time: helm mostly waits for probes.
const BATCHES: [&[Release]; 4] = [
    &[
        release("defaults", Helm::V3, &[CRI, API], &[]),
        release("without-role", Helm::V4, &[CRI], &[r#"source="kubernetes""#, TOKEN, CLUSTER_ROLE]),
        release("without-socket", Helm::V3, &[API], &[r#"source="cri""#, SOCKET]),
        release("learning", Helm::V4, &[CRI, API, r#"syscallmon_alerts_queued{sink="alertmanager"} "#], &[]),
    ],
    &[
        release("labels", Helm::V3, &[CRI, API], &[]),
        release("registry", Helm::V4, &[CRI, API], &[]),
        release("extras", Helm::V3, &[r#"syscallmon_alerts_queued{sink="webhook"} "#], &[]),
        release("monitors", Helm::V4, &[CRI, API], &[]),
        release("unpinned", Helm::V4, &[CRI, API], &[]),
    ],
    &[
        release("alerts", Helm::V3, &[r#"syscallmon_alerts_queued{sink="webhook"} "#], &[]),
        release("autoscaler", Helm::V4, &[CRI, API], &[]),
        release("nodeport", Helm::V3, &[CRI, API], &[]),
        release("servicemonitor", Helm::V4, &[CRI, API], &[]),
        release(PINNED, Helm::V4, &[CRI, API], &[]),
    ],
    &[release(PINNED, Helm::V3, &[CRI, API], &[])],
];

/// The release whose programs stay in the kernel until it is uninstalled.
const PINNED: &str = "pinned";

/// The right names of the container that makes calls.
const NAMED: &str = r#"namespace="calls",pod="named",container="c""#;
/// Calls of the pod `named` after the installation of each batch.
const CALLS: u64 = 50;
/// Kinds of objects in a namespace that the chart or helm can create.
const KINDS: &str = "pods,daemonsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,\
    podmonitors,servicemonitors,prometheusrules,verticalpodautoscalers";
/// Objects of every namespace.
const OF_NAMESPACE: [&str; 3] = ["configmap/kube-root-ca.crt", "serviceaccount/default", "secret/default-token-"];
/// Kinds of the operators that the files use.
const OPERATORS: [(&str, &str, &str); 4] = [
    ("monitoring.coreos.com", "podmonitors", "PodMonitor"),
    ("monitoring.coreos.com", "servicemonitors", "ServiceMonitor"),
    ("monitoring.coreos.com", "prometheusrules", "PrometheusRule"),
    ("autoscaling.k8s.io", "verticalpodautoscalers", "VerticalPodAutoscaler"),
];
/// A setting that the schema cannot judge. The daemon refuses it.
const BAD_SETTING: &str = "config.alert.incident_window=soon";

/// Installs the chart in many ways, and checks each.
pub(super) fn installs(root: &Path, node: &Node) -> Result<()> {
    let chart = cluster::chart(root)?;
    step("kinds and images that files of values name", || prepare(node))?;
    for batch in BATCHES {
        let names: Vec<&str> = batch.iter().map(|release| release.values).collect();
        step(&format!("the chart with the values {}", names.join(", ")), || run_batch(node, &chart, batch))?;
    }
    step("no object is left", || {
        let releases: BTreeMap<&str, &Release> =
            BATCHES.iter().flat_map(|batch| *batch).map(|release| (release.values, release)).collect();
        releases.values().try_for_each(|release| release.left_nothing(node))
    })?;
    step("what stays on the node is removed as documented", || remove_files(node))?;
    step("helm fails if the daemon does not run", || fails(node, &chart))?;
    node.kubectl(&["delete", "namespace", "calls", "monitoring", "observability", "--wait=false"]).map(drop)
}

fn prepare(node: &Node) -> Result<()> {
    for (group, plural, kind) in OPERATORS {
        node.apply(&definition(group, plural, kind).to_string())?;
    }
    for namespace in ["calls", "monitoring", "observability"] {
        node.kubectl(&["create", "namespace", namespace])?;
    }
    node.tag_image(BUSYBOX, "docker.io/library/busybox:1")?;
    // The name that the values of the registry make.
    node.tag_image(&xtask_support::image::default_name(), "mirror.example:5000/team/syscallmon:1.2.3")?;
    let container = json!({
        "name": "c", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", calls_and_waits(0)],
    });
    node.apply(
        &json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "named", "namespace": "calls"},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
        })
        .to_string(),
    )?;
    node.kubectl(&["wait", "pod/named", "--namespace=calls", "--for=condition=Ready", "--timeout=60s"]).map(drop)
}

/// Returns the definition of a kind with any content.
fn definition(group: &str, plural: &str, kind: &str) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            // The API server requires it of groups that end with k8s.io.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    })
}

fn run_batch(node: &Node, chart: &str, batch: &[Release]) -> Result<()> {
    let commands = batch.iter().map(|release| release.install(node, chart)).collect::<Result<_>>()?;
    all(commands).with_context(|| batch.iter().map(|release| release.log(node)).collect::<String>())?;
    node.kubectl(&["exec", "named", "--namespace=calls", "--", "sh", "-c", &calls(CALLS)])?;
    for release in batch {
        release.check(node).with_context(|| format!("values of {}", release.values))?;
    }
    for release in batch {
        release.test(node)?;
    }
    let pinned = pins(node)?;
    ensure!(pinned.is_empty() != batch.iter().any(|release| release.values == PINNED), "pinned: {pinned}");
    all(batch.iter().map(|release| release.uninstall(node)).collect())?;
    ensure!(pins(node)?.is_empty(), "uninstalled, but pinned: {}", pins(node)?);
    Ok(())
}

/// Returns the paths of everything that pinned mode has in the kernel.
pub(super) fn pins(node: &Node) -> Result<String> {
    let mut command = node.command("find");
    shell::query(command.args(["/sys/fs/bpf", "-mindepth", "2"]), "it is a part of every system")
}

/// Runs all commands at the same time.
fn all(commands: Vec<Command>) -> Result<()> {
    let jobs = NonZeroUsize::new(commands.len()).context("there is a command")?;
    let run = |mut command: Command| shell::query(&mut command, "its message says what it lacks").map(drop);
    parallel::map(jobs, commands, run).into_iter().collect()
}

impl Release {
    /// Returns the namespace of the release.
    fn namespace(&self) -> String {
        format!("chart-{}", self.values)
    }

    /// Returns a selector of the daemon's pods, and the namespace if it is another one.
    fn selector(&self) -> String {
        format!("--selector=app.kubernetes.io/name=syscallmon,app.kubernetes.io/instance={}", self.values)
    }

    /// Returns a command of helm for the release.
    fn helm(&self, node: &Node, verb: &str) -> Command {
        let mut command = node.helm_command(self.helm);
        command.args([verb, self.values, "--namespace", &self.namespace()]);
        command
    }

    fn install(&self, node: &Node, chart: &str) -> Result<Command> {
        let mut command = self.helm(node, "install");
        command.args([chart, "--create-namespace", "--wait", "--timeout=90s"]);
        command.arg(format!("--values={chart}/ci/{}-values.yaml", self.values));
        if self.values != "registry" {
            command.args(["--set", &cluster::image_values()?]);
        }
        Ok(command)
    }

    /// Returns the last lines of the daemon.
    fn log(&self, node: &Node) -> String {
        let args =
            ["logs", "--tail=20", "--prefix", "--all-containers", "--namespace", &self.namespace(), &self.selector()];
        node.kubectl(&args).unwrap_or_default()
    }

    fn uninstall(&self, node: &Node) -> Command {
        let mut command = self.helm(node, "uninstall");
        command.args(["--wait", "--timeout=60s"]);
        command
    }

    /// Checks the only pod, its metrics, and the rights in the cluster.
    fn check(&self, node: &Node) -> Result<()> {
        let pods = node.kubectl(&["get", "pods", "--all-namespaces", "-o=json", &self.selector()])?;
        let pods: Value = serde_json::from_str(&pods).context("cannot understand kubectl")?;
        let [pod] = pods["items"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(anyhow!("not one pod: {pods}"));
        };
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let is_ready = conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        ensure!(is_ready, "helm has not waited: {}", pod["status"]);
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:9778/proxy/metrics");
        let metrics = wait_for("the calls of the pod `named`", Duration::from_secs(20), || {
            let metrics = node.kubectl(&["get", "--raw", &path])?;
            let found = named_calls(&metrics);
            ensure!(found <= CALLS, "{found} calls, more than {CALLS}");
            Ok((found == CALLS).then_some(metrics))
        })?;
        for text in self.has {
            ensure!(metrics.contains(text), "the metrics lack {text}");
        }
        let roles = node.kubectl(&["get", "clusterroles", "-o=name", &self.selector()])?;
        let whole = format!("{}{metrics}{roles}", pod["spec"]);
        for text in self.lacks {
            ensure!(!whole.contains(text), "there is {text}");
        }
        Ok(())
    }

    /// Runs `helm test`. Without `--logs`: helm may delete the pod before it reads the pod's log.
    fn test(&self, node: &Node) -> Result<()> {
        let said = shell::query(&mut self.helm(node, "test"), "its message says why")?;
        let succeeded = said.lines().any(|line| line.starts_with("Phase:") && line.ends_with("Succeeded"));
        ensure!(succeeded, "helm test {}: {said}", self.values);
        Ok(())
    }

    fn left_nothing(&self, node: &Node) -> Result<()> {
        let namespace = self.namespace();
        let own = ["get", KINDS, "--ignore-not-found", "-o=name", "--namespace", &namespace];
        let all = ["get", KINDS, "--ignore-not-found", "-o=name", "--all-namespaces", &self.selector()];
        let cluster = ["get", "clusterroles,clusterrolebindings", "-o=name", &self.selector()];
        let mut last = String::new();
        // The kubelet may need a minute, until its garbage collection, to remove a pod.
        wait_for("the end of the release", Duration::from_mins(2), || {
            last = node.kubectl(&own)? + &node.kubectl(&all)? + &node.kubectl(&cluster)?;
            let is_left = last.lines().any(|name| !OF_NAMESPACE.iter().any(|known| name.starts_with(known)));
            Ok((!is_left).then_some(()))
        })
        .with_context(|| format!("{} left {last}", self.values))?;
        node.kubectl(&["delete", "namespace", &namespace, "--wait=false"]).map(drop)
    }
}

/// Returns the number of calls with the right names.
fn named_calls(metrics: &str) -> u64 {
    let series = format!(r#"syscallmon_syscalls_total{{{NAMED},syscall="{CALL}","#);
    let values = metrics.lines().filter_map(|line| line.strip_prefix(&series)?.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}

/// Checks what is left on the node, and runs the command of docs/install.md.
fn remove_files(node: &Node) -> Result<()> {
    let find = || {
        let mut command = node.command("find");
        command.args(["/var/lib", "-maxdepth", "3", "-path", "*syscallmon*", "-prune"]);
        shell::query(&mut command, "it is a part of every system")
    };
    let profile = format!("{SECCOMP_PROFILES}/syscallmon.json");
    let found = find()?;
    let mut left: Vec<&str> = found.lines().collect();
    left.sort_unstable();
    ensure!(left == [profile.as_str(), "/var/lib/syscallmon"], "these files are left: {left:?}");
    shell::query(node.command("rm").args(["-rf", &profile, "/var/lib/syscallmon"]), "it is a part of every system")?;
    ensure!(find()?.is_empty(), "rm left {}", find()?);
    Ok(())
}

/// Checks that both versions of helm fail, since the only pod never becomes ready, and that `helm test` says why.
fn fails(node: &Node, chart: &str) -> Result<()> {
    let values = format!("{},{BAD_SETTING},test.wait=3s", cluster::image_values()?);
    let releases = [release("crash-3", Helm::V3, &[], &[]), release("crash-4", Helm::V4, &[], &[])];
    let install = |release: &Release| {
        let mut command = release.helm(node, "install");
        command.args([chart, "--create-namespace", "--wait", "--timeout=15s", "--set", &values]);
        command
    };
    let outputs =
        parallel::map(NonZeroUsize::MIN.saturating_add(1), releases.iter().map(install).collect(), |mut c| c.output());
    for (release, output) in releases.iter().zip(outputs) {
        let output = output.context("cannot start helm")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "{:?} installs a daemon that does not run", release.helm);
        ensure!(said.contains("INSTALLATION FAILED"), "{:?}: {said}", release.helm);
    }
    let output = releases[0].helm(node, "test").args(["--logs", "--timeout=30s"]).output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(!output.status.success() && said.contains("0 of 1 pods are ready, 1 are required"), "helm test: {said}");
    all(releases.iter().map(|release| release.uninstall(node)).collect())?;
    for release in releases {
        // The test's pod stays for its log.
        node.kubectl(&["delete", "namespace", &release.namespace(), "--wait=false"])?;
    }
    Ok(())
}
