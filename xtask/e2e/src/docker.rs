//! Debian's dockerd, with its default bridge in a separate network namespace.

use std::path::Path;

use anyhow::{Context, Result};
use syscallmon_testkit::{Process, docker};

use super::{directories::Directories, images, namespaces::Namespaces};

/// Directory of its images and containers, inside.
const ROOT: &str = "/var/lib/docker";

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
        dockerd.args(["--storage-driver=overlay2", "--userland-proxy=false"]);
        let process = docker::start(dockerd, || namespaces.command("docker"), "/run".as_ref(), &directories.logs)?;
        let docker = Self { namespaces, process, directories };
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
