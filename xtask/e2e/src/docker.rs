//! Debian's dockerd, with its default bridge in a separate network namespace.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};

use super::{directories::Directories, images, namespaces::Namespaces, process::Process, wait::wait_for};

/// Path of its socket, inside the environment.
pub(crate) const SOCKET: &str = "/run/docker.sock";
const ROOT: &str = "/var/lib/docker";
const TIMEOUT: Duration = Duration::from_mins(1);

/// A running dockerd. All processes that it started end with it.
pub(crate) struct Docker {
    // Dropped first: all processes end with the namespaces.
    namespaces: Namespaces,
    process: Process,
    directories: Directories,
}

impl Docker {
    /// Starts one and loads our images.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let directories = Directories::claim(root, "docker", &["docker"])?;
        let namespaces = Namespaces::start(root, &[(&directories.directory("docker")?, ROOT)])?;
        let mut dockerd = namespaces.command("dockerd");
        dockerd.args(["--host", &format!("unix://{SOCKET}"), "--storage-driver=overlay2", "--userland-proxy=false"]);
        // There is no systemd inside.
        dockerd.args([
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--exec-root=/run/docker",
            "--pidfile=/run/docker.pid",
        ]);
        let process = Process::start("dockerd", &mut dockerd, &directories.logs)?;
        let mut docker = Self { namespaces, process, directories };
        wait_for("dockerd", TIMEOUT, || {
            docker.process.ensure_running()?;
            Ok(docker.docker(&["version"]).ok().map(drop))
        })?;
        for image in images::write(&docker.directories)? {
            docker.load(&image)?;
        }
        Ok(docker)
    }

    /// Runs `docker` with these arguments. Returns its output.
    pub(crate) fn docker(&self, args: &[&str]) -> Result<String> {
        Ok(self.namespaces.run("docker", args)?.trim_end().to_owned())
    }

    /// Loads an image in the format of `docker save`.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        self.docker(&["load", "--quiet", "--input", archive.to_str().context("the image's path is not UTF-8")?])?;
        Ok(())
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

    /// Returns the end of its log.
    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }
}
