//! Peers of `run`: clients of its address, metadata providers, and sinks.

use std::{os::unix::net::UnixStream, time::Duration};

use tokio::time::timeout;

use super::Finding::{self, Failed, Fine, Remark};
use crate::{
    alert::{self, PeerProblem},
    blocking::{self, Work},
    error_report::chain,
    settings::{Config, ListenAddress},
    workload::{
        Api,
        providers::{ProviderName, SocketChoice, can_list_pods},
    },
};

/// Deadline for a peer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks the peers of a configuration.
pub(super) async fn requirements(config: &Config) -> Vec<(&'static str, Finding)> {
    let mut findings: Vec<_> = config.listen_addresses.iter().map(|address| ("listen", listen(*address))).collect();
    for (api, choice) in config.sources.sockets() {
        let (name, choice) = (ProviderName::of(api).finding(), choice.clone());
        let socket = blocking::run(Work::Socket, name, TIMEOUT, move || socket(api, &choice)).await;
        findings.push((name, socket.unwrap_or_else(|error| Remark(format!("{error}: its containers have no names")))));
    }
    findings.push((ProviderName::Kubernetes.finding(), kubernetes(config).await));
    for (name, result) in alert::check_peers(&config.alert, TIMEOUT).await {
        findings.push((name, peer(result)));
    }
    findings
}

fn listen(address: ListenAddress) -> Finding {
    let Err(error) = address.listen() else { return Fine(address.to_string()) };
    if error.kind() == std::io::ErrorKind::AddrInUse && is_of_a_daemon(address.port()) {
        return Remark(format!("{address}: in use by a running syscallmon"));
    }
    Failed(format!("{address}: {error}: choose another address with --web.listen-address"))
}

/// Whether a running syscallmon listens on a port, and no other program.
fn is_of_a_daemon(port: u16) -> bool {
    let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let is_listening = |entry: &procfs::net::TcpNetEntry| {
        entry.state == procfs::net::TcpState::Listen && entry.local_address.port() == port
    };
    let inodes: Vec<u64> = sockets.filter(is_listening).map(|entry| entry.inode).collect();
    let has_one = |process: &procfs::process::Process| {
        process.fd().is_ok_and(|mut fds| {
            fds.any(|fd| {
                fd.is_ok_and(
                    |fd| matches!(fd.target, procfs::process::FDTarget::Socket(inode) if inodes.contains(&inode)),
                )
            })
        })
    };
    let is_daemon = |process: &procfs::process::Process| process.stat().is_ok_and(|stat| stat.comm == "syscallmon");
    let processes = procfs::process::all_processes().into_iter().flatten().flatten();
    !inodes.is_empty() && processes.filter(is_daemon).any(|process| has_one(&process))
}

/// Checks the metadata providers.
fn socket(api: Api, choice: &SocketChoice) -> Finding {
    match choice.socket(api) {
        None => Fine("off, or not installed".to_owned()),
        Some(socket) => match UnixStream::connect(&socket) {
            Ok(_) => Fine(socket.display().to_string()),
            Err(error) => Remark(format!("{}: {error}: its containers have no names", socket.display())),
        },
    }
}

async fn kubernetes(config: &Config) -> Finding {
    let sources = &config.sources;
    if !sources.asks_kubernetes() {
        return Fine("off, or not in a pod and no --kubernetes.kubeconfig".to_owned());
    }
    let asked = timeout(TIMEOUT, can_list_pods(sources.kubeconfig.as_deref(), &config.node)).await;
    match asked {
        Ok(Ok(())) => Fine(format!("watches the pods of node {}", config.node)),
        Ok(Err(error)) if error.is_temporary() => {
            Remark(format!("{}: the daemon retries until it answers", chain(&error)))
        }
        Ok(Err(error)) => Failed(chain(&error)),
        Err(_) => Remark(format!("no answer within {} s: the daemon retries until it answers", TIMEOUT.as_secs())),
    }
}

fn peer(result: Result<String, PeerProblem>) -> Finding {
    match result {
        Ok(text) => Fine(text),
        Err(PeerProblem::Away(text)) => Remark(format!("{text}: alerts wait until it is available")),
        Err(PeerProblem::Refused(text)) => Failed(text),
    }
}
