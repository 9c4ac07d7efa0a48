//! The daemon, with the Prometheus and the Alertmanager of the suite.

use std::path::Path;

use anyhow::Result;
use syscallmon_testkit::Alertmanager;

use crate::{alertmanager, check::Exporter, namespaces::Namespaces};

/// Path of the policies inside.
const POLICY_FILE: &str = "/etc/syscallmon-policies/matrix.yaml";
/// Policies of containers that do not have the built-in policy, or whose runtimes' calls are judged like their own.
const POLICIES: &str = include_str!("policies.yaml");

/// Options of the daemon: series of ended containers expire soon, alerts stay.
const OPTIONS: [&str; 5] = [
    "--workload.expire-after=5s",
    "--policy.directory=/etc/syscallmon-policies",
    "--alert.alertmanager.url",
    alertmanager::URL,
    "--alert.resolve-after=1h",
];

/// A daemon that is checked.
pub(super) struct Watch<'a> {
    pub(super) exporter: Exporter<'a>,
    pub(super) alertmanager: Alertmanager,
}

impl<'a> Watch<'a> {
    /// Starts all three in these namespaces.
    pub(super) fn start(root: &Path, namespaces: &'a Namespaces, logs: &Path) -> Result<Self> {
        namespaces.write(POLICY_FILE, POLICIES)?;
        let alertmanager = alertmanager::start_installed(namespaces, logs)?;
        let exporter = Exporter::with_options(root, namespaces, logs, &OPTIONS)?;
        Ok(Self { exporter, alertmanager })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use xtask_support::workspace;

    use super::*;

    #[test]
    fn guide_has_the_checked_policies() {
        let guide = fs::read_to_string(workspace::root().join("docs/install.md")).unwrap();
        let allowed: Vec<_> = POLICIES.lines().filter(|line| line.contains("allow:")).map(str::trim).collect();
        assert!(!allowed.is_empty());
        for line in allowed {
            assert!(guide.lines().any(|of_guide| of_guide.trim() == line), "{line}");
        }
    }
}
