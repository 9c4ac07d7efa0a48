//! Podman with runc and crun. It needs no daemon and no socket for its containers.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use syscallmon_testkit::Process;
use xtask_support::workspace;

use super::{directories::Directories, images, namespaces::Namespaces, wait::wait_for};

const ROOT: &str = "/var/lib/containers";
/// Debian 12's Podman, which is unpacked here without netavark.
const NETWORK: &str = "[network]\nnetwork_backend = \"cni\"\n";
/// A policy that admits images without signatures, for `/etc/containers/policy.json`.
pub(crate) const ADMIT_ALL: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;

/// A Podman with our images. Its containers end when it is dropped.
pub(crate) struct Podman {
    // Dropped first: all processes end with the namespaces.
    namespaces: Namespaces,
    directories: Directories,
}

impl Podman {
    /// Prepares one.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let directories = Directories::claim(root, "podman", &["libpod_parent"])?;
        let namespaces = Namespaces::start(root, &[(&directories.directory("containers")?, ROOT)])?;
        let runtime = |name: &str| {
            let missing = || format!("no {name}: run `cargo xtask setup --for e2e`");
            workspace::find_program(root, name).with_context(missing)
        };
        let (runc, crun) = (runtime("runc")?, runtime("crun")?);
        namespaces.write("/etc/containers/policy.json", ADMIT_ALL)?;
        namespaces.write("/etc/containers/storage.conf", "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n")?;
        namespaces.write("/etc/containers/containers.conf", configuration(&runc, &crun) + NETWORK)?;
        let podman = Self { namespaces, directories };
        for image in images::write(&podman.directories)? {
            podman.load(&image)?;
        }
        Ok(podman)
    }

    /// Runs `podman` with these arguments. Returns its output.
    pub(crate) fn podman(&self, args: &[&str]) -> Result<String> {
        Ok(self.namespaces.run("podman", args)?.trim_end().to_owned())
    }

    /// Runs `podman --runtime=crun` where cgroup2 alone is mounted: crun refuses hosts that also have hierarchies of
    /// version 1. The mount is in a mount namespace of its own; the host's mounts stay as they are.
    pub(crate) fn with_crun(&self, args: &[&str]) -> Result<String> {
        const SCRIPT: &str = r#"mount -t cgroup2 none /sys/fs/cgroup && exec podman --runtime=crun "$@""#;
        let args = [&["--mount", "sh", "-c", SCRIPT, "sh"], args].concat();
        Ok(self.namespaces.run("unshare", &args)?.trim_end().to_owned())
    }

    /// Loads an image in the format of `docker save`.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        self.podman(&["load", "--quiet", "--input", archive.to_str().context("the image's path is not UTF-8")?])?;
        Ok(())
    }

    /// Serves its API at the usual path.
    pub(crate) fn serve(&self) -> Result<Process> {
        let mut command = self.namespaces.command("podman");
        command.args(["system", "service", "--time=0", "unix:///run/podman/podman.sock"]);
        self.namespaces.run("mkdir", &["-p", "/run/podman"])?;
        let service = Process::start("podman", &mut command, &self.directories.logs)?;
        let socket = self.namespaces.file("/run/podman/podman.sock");
        wait_for("Podman's socket", Duration::from_secs(30), || Ok(socket.exists().then_some(())))?;
        Ok(service)
    }

    /// Returns its namespaces.
    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Returns its directories.
    pub(crate) fn directories(&self) -> &Directories {
        &self.directories
    }

    /// Returns the command to enter it from outside.
    pub(crate) fn how_to_enter(&self) -> String {
        self.namespaces.how_to_enter()
    }
}

/// Returns the configuration: limits that a machine without `CAP_SYS_RESOURCE` can set, and no network, because the
/// tests do not require one. The paths are those of the OCI runtimes.
pub(crate) fn configuration(runc: &Path, crun: &Path) -> String {
    let (pause, runc, crun) = (images::PAUSE, runc.display(), crun.display());
    format!(
        r#"[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
apparmor_profile = "unconfined"
netns = "none"
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "{pause}"
[engine.runtimes]
runc = ["{runc}"]
crun = ["{crun}"]
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_toml() {
        let configuration = configuration(Path::new("/x/runc"), Path::new("/x/crun")) + NETWORK;
        let configuration: toml::Table = configuration.parse().unwrap();
        assert_eq!(configuration["engine"]["cgroup_manager"].as_str(), Some("cgroupfs"));
    }
}
