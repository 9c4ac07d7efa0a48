//! A node of Kubernetes, with the chart installed as its users install it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask_support::image;

use super::{
    CALL,
    dashboards::Shown,
    expect_count, expect_nothing, fresh, hostile, outages, privileges, step, value,
    workloads::{self, CRASH_CALLS, EXPECTED, JOB_CALLS, JOBS},
};
use crate::{kubernetes::Node, prometheus::Prometheus, wait::wait_for};

/// The release, its namespace and its `DaemonSet`.
const NAME: &str = "syscallmon";

/// As prometheus-operator makes it from the chart's `PodMonitor`. Debian's Prometheus cannot ask Kubernetes itself, so it is handed what
/// it would find there, in [`TARGETS`].
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

/// A cluster with syscallmon in it, and a Prometheus that scrapes it.
pub(super) struct Cluster<'a> {
    pub(super) node: &'a Node,
    pub(super) prometheus: Prometheus<'a>,
    chart: String,
}

/// Installs the chart, runs what clusters run, and asks Prometheus.
pub(crate) fn kubernetes(root: &Path, node: &Node) -> Result<()> {
    let cluster = step("the chart installs", || Cluster::start(root, node))?;
    step("a fresh installation is silent, in all namespaces", || fresh::is_silent(&cluster))?;
    step("others in its container are judged", || fresh::judges_others_in_its_container(&cluster))?;
    step("the configuration of these checks", || cluster.configure())?;
    step("its rights are to read pods and to get their controllers", || {
        privileges::only_pods_and_their_controllers(&cluster)
    })?;
    cluster.counts_by_name()?;
    step("unexpected calls, and only those, are told of with their pod", || cluster.tells_of_unexpected_calls())?;
    step("pods of a Deployment learn together", || cluster.learns_by_owner())?;
    cluster.shows_dashboards(root)?;
    hostile::names(&cluster)?;
    hostile::owners(&cluster)?;
    outages::all(&cluster)?;
    privileges::each_capability(&cluster)
}

