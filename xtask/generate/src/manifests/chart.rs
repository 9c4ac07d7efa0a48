//! The chart, and the helm versions that make manifests from it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use xtask_support::{clients::Clients, shell};

/// The newest Kubernetes version for which manifests are made and checked.
pub(super) const KUBERNETES: &str = "1.37";
/// The oldest Kubernetes version that the chart supports.
pub(super) const OLDEST: &str = "1.20";

const REMEDY: &str = "mend the chart in deploy/helm/syscallmon";

/// The chart.
pub(super) struct Chart {
    directory: PathBuf,
    /// One helm of each major version in use, the newest first.
    pub(super) helms: [Helm; 2],
}

/// A helm program.
pub(super) struct Helm {
    /// Name for messages.
    pub(super) name: &'static str,
    program: PathBuf,
}

impl Chart {
    /// Fetches the helm programs.
    pub(super) fn new(root: &Path) -> Result<Self> {
        let helm_4 = Helm { name: "helm 4", program: Clients::fetch_newest(root)?.helm };
        let helm_3 = Helm { name: "helm 3", program: Clients::fetch(root)?.helm };
        Ok(Self { directory: root.join("deploy/helm/syscallmon"), helms: [helm_4, helm_3] })
    }

    /// Returns helm's manifests for the chart.
    pub(super) fn template(&self, helm: &Helm, release: &str, args: &[&str]) -> Result<String> {
        shell::query(&mut self.template_command(helm, release, args), REMEDY)
    }

    /// Returns helm's error message, or `None` if helm accepts the arguments.
    pub(super) fn refusal(&self, helm: &Helm, args: &[&str]) -> Result<Option<String>> {
        let mut command = self.template_command(helm, "release", args);
        let output = command.output().with_context(|| format!("cannot start {}", helm.name))?;
        Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// Checks the chart with these values by `helm lint`.
    pub(super) fn lint(&self, helm: &Helm, args: &[&str]) -> Result<()> {
        let mut command = helm.command();
        command.args(["lint", "--strict", "--quiet"]).arg(&self.directory).args(args);
        // helm writes its findings to its standard output.
        let output = command.output().with_context(|| format!("cannot start {}", helm.name))?;
        let said = [output.stdout, output.stderr].concat();
        anyhow::ensure!(
            output.status.success(),
            "{} lint {}: {}: {REMEDY}",
            helm.name,
            args.join(" "),
            String::from_utf8_lossy(&said).trim()
        );
        Ok(())
    }

    fn template_command(&self, helm: &Helm, release: &str, args: &[&str]) -> Command {
        let mut command = helm.command();
        command.args(["template", release]).arg(&self.directory).args(args);
        command
    }
}

impl Helm {
    /// Returns a command that ignores the user's settings.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let settings = env::vars_os().map(|(key, _)| key).filter(|key| key.as_encoded_bytes().starts_with(b"HELM_"));
        settings.for_each(|key| {
            command.env_remove(key);
        });
        command
    }
}
