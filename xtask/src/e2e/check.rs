//! What is checked in each environment.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    cgroups,
    cri::{Cri, Pod},
    docker::Docker,
    images,
    kubernetes::Node,
    podman::Podman,
    wait::wait_for,
};
use crate::{cross::Arch, dist, image};

const WEB: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: sleeper, image: "localhost/busybox:1", command: [sleep, "100000"]}
"#;

/// Prometheus scrapes the daemon.
const SCRAPE: &str = r#"
global: {scrape_interval: 1s}
scrape_configs:
- {job_name: syscallmon, static_configs: [{targets: ["127.0.0.1:9778"]}]}
"#;

/// A node of Kubernetes.
pub(super) fn kubernetes(root: &Path, node: &Node) -> Result<()> {
    println!("containerd: {}\nkubelet: {}", node.socket().display(), node.kubelet_root().display());
    node.apply(WEB)?;
    node.wait_for_pods("shop", "app=web", 2)?;
    let ids = node.kubectl(&[
        "get",
        "pods",
        "--namespace=shop",
        "-o=jsonpath={.items[*].status.containerStatuses[*].containerID}",
    ])?;
    for id in ids.split_whitespace() {
        show(id.trim_start_matches("containerd://"))?;
    }
    own_image_runs(root, node)?;
    prometheus_scrapes(root, node)?;
    containers_outlive_containerd(node)?;
    api_server_comes_back(node)
}

fn own_image_runs(root: &Path, node: &Node) -> Result<()> {
    let file = node.directory("image")?.join("syscallmon.tar");
    image::for_this_machine(root, &file)?;
    node.import_image(&file)?;
    let (name, run) = (image::default_name(), ["run", "version", "--restart=Never", "--image-pull-policy=Never"]);
    node.kubectl(&[run.as_slice(), &["--image", &name, "--", "--version"]].concat())?;
    let version = wait_for("a pod's log", Duration::from_mins(1), || {
        Ok(node.kubectl(&["logs", "version"]).ok().filter(|log| !log.is_empty()))
    })?;
    println!("{}; helm {}", version.trim(), node.helm(&["version", "--short"])?.trim());
    Ok(())
}

fn prometheus_scrapes(root: &Path, node: &Node) -> Result<()> {
    let binaries = dist::released_or_built(root, &[Arch::native()])?;
    node.write("/etc/syscallmon.yaml", "")?;
    let mut daemon = node.command(&binaries[0]);
    let mut daemon = node.daemon("syscallmon", daemon.args(["run", "--config.file=/etc/syscallmon.yaml"]))?;
    let prometheus = node.prometheus(SCRAPE)?;
    let samples = wait_for("a scrape", Duration::from_secs(30), || {
        daemon.ensure_running()?;
        Ok(Some(prometheus.query("up == 1")?).filter(|samples| !samples.is_empty()))
    });
    let samples = samples.with_context(|| prometheus.tail())?;
    ensure!(samples.len() == 1 && samples[0].value > 0.0 && samples[0].labels["job"] == "syscallmon", "{samples:?}");
    Ok(())
}

fn containers_outlive_containerd(node: &Node) -> Result<()> {
    let hostname = ["exec", "--namespace=shop", "deployment/web", "--", "hostname"];
    let before = node.kubectl(&hostname)?;
    node.restart_containerd()?;
    println!("{}", node.cri()?.version()?);
    let after = wait_for("a command in the same pod", Duration::from_secs(30), || Ok(node.kubectl(&hostname).ok()))?;
    ensure!(before == after, "{before} became {after}");
    Ok(())
}

fn api_server_comes_back(node: &Node) -> Result<()> {
    node.stop_api_server();
    ensure!(node.kubectl(&["get", "nodes"]).is_err(), "somebody answers in the place of the API server");
    node.start_api_server()?;
    node.wait_for_pods("shop", "app=web", 2)
}

/// containerd with its CRI alone.
pub(super) fn containerd(cri: &Cri) -> Result<()> {
    println!("{}", cri.version()?);
    let pod = Pod::burstable("shop", "web", "5e1f7a2c-0000-4000-8000-000000000001");
    let id = cri.run_pod(&pod)?;
    let container = cri.run_container(&pod, &id, "sleeper", images::BUSYBOX, &["sleep", "100000"])?;
    show(&container)?;
    print!("{}", cri.exec(&container, &["tail", "-1", "/proc/self/cgroup"])?);
    cri.remove_pod(&id)
}

/// Docker.
pub(super) fn docker(docker: &Docker) -> Result<()> {
    println!("{}", docker.socket().display());
    show(&docker.docker(&["run", "--detach", images::BUSYBOX, "sleep", "100000"])?)
}

/// Podman.
pub(super) fn podman(podman: &Podman) -> Result<()> {
    println!("{}", podman.storage().display());
    show(&podman.podman(&["run", "--detach", images::BUSYBOX, "sleep", "100000"])?)?;
    podman.podman(&["pod", "create", "--name=web"])?;
    show(&podman.podman(&["run", "--detach", "--pod=web", images::BUSYBOX, "sleep", "100000"])?)
}

fn show(container: &str) -> Result<()> {
    let cgroups = cgroups::containing(container);
    ensure!(!cgroups.is_empty(), "no cgroup for {container}: did the runtime make one?");
    for cgroup in cgroups.iter().take(2) {
        println!("{}", cgroup.display());
    }
    Ok(())
}
