//! An Alertmanager without receivers inside an environment.

use anyhow::Result;
use syscallmon_testkit::{Alertmanager, Site};

use super::{directories::Directories, namespaces::Namespaces};

/// Address at which it listens, inside the environment.
pub(crate) const URL: &str = "http://127.0.0.1:9093";
const ADDRESS: &str = "127.0.0.1:9093";
const DIRECTORY: &str = "/run/alertmanager";

/// Starts one without the state of an earlier one.
pub(crate) fn start(namespaces: &Namespaces, directories: &Directories) -> Result<Alertmanager> {
    prepare(namespaces)?;
    Alertmanager::start(namespaces.command("unshare"), &site(namespaces, directories))
}

/// Starts the one that is installed in the environment, with its templates.
pub(crate) fn start_installed(namespaces: &Namespaces, directories: &Directories) -> Result<Alertmanager> {
    prepare(namespaces)?;
    Alertmanager::start_installed(namespaces.command("prometheus-alertmanager"), &site(namespaces, directories))
}

fn prepare(namespaces: &Namespaces) -> Result<()> {
    namespaces.run("rm", &["-rf", DIRECTORY])?;
    let configuration = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    namespaces.write(&format!("{DIRECTORY}/alertmanager.yml"), configuration)
}

fn site<'a>(namespaces: &Namespaces, directories: &'a Directories) -> Site<'a> {
    Site {
        network: namespaces.network(),
        address: ADDRESS,
        directory: DIRECTORY.as_ref(),
        logs: directories.logs.as_path(),
    }
}
