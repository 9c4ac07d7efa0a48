//! What is checked in each environment.

use anyhow::{Result, ensure};

use super::{
    cgroups,
    cri::{Cri, Pod},
    docker::Docker,
    images,
    kubernetes::Node,
    podman::Podman,
};

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

/// Prometheus scrapes itself.
const SCRAPE: &str = r#"
global: {scrape_interval: 1s}
scrape_configs:
- {job_name: prometheus, static_configs: [{targets: ["127.0.0.1:9090"]}]}
"#;

/// A node of Kubernetes.
pub(super) fn kubernetes(node: &Node) -> Result<()> {
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
    Ok(())
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
    show(&docker.docker(&["run", "--detach", images::BUSYBOX, "sleep", "100000"])?)
}

/// Podman.
pub(super) fn podman(podman: &Podman) -> Result<()> {
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
