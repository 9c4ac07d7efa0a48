//! The node as a whole. It starts in the fastest order, and the kernel ends it.

use std::{
    cell::RefCell,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use syscallmon_testkit::{Process, Prometheus};
use xtask_support::clients::Clients;

use super::{ADDRESS, NODE, SERVICE_ADDRESS, build, certificates, control_plane::ControlPlane, kubelet};
use crate::{
    containerd::{self, Containerd},
    cri::Cri,
    directories::Directories,
    namespaces::Namespaces,
    prometheus,
    wait::wait_for,
};

const TIMEOUT: Duration = Duration::from_mins(2);
/// Cgroups that the kubelet creates.
const CGROUPS: &[&str] = &["kubepods"];

/// A running node. All of it ends when it is dropped, and at the latest with this program.
pub(crate) struct Node {
    // Dropped first: all processes end with the namespaces.
    namespaces: Namespaces,
    control_plane: ControlPlane,
    containerd: RefCell<Containerd>,
    kubelet: RefCell<Process>,
    binaries: PathBuf,
    clients: Clients,
    helm_4: PathBuf,
    directories: Directories,
}

/// A version of helm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Helm {
    V3,
    V4,
}

impl Node {
    /// Starts one, and waits until pods can run on it.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let clients = Clients::fetch(root)?;
        let helm_4 = Clients::fetch_newest(root)?.helm;
        let binaries = build::binaries(root)?;
        let directories = Directories::claim(root, "kubernetes", CGROUPS)?;
        let begin = Instant::now();
        let say = |what: &str| eprintln!("{:5.1} s {what}", begin.elapsed().as_secs_f64());
        let disks = [
            (directories.directory("containerd")?, containerd::ROOT),
            (directories.directory("kubelet")?, kubelet::ROOT),
        ];
        let namespaces = Namespaces::start(root, &disks.each_ref().map(|(dir, inside)| (dir.as_path(), *inside)))?;
        add_network(&namespaces)?;
        certificates::write(&namespaces)?;
        say("namespaces and certificates");
        let mut control_plane = ControlPlane::start(&namespaces, &directories, &binaries)?;
        // Starts while the API server initializes.
        let containerd = RefCell::new(Containerd::start(root, &namespaces, &directories)?);
        say("etcd and containerd");
        wait_for("the API server", TIMEOUT, || {
            control_plane.ensure_running()?;
            Ok(kubectl(&namespaces, &clients, &["get", "--raw", "/readyz"]).ok())
        })?;
        say("API server");
        control_plane.start_controllers(&namespaces)?;
        let kubelet = RefCell::new(kubelet::start(&namespaces, &directories, &binaries)?);
        let mut node = Self { namespaces, control_plane, containerd, kubelet, binaries, clients, helm_4, directories };
        if let Err(error) = node.wait_until_ready() {
            bail!("{error:#}\n{}", node.tails());
        }
        say("node is ready");
        Ok(node)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ready = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        wait_for("the node", TIMEOUT, || {
            self.control_plane.ensure_running()?;
            self.kubelet.borrow_mut().ensure_running()?;
            Ok(self.kubectl(&["get", "node", NODE, ready]).ok().filter(|status| status == "True"))
        })?;
        wait_for("the default service account", TIMEOUT, || {
            self.control_plane.ensure_running()?;
            Ok(self.kubectl(&["get", "serviceaccount", "default"]).ok())
        })?;
        Ok(())
    }

    /// Runs kubectl as the cluster's administrator. Returns its output.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Result<String> {
        kubectl(&self.namespaces, &self.clients, args)
    }

    /// Creates or changes the described objects.
    pub(crate) fn apply(&self, yaml: &str) -> Result<()> {
        let mut command = kubectl_command(&self.namespaces, &self.clients);
        command.args(["apply", "--filename=-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start kubectl: is util-linux installed?")?;
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(yaml.as_bytes()).context("kubectl does not read")?;
        drop(input);
        let output = child.wait_with_output().context("cannot wait for kubectl")?;
        if !output.status.success() {
            bail!("kubectl apply failed: {}: mend the manifest", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs helm 3 as the cluster's administrator. Returns its output.
    pub(crate) fn helm(&self, args: &[&str]) -> Result<String> {
        xtask_support::shell::query(self.helm_command(Helm::V3).args(args), "its message says what it lacks")
    }

    /// Returns a command for helm as the cluster's administrator.
    pub(crate) fn helm_command(&self, version: Helm) -> Command {
        let program = match version {
            Helm::V3 => &self.clients.helm,
            Helm::V4 => &self.helm_4,
        };
        let mut command = self.command(program);
        command.env("KUBECONFIG", certificates::kubeconfig_path("admin"));
        for directory in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{directory}_HOME"), "/run/helm");
        }
        command
    }

    /// Returns a command that runs a program as if on this node.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.namespaces.command(program)
    }

    /// Writes a file on the node.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.namespaces.write(path, content)
    }

    /// Kills the API server, as if its machine had failed.
    pub(crate) fn stop_api_server(&self) {
        self.control_plane.stop_api_server();
    }

    /// Starts the API server again, and waits until it answers.
    pub(crate) fn start_api_server(&self) -> Result<()> {
        self.control_plane.start_api_server(&self.namespaces)?;
        wait_for("the API server", TIMEOUT, || Ok(self.kubectl(&["get", "--raw", "/readyz"]).ok().map(drop)))
    }

    /// Kills containerd and starts it again. Containers continue to run.
    pub(crate) fn restart_containerd(&self) -> Result<()> {
        self.containerd.borrow_mut().restart(&self.namespaces)
    }

    /// Kills the kubelet and starts it again. Pods continue to run.
    pub(crate) fn restart_kubelet(&self) -> Result<()> {
        let mut kubelet = self.kubelet.borrow_mut();
        kubelet.kill();
        *kubelet = kubelet::launch(&self.namespaces, &self.directories, &self.binaries)?;
        Ok(())
    }

    /// Imports an image in the format of `docker save`.
    pub(crate) fn import_image(&self, archive: &Path) -> Result<()> {
        Containerd::import(&self.namespaces, archive)
    }

    /// Gives an image another name.
    pub(crate) fn tag_image(&self, name: &str, other: &str) -> Result<()> {
        self.namespaces.run("ctr", &["--namespace=k8s.io", "images", "tag", name, other]).map(drop)
    }

    /// Returns a client of the kubelet's container runtime.
    pub(crate) fn cri(&self) -> Result<Cri> {
        Containerd::cri(&self.namespaces)
    }

    /// Starts a Prometheus on the node.
    pub(crate) fn prometheus(&self, configuration: &str) -> Result<Prometheus> {
        prometheus::start(&self.namespaces, &self.directories.logs, configuration)
    }

    /// Creates a directory that is removed with the node. Its path inside is the same.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        self.directories.directory(name)
    }

    /// Returns the path of the administrator's kubeconfig, inside.
    fn kubeconfig() -> String {
        certificates::kubeconfig_path("admin")
    }

    /// Returns the command for kubectl as the administrator, in a shell inside.
    pub(crate) fn kubectl_in_shell(&self) -> String {
        format!("{} --kubeconfig {}", self.clients.kubectl.display(), Self::kubeconfig())
    }

    /// Returns the command to use the node from outside.
    pub(crate) fn how_to_use(&self) -> String {
        let (enter, kubectl) = (self.namespaces.how_to_enter(), self.clients.kubectl.display());
        format!("{enter} {kubectl} --kubeconfig {}", certificates::kubeconfig_path("admin"))
    }

    /// Returns the ends of all logs.
    pub(crate) fn tails(&self) -> String {
        format!("{}{}{}", self.control_plane.tails(), self.containerd.borrow().tail(), self.kubelet.borrow().tail())
    }
}

fn kubectl(namespaces: &Namespaces, clients: &Clients, args: &[&str]) -> Result<String> {
    xtask_support::shell::query(kubectl_command(namespaces, clients).args(args), "its message says what it lacks")
}

fn kubectl_command(namespaces: &Namespaces, clients: &Clients) -> Command {
    let mut command = namespaces.command(&clients.kubectl);
    command.args(["--kubeconfig", &certificates::kubeconfig_path("admin"), "--cache-dir=/run/kubectl"]);
    command
}

/// Adds the node's network card, and the address of the service `kubernetes`.
fn add_network(namespaces: &Namespaces) -> Result<()> {
    for args in [
        ["link", "add", "node0", "type", "veth", "peer", "name", "node0-peer"].as_slice(),
        &["link", "set", "node0-peer", "up"],
        &["address", "add", &format!("{ADDRESS}/24"), "dev", "node0"],
        &["address", "add", &format!("{SERVICE_ADDRESS}/32"), "dev", "node0"],
        &["link", "set", "node0", "up"],
    ] {
        namespaces.run("ip", args)?;
    }
    Ok(())
}
