//! etcd, the API server, the controllers and the scheduler.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use syscallmon_testkit::Process;

use super::{ADDRESS, ETC, certificates::kubeconfig_path};
use crate::{directories::Directories, namespaces::Namespaces, wait::wait_for};

const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";
const TIMEOUT: Duration = Duration::from_mins(2);

pub(super) struct ControlPlane {
    etcd: Process,
    api_server: RefCell<Process>,
    controllers: Option<[Process; 2]>,
    binaries: PathBuf,
    logs: PathBuf,
}

impl ControlPlane {
    /// Starts etcd and the API server.
    pub(super) fn start(namespaces: &Namespaces, directories: &Directories, binaries: &Path) -> Result<Self> {
        let mut etcd = Process::start("etcd", &mut etcd(namespaces), &directories.logs)?;
        wait_for("etcd", TIMEOUT, || {
            etcd.ensure_running()?;
            Ok(namespaces.run("etcdctl", &["--endpoints", ETCD, "endpoint", "health"]).ok().map(drop))
        })?;
        let logs = directories.logs.clone();
        let api_server = RefCell::new(start_api_server(namespaces, binaries, &logs)?);
        Ok(Self { etcd, api_server, controllers: None, binaries: binaries.to_owned(), logs })
    }

    /// Starts the controllers and the scheduler, which require a running API server.
    pub(super) fn start_controllers(&mut self, namespaces: &Namespaces) -> Result<()> {
        let start = |name: &str, client: &str| {
            let mut command = namespaces.command(self.binaries.join(name));
            for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
                command.arg(format!("--{flag}={}", kubeconfig_path(client)));
            }
            command.args(["--leader-elect=false", "--port=0", "--bind-address=127.0.0.1"]);
            command.arg(format!("--cert-dir=/run/kubernetes/{client}"));
            if client == "controller-manager" {
                command.args(["--use-service-account-credentials=true".to_owned()]);
                command.arg(format!("--root-ca-file={ETC}/pki/ca.crt"));
                command.arg(format!("--service-account-private-key-file={ETC}/pki/service-accounts.key"));
                command.arg(format!("--cluster-signing-cert-file={ETC}/pki/ca.crt"));
                command.arg(format!("--cluster-signing-key-file={ETC}/pki/ca.key"));
            }
            Process::start(name, &mut command, &self.logs)
        };
        let controllers =
            [start("kube-controller-manager", "controller-manager")?, start("kube-scheduler", "scheduler")?];
        self.controllers = Some(controllers);
        Ok(())
    }

    pub(super) fn stop_api_server(&self) {
        self.api_server.borrow_mut().kill();
    }

    pub(super) fn start_api_server(&self, namespaces: &Namespaces) -> Result<()> {
        self.api_server.replace(start_api_server(namespaces, &self.binaries, &self.logs)?);
        Ok(())
    }

    pub(super) fn ensure_running(&mut self) -> Result<()> {
        self.etcd.ensure_running()?;
        self.api_server.borrow_mut().ensure_running()?;
        self.controllers.iter_mut().flatten().try_for_each(Process::ensure_running)
    }

    /// Returns the ends of all logs.
    pub(super) fn tails(&self) -> String {
        let controllers = self.controllers.iter().flatten().map(Process::tail).collect::<String>();
        format!("{}{}{controllers}", self.etcd.tail(), self.api_server.borrow().tail())
    }
}

fn etcd(namespaces: &Namespaces) -> std::process::Command {
    let mut command = namespaces.command("etcd");
    // The data is deleted with the node, and does not need to survive a crash of the machine.
    command.args(["--name=e2e", "--data-dir=/var/lib/etcd", "--unsafe-no-fsync"]);
    command.args(["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD, "--listen-peer-urls", ETCD_PEERS]);
    command.args(["--initial-advertise-peer-urls", ETCD_PEERS, "--initial-cluster", &format!("e2e={ETCD_PEERS}")]);
    command
}

fn start_api_server(namespaces: &Namespaces, binaries: &Path, logs: &Path) -> Result<Process> {
    let mut command = namespaces.command(binaries.join("kube-apiserver"));
    command.args(["--bind-address=0.0.0.0", "--secure-port=443", "--insecure-port=0", "--allow-privileged=true"]);
    command.args(["--etcd-servers", ETCD, "--advertise-address", ADDRESS, "--service-cluster-ip-range=10.96.0.0/16"]);
    command.args(["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"]);
    command.args(["--service-account-issuer=https://kubernetes.default.svc"]);
    command.arg("--kubelet-preferred-address-types=InternalIP");
    for (flag, file) in [
        ("tls-cert-file", "api-server.crt"),
        ("tls-private-key-file", "api-server.key"),
        ("client-ca-file", "ca.crt"),
        ("service-account-key-file", "service-accounts.pub"),
        ("service-account-signing-key-file", "service-accounts.key"),
        ("kubelet-client-certificate", "api-server-to-kubelet.crt"),
        ("kubelet-client-key", "api-server-to-kubelet.key"),
    ] {
        command.arg(format!("--{flag}={ETC}/pki/{file}"));
    }
    Process::start("kube-apiserver", &mut command, logs)
}
