//! Debian's Alertmanager, and the alerts that it received.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::server::{Server, Site};

/// A script that runs Alertmanager with these arguments, in a separate mount namespace.
///
/// Debian's Alertmanager does not start without templates. They are in a part of the package that is not unpacked.
/// Empty templates are sufficient.
const SCRIPT: &str = "mount -t tmpfs none /usr/share && mkdir -p /usr/share/prometheus/alertmanager \
    && cd /usr/share/prometheus/alertmanager && touch default.tmpl email.tmpl && exec prometheus-alertmanager \"$@\"";

/// The same for Debian unstable's, with its templates, which are beside the program.
const NEWEST: &str = "program=$(command -v alertmanager-newest) && mount -t tmpfs none /usr/share \
    && mkdir -p /usr/share/prometheus/alertmanager && cd /usr/share/prometheus/alertmanager \
    && cp \"$program.default.tmpl\" default.tmpl && cp \"$program.email.tmpl\" email.tmpl && exec \"$program\" \"$@\"";

const WITHOUT_CLUSTER: &str = "--cluster.listen-address=";

/// A running Alertmanager. Dropping it ends it.
pub struct Alertmanager(Server);

/// An alert, identified by its labels.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// Labels of the workload and of the call.
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
}

impl Alertmanager {
    /// Starts one by a command that runs `unshare`, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time.
    pub fn start(unshare: Command, site: &Site<'_>) -> Result<Self> {
        Self::run(unshare, SCRIPT, site)
    }

    /// Starts Debian unstable's, which can send its own notifications, as [`Self::start`] does.
    ///
    /// # Errors
    ///
    /// As for [`Self::start`].
    pub fn start_newest(unshare: Command, site: &Site<'_>) -> Result<Self> {
        Self::run(unshare, NEWEST, site)
    }

    /// Starts one by a command that runs it. Its package is installed, with the templates.
    ///
    /// # Errors
    ///
    /// As for [`Self::start`].
    pub fn start_installed(mut alertmanager: Command, site: &Site<'_>) -> Result<Self> {
        alertmanager.arg(WITHOUT_CLUSTER);
        Server::start("alertmanager", alertmanager, "--storage.path", site).map(Self)
    }

    fn run(mut unshare: Command, script: &str, site: &Site<'_>) -> Result<Self> {
        unshare.args(["--mount", "sh", "-c", script, "alertmanager", WITHOUT_CLUSTER]);
        Server::start("alertmanager", unshare, "--storage.path", site).map(Self)
    }

    /// Returns its current alerts.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        let (_, answer) = self.0.get("/api/v2/alerts", &[])?;
        serde_json::from_str(&answer).with_context(|| format!("cannot understand Alertmanager: {answer}"))
    }
}
