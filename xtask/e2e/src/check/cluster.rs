//! A cluster of one node for the checks. The chart is installed as users install it.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use syscallmon_testkit::Prometheus;
use xtask_support::image;

use super::{CALL, expect_count, expect_nothing};
use crate::kubernetes::Node;

/// The release, its namespace and its `DaemonSet`.
const NAME: &str = "syscallmon";

/// The configuration that prometheus-operator makes from the chart's `PodMonitor`. Debian's Prometheus has no discovery
/// of Kubernetes, so it reads the targets from [`TARGETS`].
const SCRAPE: &str = r"
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
- job_name: podMonitor/syscallmon/syscallmon/0
  honor_labels: true
  file_sd_configs:
  - {files: [TARGETS]}
  relabel_configs:
  - {action: keep, source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name], regex: syscallmon}
  - {action: keep, source_labels: [__meta_kubernetes_pod_container_port_name], regex: metrics}
  - {action: drop, source_labels: [__meta_kubernetes_pod_phase], regex: Failed|Succeeded}
  - {target_label: job, replacement: syscallmon}
  - {target_label: instance, source_labels: [__meta_kubernetes_pod_node_name]}
";

const TARGETS: &str = "/etc/prometheus/pods.json";

/// A cluster with syscallmon, and a Prometheus that scrapes it.
pub(super) struct Cluster<'a> {
    pub(super) node: &'a Node,
    pub(super) prometheus: Prometheus,
    chart: String,
}

impl<'a> Cluster<'a> {
    /// Installs the chart with its defaults.
    pub(super) fn start(root: &Path, node: &'a Node) -> Result<Self> {
        let chart = chart(root)?;
        node.write(TARGETS, "[]")?;
        let prometheus = node.prometheus(&SCRAPE.replace("TARGETS", TARGETS))?;
        let cluster = Self { node, prometheus, chart };
        cluster.install_with(&[])?;
        cluster.wait_for_daemon()?;
        cluster.expect_count(r#"up{job="syscallmon",instance="node1"}"#, 1)?;
        Ok(cluster)
    }

    /// Changes values of the chart, and keeps the values that the checks require.
    pub(super) fn install(&self, values: &[&str]) -> Result<()> {
        // Some of the checks install what does not run.
        let own = ["config.workload.expire_after=20s", "config.probe.latency=true", LEARNS, "test.afterInstall=false"];
        self.install_with(&[own.as_slice(), values].concat())
    }

    /// Installs the chart, or upgrades it, with these values and otherwise its defaults.
    fn install_with(&self, values: &[&str]) -> Result<()> {
        let image = image_values()?;
        let mut args = vec!["upgrade", "--install", NAME, &self.chart, "--namespace", NAME, "--create-namespace"];
        for value in std::iter::once(image.as_str()).chain(values.iter().copied()) {
            args.extend(["--set", value]);
        }
        self.node.helm(&args).map(drop)
    }

    pub(super) fn wait_for_daemon(&self) -> Result<()> {
        self.node
            .kubectl(&["rollout", "status", "daemonset", NAME, "--namespace", NAME, "--timeout=90s"])
            .map(drop)
            .with_context(|| {
                self.node.kubectl(&["describe", "pods", "--namespace", NAME]).unwrap_or_default() + &self.daemon_log()
            })?;
        self.publish_targets()
    }

    /// Writes the daemon's pods as targets for Prometheus.
    fn publish_targets(&self) -> Result<()> {
        let pods = self.node.kubectl(&[&["get", "pods", "-o=json"], DAEMON.as_slice()].concat())?;
        let pods: Value = serde_json::from_str(&pods).context("cannot understand kubectl")?;
        let target = |pod: &Value| {
            let (port, labels) = (&pod["spec"]["containers"][0]["ports"][0], &pod["metadata"]["labels"]);
            let labels = json!({
                "__meta_kubernetes_pod_label_app_kubernetes_io_name": labels["app.kubernetes.io/name"],
                "__meta_kubernetes_pod_container_port_name": port["name"],
                "__meta_kubernetes_pod_phase": pod["status"]["phase"],
                "__meta_kubernetes_pod_node_name": pod["spec"]["nodeName"],
            });
            let address = format!("{}:{}", pod["status"]["podIP"].as_str()?, port["containerPort"]);
            Some(json!({"targets": [address], "labels": labels}))
        };
        let targets: Vec<Value> = pods["items"].as_array().into_iter().flatten().filter_map(target).collect();
        self.node.write(TARGETS, json!(targets).to_string())
    }

    /// Returns the daemon's log.
    pub(super) fn daemon_log(&self) -> String {
        let log = self.node.kubectl(&[
            "logs",
            "--namespace",
            NAME,
            "--selector=app.kubernetes.io/name=syscallmon",
            "--tail=50",
        ]);
        log.unwrap_or_else(|error| format!("{error:#}"))
    }

    pub(super) fn expect_count(&self, promql: &str, count: u64) -> Result<()> {
        expect_count(&self.prometheus, promql, count).with_context(|| self.daemon_log())
    }

    pub(super) fn expect_nothing(&self, promql: &str) -> Result<()> {
        expect_nothing(&self.prometheus, promql).with_context(|| self.daemon_log())
    }

    /// Returns a query for the sum of all calls of the workloads that these labels select.
    pub(super) fn sum(selector: &str) -> String {
        format!(r#"sum(syscallmon_syscalls_total{{namespace="shop",syscall="{CALL}",{selector}}})"#)
    }

    /// Returns the id of a running container.
    pub(super) fn container(&self, selector: &str, name: &str) -> Result<String> {
        let path = format!("-o=jsonpath={{.items[0].status.containerStatuses[?(@.name=='{name}')].containerID}}");
        let id = self.node.kubectl(&["get", "pods", "--namespace=shop", "--selector", selector, &path])?;
        Ok(id.trim().trim_start_matches("containerd://").to_owned())
    }
}

/// Builds syscallmon's image, and imports it.
pub(super) fn import_image(root: &Path, node: &Node) -> Result<()> {
    let image = node.directory("image")?.join("syscallmon.tar");
    image::for_this_machine(root, &image)?;
    node.import_image(&image)
}

/// Returns the path of the chart.
pub(super) fn chart(root: &Path) -> Result<String> {
    let chart = root.join("deploy/helm/syscallmon");
    Ok(chart.to_str().context("the path of the repository is not UTF-8")?.to_owned())
}

/// Returns the values that select the imported image, for `--set`.
pub(super) fn image_values() -> Result<String> {
    let name = image::default_name();
    let (repository, tag) = name.rsplit_once(':').context("no tag")?;
    Ok(format!("image.registry=,image.repository={repository},image.tag={tag}"))
}

/// Containers with this name learn. All others have the built-in policy.
const LEARNS: &str = "config.policies[0].name=learned,config.policies[0].match[0].container=side,\
    config.policies[0].learn.quiet_for=1h";

/// Arguments that select the daemon's pods.
pub(super) const DAEMON: [&str; 3] = ["--namespace", NAME, "--selector=app.kubernetes.io/name=syscallmon"];

/// Returns a file's text, or an empty text if there is no file.
pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
