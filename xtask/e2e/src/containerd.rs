//! containerd with its CRI plugin, for a kubelet or for a test that acts as one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use syscallmon_testkit::Process;
use xtask_support::workspace;

use super::{cri::Cri, directories::Directories, images, namespaces::Namespaces, wait::wait_for};

/// Address at which it listens, inside the environment.
pub(crate) const SOCKET: &str = "/run/containerd/containerd.sock";
/// Directory of its images and containers, inside. It is on a disk, because overlayfs does not stack.
pub(crate) const ROOT: &str = "/var/lib/containerd";
/// Cgroups that it creates for pods.
pub(crate) const CGROUPS: &[&str] = &["k8s.io", "kubepods"];
/// Directory of CNI's plugins in Debian.
const CNI_PLUGINS: &str = "/usr/lib/cni";
const CONFIG: &str = "/etc/containerd/config.toml";
/// containerd's namespace for pods.
const NAMESPACE: &str = "k8s.io";
const TIMEOUT: Duration = Duration::from_secs(30);

/// One bridge for all pods.
const NETWORK: &str = r#"{"cniVersion": "0.3.1", "name": "e2e", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}]}
"#;

/// A running containerd with our images.
pub(crate) struct Containerd {
    process: Process,
    logs: PathBuf,
}

impl Containerd {
    /// Starts it inside namespaces in which [`ROOT`] is on a disk.
    pub(crate) fn start(root: &Path, namespaces: &Namespaces, directories: &Directories) -> Result<Self> {
        let runc = workspace::find_program(root, "runc").context("no runc: run `cargo xtask setup --for e2e`")?;
        let containerd = Self::with_runtimes(namespaces, &directories.logs, &[("runc", &runc)])?;
        for image in images::write(directories)? {
            Self::import(namespaces, &image)?;
        }
        Ok(containerd)
    }

    /// Starts it with these OCI runtimes and no image. Pods have the first one unless they name another.
    pub(crate) fn with_runtimes(namespaces: &Namespaces, logs: &Path, runtimes: &[(&str, &Path)]) -> Result<Self> {
        namespaces.write(CONFIG, configuration(runtimes))?;
        namespaces.write("/etc/cni/net.d/10-e2e.conflist", NETWORK)?;
        let process = launch(namespaces, logs)?;
        let mut containerd = Self { process, logs: logs.to_owned() };
        containerd.wait_until_ready(namespaces)?;
        Ok(containerd)
    }

    /// Kills it and starts it again, as after a crash. Containers continue to run.
    pub(crate) fn restart(&mut self, namespaces: &Namespaces) -> Result<()> {
        self.process.kill();
        self.process = launch(namespaces, &self.logs)?;
        self.wait_until_ready(namespaces)
    }

    /// Imports an image in the format of `docker save`.
    pub(crate) fn import(namespaces: &Namespaces, archive: &Path) -> Result<()> {
        let archive = archive.to_str().context("the image's path is not UTF-8")?;
        namespaces.run("ctr", &["--namespace", NAMESPACE, "images", "import", archive])?;
        Ok(())
    }

    /// Returns a client of its CRI.
    pub(crate) fn cri(namespaces: &Namespaces) -> Result<Cri> {
        Cri::new(namespaces.file(SOCKET))
    }

    /// Returns the end of its log.
    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }

    fn wait_until_ready(&mut self, namespaces: &Namespaces) -> Result<()> {
        wait_for("containerd", TIMEOUT, || {
            self.process.ensure_running()?;
            Ok(namespaces.run("ctr", &["version"]).ok().map(drop))
        })
    }
}

fn launch(namespaces: &Namespaces, logs: &Path) -> Result<Process> {
    Process::start("containerd", namespaces.command("containerd").args(["--config", CONFIG]), logs)
}

/// Returns the configuration: cgroups by cgroupfs, without features that require `CAP_SYS_RESOURCE` or `AppArmor`.
fn configuration(runtimes: &[(&str, &Path)]) -> String {
    let pause = images::PAUSE;
    let default = runtimes.first().map_or("runc", |(name, _)| name);
    let of_runtime = |(name, program): &(&str, &Path)| {
        format!(
            r#"    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        BinaryName = "{}"
        SystemdCgroup = false
"#,
            program.display()
        )
    };
    let runtimes: String = runtimes.iter().map(of_runtime).collect();
    format!(
        r#"version = 2
root = "{ROOT}"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/run/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "{default}"
{runtimes}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_of_their_formats() {
        let configuration = configuration(&[("runc", Path::new("/x/runc")), ("crun", Path::new("/x/crun"))]);
        let configuration: toml::Table = configuration.parse().unwrap();
        assert_eq!(configuration["grpc"]["address"].as_str(), Some(SOCKET));
        let containerd = &configuration["plugins"]["io.containerd.grpc.v1.cri"]["containerd"];
        assert_eq!(containerd["default_runtime_name"].as_str(), Some("runc"));
        assert_eq!(containerd["runtimes"]["crun"]["options"]["BinaryName"].as_str(), Some("/x/crun"));
        let network: serde_json::Value = serde_json::from_str(NETWORK).unwrap();
        assert_eq!(network["plugins"][0]["type"], "bridge");
    }
}
