//! Load for servers, sent from outside of their containers' cgroups. There are two loads for each server. They use the
//! same features of the server with other requests, sizes and numbers of clients.

mod http;
pub(crate) mod postgres;
pub(crate) mod redis;

use std::{path::Path, process::Command};

use anyhow::Result;
use syscallmon_testkit::Network;
use xtask_support::shell;

pub(crate) use self::{
    http::{busybox, go, nginx, python, rust},
    postgres::postgres,
    redis::redis,
};

/// Sends one of the loads.
pub(crate) type Load = fn(&Target<'_>, Phase) -> Result<()>;

/// Which load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    First,
    Second,
}

/// A server in a container, and what its clients need.
pub(crate) struct Target<'a> {
    pub(crate) network: Network,
    /// A process in its network namespace.
    pub(crate) pid: u32,
    pub(crate) port: u16,
    /// A file system with clients of databases.
    pub(crate) tree: &'a Path,
}

impl Target<'_> {
    /// Runs a client in the network of the server. Returns its output.
    pub(crate) fn client(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("timeout");
        command.args(["60", "nsenter", &format!("--net=/proc/{}/ns/net", self.pid), "chroot"]).arg(self.tree);
        shell::query(command.args(args), "the server did not do what its client asked for")
    }
}

/// One action of a client.
pub(crate) enum Action {
    Request(http::Request),
    Client(Vec<&'static str>),
}

impl Action {
    /// Returns the actions for a server, common ones first.
    pub(crate) fn of(server: &str) -> Vec<Self> {
        let client = |program: &[&'static str], words: &[&'static str]| Self::Client([program, words].concat());
        match server {
            "redis" => {
                let commands = redis::FIRST.iter().chain(redis::SECOND).map(|(command, _)| *command);
                commands.map(|command| client(&["redis-cli", "-p", "6379"], command)).collect()
            }
            "postgres" => {
                let statements = postgres::FIRST.iter().chain(&postgres::SECOND);
                statements.map(|(statements, _)| Self::Client(postgres::psql(statements))).collect()
            }
            _ => http::requests(server).map(Self::Request).collect(),
        }
    }

    /// Does it. The server may answer anything.
    pub(crate) fn run(&self, target: &Target<'_>) {
        let _ = match self {
            Self::Request(request) => target.network.run(|| http::send(target.port, request)).and_then(|sent| sent),
            Self::Client(words) => target.client(words).map(drop),
        };
    }
}
