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
    http::{Request, busybox, go, nginx, python, rust, send},
    postgres::{postgres, psql},
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
