//! Flags for the daemon that a command connects to.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use http::Uri;

use super::daemon::{Daemon, DaemonFlags};
use crate::client::http::HttpClientConfig;

/// Where a daemon listens by default.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:9778";

/// Names of the flags below.
const FLAGS: DaemonFlags =
    DaemonFlags { url: "--url", username: "--username", password_file: "--password-file", ca_file: "--ca-file" };

/// Address of the daemon, and credentials.
#[derive(Clone, Debug, Args)]
pub(super) struct DaemonArgs {
    /// URL of the daemon; by default `http://127.0.0.1:9778`.
    #[arg(long, alias = "daemon", value_name = "URL", global = true)]
    pub(super) url: Option<Uri>,
    /// User name, as in the web.config.file of the daemon.
    #[arg(long, value_name = "NAME", global = true, requires = "password_file")]
    username: Option<String>,
    /// File with the password.
    #[arg(long, value_name = "FILE", global = true, requires = "username")]
    password_file: Option<PathBuf>,
    /// File with CA certificates (PEM) for the daemon; by default those of the host.
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
}

impl DaemonArgs {
    fn url(&self) -> Uri {
        self.url.clone().unwrap_or_else(|| Uri::from_static(DEFAULT_URL))
    }

    /// Returns the daemon.
    pub(super) fn daemon(&self) -> Daemon {
        let basic = self.username.clone().zip(self.password_file.clone());
        let client_config = HttpClientConfig { ca_file: self.ca_file.clone(), bearer_token_file: None, basic };
        Daemon { url: self.url(), client_config, flags: FLAGS }
    }

    /// Returns the daemon at another address, with the same scheme, path and credentials.
    ///
    /// # Errors
    ///
    /// If the URL has no scheme.
    pub(super) fn daemon_at(&self, address: SocketAddr) -> Result<Daemon> {
        let mut url = self.url().into_parts();
        url.authority = address.to_string().parse().ok();
        let url = Uri::from_parts(url).context("--url requires http:// or https://")?;
        Ok(Daemon { url, ..self.daemon() })
    }
}