impl<'a> Cluster<'a> {
    fn start(root: &Path, node: &'a Node) -> Result<Self> {
        let image = node.directory("image")?.join("syscallmon.tar");
        image::for_this_machine(root, &image)?;
        node.import_image(&image)?;
        let chart = root.join("deploy/helm/syscallmon");
        let chart = chart.to_str().context("the path of the repository is not UTF-8")?.to_owned();
        node.write(TARGETS, "[]")?;
        let prometheus = node.prometheus(&SCRAPE.replace("TARGETS", TARGETS))?;
        let cluster = Self { node, prometheus, chart };
        cluster.install_with(&[])?;
        cluster.wait_for_daemon()?;
        cluster.expect_count(r#"up{job="syscallmon",instance="node1"}"#, 1)?;
        Ok(cluster)
    }

    /// Changes what came with the chart to what the checks need.
    fn configure(&self) -> Result<()> {
        self.install(&[])?;
        self.wait_for_daemon()?;
        self.expect_count(r#"up{job="syscallmon",instance="node1"}"#, 1)?;
        self.expect_nothing(fresh::UNEXPECTED)
    }

    /// Changes the values of the chart, besides those that the checks need.
    pub(super) fn install(&self, values: &[&str]) -> Result<()> {
        let own = ["config.workload.expire_after=20s", "config.probe.latency=true", LEARNS];
        self.install_with(&[own.as_slice(), values].concat())
    }

    /// Installs the chart, or changes its values, all that are not its defaults.
    fn install_with(&self, values: &[&str]) -> Result<()> {
        let (repository, tag) =
            image::default_name().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).context("no tag")?;
        let repository = format!("image.repository={repository}");
        let tag = format!("image.tag={tag}");
        let mut args = vec!["upgrade", "--install", NAME, &self.chart, "--namespace", NAME, "--create-namespace"];
        for value in [repository.as_str(), &tag].into_iter().chain(values.iter().copied()) {
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

    /// Tells Prometheus of the daemon's pods.
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

    /// What the daemon has logged.
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

    /// All calls of what these labels select.
    pub(super) fn sum(selector: &str) -> String {
        format!(r#"sum(syscallmon_syscalls_total{{namespace="shop",syscall="{CALL}",{selector}}})"#)
    }

    fn counts_by_name(&self) -> Result<()> {
        self.node.apply(&workloads::lasting())?;
        step("every container of every kind of pod has its calls", || {
            EXPECTED.iter().try_for_each(|(selector, count)| self.expect_count(&Self::sum(selector), *count))
        })?;
        step(&format!("{JOBS} jobs that live for a moment"), || {
            self.node.apply(&workloads::jobs())?;
            // Those that ended first may have left before the last one starts.
            let job = format!(
                r#"syscallmon_syscalls_total{{namespace="shop",pod=~"job-.*",container="job",syscall="{CALL}"}}"#
            );
            let ever = format!("max_over_time({job}[10m])");
            self.expect_count(&format!("sum({ever})"), JOBS * JOB_CALLS)?;
            self.expect_count(&format!("count({ever} == {JOB_CALLS})"), JOBS)
        })?;
        step("a container that crashes goes on in its series", || self.crashes_add_up())?;
        step("owners, images and pause containers are known", || {
            for (owner, count) in [("Deployment\",owner=\"web", 4), ("DaemonSet\",owner=\"agent", 1)] {
                let info = format!(
                    r#"count(syscallmon_workload_info{{namespace="shop",owner_kind="{owner}",node="node1",image=~".*busybox.*"}})"#
                );
                self.expect_count(&info, count)?;
            }
            self.expect_count(r#"count(syscallmon_syscalls_total{cgroup="(pause)",syscall="execve"})"#, 1)
        })?;
        step("nothing is left under a raw path, and nothing lacks a label", || self.no_raw_paths())
    }

    fn tells_of_unexpected_calls(&self) -> Result<()> {
        let unexpected = r#"syscallmon_unexpected_syscalls_total{namespace="shop"}"#;
        // Of no namespace, also not of what the cluster runs itself.
        self.expect_nothing(fresh::UNEXPECTED)?;
        self.node.kubectl(&["exec", "guaranteed", "--namespace=shop", "--", "unshare", "-m", "true"]).ok();
        let labels = r#"pod="guaranteed",container="c",syscall="unshare",policy="runtime-default",severity="critical""#;
        self.expect_count(&format!(r#"syscallmon_unexpected_syscalls_total{{namespace="shop",{labels}}}"#), 1)?;
        // Neither what ran it in the container, nor anybody else.
        self.expect_count(&format!("count({unexpected})"), 1)?;
        let lines = self.daemon_log();
        let is_it = |line: &&str| {
            line.starts_with('{') && line.contains(r#""syscall":"unshare""#) && line.contains(r#""pod":"guaranteed""#)
        };
        let line = lines.lines().find(is_it);
        let line: Value = serde_json::from_str(line.with_context(|| format!("no line of JSON in {lines}"))?)?;
        // It is gone before anybody can ask for its command line.
        let exe = line["process"]["exe"].as_str().unwrap_or_default();
        ensure!(line["workload"]["pod"] == "guaranteed" && exe.ends_with("/busybox"), "{line}");
        Ok(())
    }

    fn learns_by_owner(&self) -> Result<()> {
        let baselines = r#"syscallmon_policy_baseline_calls{policy="learned",state="learning"}"#;
        self.expect_count(&format!(r"count({baselines})"), 1)?;
        self.expect_count(r#"count(syscallmon_policy_baseline_calls{kind="shop/Deployment/web/side"} > 0)"#, 1)
    }

    fn shows_dashboards(&self, root: &Path) -> Result<()> {
        let container_id = &self.container("app=web", "httpd")?;
        let info = format!(r#"syscallmon_workload_info{{container_id="containerd://{container_id}"}}"#);
        let pods = self.prometheus.label_values(&info, "pod")?;
        let pod = pods.last().with_context(|| format!("no pod for {info}"))?;
        let labels = [("namespace", "shop"), ("pod", pod.as_str()), ("container", "httpd")];
        Shown { root, prometheus: &self.prometheus, container_id, labels, empty_rules: &[] }.check()
    }

    fn crashes_add_up(&self) -> Result<()> {
        let restarts =
            ["get", "pod", "crash", "--namespace=shop", "-o=jsonpath={.status.containerStatuses[0].restartCount}"];
        wait_for("a second restart", Duration::from_mins(2), || {
            let count: u64 = self.node.kubectl(&restarts)?.trim().parse().unwrap_or(0);
            let calls = value(&self.prometheus, &Self::sum(r#"pod="crash",container="crash""#))?.unwrap_or_default();
            // The kubelet tells of a restart a little later than it happens.
            Ok((count >= 2 && calls >= ((count + 1) * CRASH_CALLS) as f64).then_some(()))
        })
    }

    fn no_raw_paths(&self) -> Result<()> {
        // Ten seconds after the last container started.
        std::thread::sleep(Duration::from_secs(10));
        for promql in [
            r#"syscallmon_syscalls_total{cgroup=~"/kubepods.*"}"#,
            r#"syscallmon_syscalls_total{namespace!="",pod=""}"#,
            r#"syscallmon_syscalls_total{namespace!="",container=""}"#,
            r#"syscallmon_syscalls_total{namespace="shop",cgroup!=""}"#,
        ] {
            let found = self.prometheus.query(promql)?;
            ensure!(found.is_empty(), "{promql}: {:?}", found.first());
        }
        Ok(())
    }

    /// The id of a container that runs.
    pub(super) fn container(&self, selector: &str, name: &str) -> Result<String> {
        let path = format!("-o=jsonpath={{.items[0].status.containerStatuses[?(@.name=='{name}')].containerID}}");
        let id = self.node.kubectl(&["get", "pods", "--namespace=shop", "--selector", selector, &path])?;
        Ok(id.trim().trim_start_matches("containerd://").to_owned())
    }
}

/// What containers of this name do is learned; all others have the built-in policy.
const LEARNS: &str = "config.policies[0].name=learned,config.policies[0].match[0].container=side,\
    config.policies[0].learn.quiet_for=1h";

/// What the pods of the daemon are selected by.
pub(super) const DAEMON: [&str; 3] = ["--namespace", NAME, "--selector=app.kubernetes.io/name=syscallmon"];

/// A file's text, empty if there is none.
pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
