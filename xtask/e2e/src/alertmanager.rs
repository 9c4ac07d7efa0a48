//! A real Alertmanager inside an environment, and the alerts that it received.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use serde::Deserialize;
use syscallmon_testkit::alertmanager::SCRIPT;

use super::{directories::Directories, namespaces::Namespaces, process::Process, wait::wait_for};

/// Address at which it listens, inside the environment.
pub(crate) const URL: &str = "http://127.0.0.1:9093";
const ADDRESS: &str = "127.0.0.1:9093";
const CONFIG: &str = "/etc/prometheus/alertmanager.yml";
const TIMEOUT: Duration = Duration::from_secs(30);

/// An Alertmanager without receivers.
pub(crate) struct Alertmanager<'a> {
    namespaces: &'a Namespaces,
    process: Process,
}

/// An alert, identified by its labels.
#[derive(Debug, Deserialize)]
pub(crate) struct Alert {
    pub(crate) labels: BTreeMap<String, String>,
}

impl<'a> Alertmanager<'a> {
    /// Starts one without the state of an earlier one.
    pub(crate) fn start(namespaces: &'a Namespaces, directories: &Directories) -> Result<Self> {
        namespaces.write(CONFIG, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")?;
        namespaces.run("rm", &["-rf", "/run/alertmanager"])?;
        let mut command = namespaces.command("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "alertmanager"]);
        command.args([&format!("--config.file={CONFIG}"), &format!("--web.listen-address={ADDRESS}")]);
        command.args(["--cluster.listen-address=", "--storage.path=/run/alertmanager"]);
        let process = Process::start("alertmanager", &mut command, &directories.logs)?;
        let mut alertmanager = Self { namespaces, process };
        wait_for("Alertmanager", TIMEOUT, || {
            alertmanager.process.ensure_running()?;
            Ok(alertmanager.alerts().ok().map(drop))
        })?;
        Ok(alertmanager)
    }

    /// Kills it, as in an outage.
    pub(crate) fn stop(mut self) {
        self.process.kill();
    }

    /// Returns its current alerts.
    pub(crate) fn alerts(&self) -> Result<Vec<Alert>> {
        let answer = self.namespaces.get(&format!("{URL}/api/v2/alerts"), &[])?;
        serde_json::from_str(&answer).with_context(|| format!("cannot understand Alertmanager: {answer}"))
    }
}
