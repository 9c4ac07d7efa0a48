//! A Prometheus inside an environment. It scrapes the targets there, and evaluates the rules in `deploy/`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use syscallmon_testkit::{Prometheus, Site};
use xtask_support::workspace;

use super::namespaces::Namespaces;

const ADDRESS: &str = "127.0.0.1:9090";
const DIRECTORY: &str = "/run/prometheus";

/// Starts one with this configuration and the rules. Other files in the configuration are paths inside.
pub(crate) fn start(namespaces: &Namespaces, logs: &Path, configuration: &str) -> Result<Prometheus> {
    let rules = workspace::root().join("deploy/prometheus/rules.yaml");
    let rules = fs::read(&rules).with_context(|| format!("cannot read {}", rules.display()))?;
    namespaces.write(&format!("{DIRECTORY}/rules.yml"), rules)?;
    namespaces.write(&format!("{DIRECTORY}/prometheus.yml"), format!("{configuration}\nrule_files: [rules.yml]\n"))?;
    let (network, directory) = (namespaces.network(), DIRECTORY.as_ref());
    Prometheus::start(namespaces.command("prometheus"), &Site { network, address: ADDRESS, directory, logs })
}
