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
    namespaces.run("rm", &["-rf", DIRECTORY])?;
    let configuration = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    namespaces.write(&format!("{DIRECTORY}/alertmanager.yml"), configuration)?;
    let (network, directory, logs) = (namespaces.network(), DIRECTORY.as_ref(), directories.logs.as_path());
    Alertmanager::start(namespaces.command("unshare"), &Site { network, address: ADDRESS, directory, logs })
}
