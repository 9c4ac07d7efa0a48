//! File systems with the runtimes of a Debian suite and their libraries. They have no init system and no shell but
//! busybox.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use xtask_support::{
    apt::{self, Lists, Suite},
    arch::Arch,
    busybox,
};

use super::runtime::Program;
use crate::{directories::Directories, programs};

/// Mount points inside.
const DIRECTORIES: [&str; 7] = ["dev", "etc", "old", "proc", "run", "sys", "tmp"];
/// Links that Debian's base-files has. A package that ships such a directory itself keeps it.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// The file system of one suite.
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    packages: Vec<PathBuf>,
}

impl Root {
    /// Downloads the newest runc and crun of the suite, and unpacks them.
    pub(crate) fn fetch(suite: Suite, directories: &Directories) -> Result<Self> {
        Self::with_packages(suite, &[Program::Runc.name(), Program::Crun.name()], directories)
    }

    /// Downloads the newest versions of these packages of the suite, and unpacks them.
    pub(crate) fn with_packages(suite: Suite, names: &[&str], directories: &Directories) -> Result<Self> {
        eprintln!("fetching {} of {suite:?}", names.join(", "));
        let dir = directories.directory(&format!("{suite:?}").to_lowercase())?;
        let path = dir.join("root");
        let lists = Lists::fetch(suite, Arch::native().debian())?;
        let packages = lists.download_with_dependencies(names, &dir.join("packages"))?;
        for package in &packages {
            apt::unpack(package, &path)?;
        }
        for name in DIRECTORIES {
            let dir = path.join(name);
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        for link in MERGED.map(|name| path.join(name)).into_iter().filter(|link| !link.exists()) {
            let name = link.file_name().context("a link has a name")?;
            symlink(Path::new("usr").join(name), &link).with_context(|| format!("cannot make {}", link.display()))?;
        }
        for (name, program) in [("busybox", busybox::fetch(Arch::native())?), ("pause", programs::pause()?)] {
            let to = path.join(name);
            fs::copy(&program, &to).with_context(|| format!("cannot copy {}", program.display()))?;
        }
        Ok(Self { path, packages })
    }

    /// Returns the runtime's package and the package's version.
    pub(crate) fn package(&self, program: Program) -> Result<String> {
        Ok(format!("{} {}", program.name(), self.version(program.name())?))
    }

    /// Returns the version of a package.
    pub(crate) fn version(&self, name: &str) -> Result<String> {
        let files = self.packages.iter().filter_map(|package| package.file_name()?.to_str());
        let found = files.filter_map(package_version).find(|(found, _)| *found == name);
        found.map(|(_, version)| version).with_context(|| format!("apt did not download {name}"))
    }
}

/// Returns a package's name and version by the name of its file. apt writes the colon of an epoch as `%3a`.
fn package_version(file: &str) -> Option<(&str, String)> {
    let mut parts = file.split('_');
    Some((parts.next()?, parts.next()?.replace("%3a", ":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_a_package_is_in_its_files_name() {
        let version = |file| package_version(file).map(|(name, version)| format!("{name} {version}"));
        assert_eq!(version("runc_1.1.5+ds1-1+deb12u1_amd64.deb").as_deref(), Some("runc 1.1.5+ds1-1+deb12u1"));
        assert_eq!(version("libcap2_1%3a2.66-4_amd64.deb").as_deref(), Some("libcap2 1:2.66-4"));
        assert_eq!(version("lock"), None);
    }
}
