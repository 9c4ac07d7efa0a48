//! The checks in a cluster, in order, and checks without a separate file.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    CALL, chart,
    cluster::{self, Cluster},
    dashboards::Shown,
    enforced, events, fresh, hostile, outages, pinned, privileges, step, value,
    workloads::{self, CRASH_CALLS, EXPECTED, JOB_CALLS, JOBS},
};
use crate::{kubernetes::Node, wait::wait_for};

/// Installs the chart, runs typical workloads of a cluster, and queries Prometheus. With `only_chart`, it only installs
/// the chart in many ways.
pub(crate) fn kubernetes(root: &Path, node: &Node, only_chart: bool) -> Result<()> {
    step("the image", || cluster::import_image(root, node))?;
    chart::installs(root, node)?;
    if only_chart {
        return Ok(());
    }
    let cluster = step("the chart installs", || Cluster::start(root, node))?;
    step("a fresh installation is silent, in all namespaces", || fresh::is_silent(&cluster))?;
    step("others in its container are judged", || fresh::judges_others_in_its_container(&cluster))?;
    step("the configuration of these checks", || cluster.configure())?;
    step("its rights are to read pods and to get their controllers", || {
        privileges::only_pods_and_their_controllers(&cluster)
    })?;
    cluster.counts_by_name()?;
    step("unexpected calls, and only those, are reported with their pod", || cluster.reports_unexpected_calls())?;
    step("pods of a Deployment learn together", || cluster.learns_by_owner())?;
    cluster.shows_dashboards(root)?;
    enforced::on_a_deployment(root, &cluster)?;
    hostile::names(&cluster)?;
    hostile::owners(&cluster)?;
    outages::all(&cluster)?;
    pinned::all(&cluster)?;
    privileges::each_capability(&cluster)?;
    events::grow_with_their_incident(&cluster)
}

impl Cluster<'_> {
    /// Replaces the chart's defaults by the values that the checks require.
    fn configure(&self) -> Result<()> {
        self.install(&[])?;
        self.wait_for_daemon()?;
        self.expect_count(r#"up{job="syscallmon",instance="node1"}"#, 1)?;
        self.expect_nothing(fresh::UNEXPECTED)
    }

    fn counts_by_name(&self) -> Result<()> {
        self.node.apply(&workloads::lasting())?;
        step("every container of every kind of pod has its calls", || {
            EXPECTED.iter().try_for_each(|(selector, count)| self.expect_count(&Self::sum(selector), *count))
        })?;
        step(&format!("{JOBS} jobs that live for a moment"), || {
            self.node.apply(&workloads::jobs())?;
            // Series of the first jobs may have expired before the last job starts.
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

    fn reports_unexpected_calls(&self) -> Result<()> {
        let unexpected = r#"syscallmon_unexpected_syscalls_total{namespace="shop"}"#;
        // No namespace has unexpected calls. This includes the workloads of the cluster itself.
        self.expect_nothing(fresh::UNEXPECTED)?;
        self.node.kubectl(&["exec", "guaranteed", "--namespace=shop", "--", "unshare", "-m", "true"]).ok();
        let labels = r#"pod="guaranteed",container="c",syscall="unshare",policy="runtime-default",severity="critical""#;
        self.expect_count(&format!(r#"syscallmon_unexpected_syscalls_total{{namespace="shop",{labels}}}"#), 1)?;
        // Neither the process that ran it in the container, nor any other workload, has an unexpected call.
        self.expect_count(&format!("count({unexpected})"), 1)?;
        let lines = self.daemon_log();
        let is_it = |line: &&str| {
            line.starts_with('{') && line.contains(r#""syscall":"unshare""#) && line.contains(r#""pod":"guaranteed""#)
        };
        let line = lines.lines().find(is_it);
        let line: Value = serde_json::from_str(line.with_context(|| format!("no line of JSON in {lines}"))?)?;
        // The process has ended before the daemon can read its command line.
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
            // The kubelet reports a restart a little later than it happens.
            Ok((count >= 2 && calls >= ((count + 1) * CRASH_CALLS) as f64).then_some(()))
        })
    }

    fn no_raw_paths(&self) -> Result<()> {
        // Ten seconds after the start of the last container.
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
}
