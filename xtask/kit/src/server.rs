//! Servers with the conventions of Prometheus: flags, a configuration file, readiness.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{network::Network, process::Process, wait::try_wait_for};

const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Where a server listens, and where its files are.
pub struct Site<'a> {
    /// The network in which it listens.
    pub network: Network,
    /// Its address, as `host:port`.
    pub address: &'a str,
    /// Directory of its configuration, `NAME.yml`, and its data. The path is the one that the server sees.
    pub directory: &'a Path,
    /// Directory of its log, `NAME.log`, on this host.
    pub logs: &'a Path,
}

/// A server that is ready. Dropping it ends it.
pub(crate) struct Server {
    process: Process,
    network: Network,
    url: String,
}

impl Server {
    /// Starts one by a command that runs it, and waits until it is ready. `data` is the flag for its data.
    pub(crate) fn start(name: &str, mut command: Command, data: &str, site: &Site<'_>) -> Result<Self> {
        command.arg(format!("--config.file={}", site.directory.join(name).with_extension("yml").display()));
        command.arg(format!("{data}={}", site.directory.join("data").display()));
        command.arg(format!("--web.listen-address={}", site.address));
        let process = Process::start(name, &mut command, site.logs)?;
        let mut server = Self { process, network: site.network, url: format!("http://{}", site.address) };
        try_wait_for(name, TIMEOUT, PAUSE, || {
            server.process.ensure_running()?;
            Ok(server.get("/-/ready", &[]).ok().filter(|(status, _)| *status == 200))
        })?;
        Ok(server)
    }

    /// Returns the status and the body of an answer.
    pub(crate) fn get(&self, path: &str, args: &[(&str, &str)]) -> Result<(u16, String)> {
        self.network.get(&format!("{}{path}", self.url), args)
    }
}
