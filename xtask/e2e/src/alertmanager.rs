//! An Alertmanager without receivers inside an environment.

use std::path::Path;

use anyhow::Result;
use syscallmon_testkit::{Alertmanager, Site};

use super::namespaces::Namespaces;

/// Address at which it listens, inside the environment.
pub(crate) const URL: &str = "http://127.0.0.1:9093";
const ADDRESS: &str = "127.0.0.1:9093";
const DIRECTORY: &str = "/run/alertmanager";

/// Starts one without the state of an earlier one.
pub(crate) fn start(namespaces: &Namespaces, logs: &Path) -> Result<Alertmanager> {
    prepare(namespaces)?;
    Alertmanager::start(namespaces.command("unshare"), &site(namespaces, logs))
}

/// Starts the one that is installed in the environment, with its templates.
pub(crate) fn start_installed(namespaces: &Namespaces, logs: &Path) -> Result<Alertmanager> {
    prepare(namespaces)?;
    Alertmanager::start_installed(namespaces.command("prometheus-alertmanager"), &site(namespaces, logs))
}

fn prepare(namespaces: &Namespaces) -> Result<()> {
    namespaces.run("rm", &["-rf", DIRECTORY])?;
    let configuration = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    namespaces.write(&format!("{DIRECTORY}/alertmanager.yml"), configuration)
}

fn site<'a>(namespaces: &Namespaces, logs: &'a Path) -> Site<'a> {
    Site { network: namespaces.network(), address: ADDRESS, directory: DIRECTORY.as_ref(), logs }
}
