//! Debian's packages: installing them, and unpacking files without installing them.

mod lists;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};

pub use self::lists::{Lists, Suite, mirror};
use crate::shell;

const CHECK_MIRROR: &str = "check the network, and the mirror in /etc/apt";

/// Whether dpkg reports the package as installed.
#[must_use]
pub fn is_installed(package: &str) -> bool {
    let mut command = Command::new("dpkg-query");
    command.args(["--show", "--showformat=${db:Status-Status}", package]);
    command.output().is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}

/// Installs packages for the whole machine, without their recommended packages.
///
/// No package that this repository requires has a service.
///
/// # Errors
///
/// If apt cannot install them.
pub fn install(packages: &[String]) -> Result<()> {
    let list = packages.join(" ");
    if !is_root()? {
        bail!("installing {list} needs root: run `apt-get install --no-install-recommends {list}` as root");
    }
    update()?;
    shell::run(
        apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages),
        "these packages are Debian 12's; elsewhere, install what they stand for by hand",
    )
}

/// Downloads a package of this machine's release into `dir`, and unpacks it there.
///
/// # Errors
///
/// If apt cannot download it, or it cannot be unpacked.
pub fn download_and_unpack(package: &str, dir: &Path) -> Result<PathBuf> {
    if is_root()? {
        update()?;
    }
    unpack(&download(&mut apt_get(), package, dir)?, &dir.join("unpacked"))
}

/// Unpacks a package's files into `dir`. Its scripts do not run.
///
/// # Errors
///
/// If it cannot be unpacked.
pub fn unpack(deb: &Path, dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    shell::query(
        Command::new("dpkg-deb").arg("--extract").arg(deb).arg(dir),
        "the file must be a Debian package, and dpkg must be installed",
    )?;
    Ok(dir.to_path_buf())
}

fn download(apt_get: &mut Command, package: &str, dir: &Path) -> Result<PathBuf> {
    let before = debs(dir)?;
    let remedy = "check the network; package lists that are missing or old need `apt-get update` as root";
    shell::query(apt_get.current_dir(dir).args(["download", package]), remedy)?;
    let mut new = debs(dir)?;
    new.retain(|deb| !before.contains(deb));
    let [deb] = new.as_slice() else { bail!("apt-get download {package} left {} new packages, not 1", new.len()) };
    Ok(deb.clone())
}

fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect())
}

/// Fetches the package lists, once per process.
fn update() -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        shell::run(apt_get().arg("update"), CHECK_MIRROR)?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Without the sandbox, apt can write to root's directories.
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "APT::Sandbox::User=root"]);
    command
}

/// Whether this process runs as root, by the owner of its entry in /proc.
///
/// # Errors
///
/// If /proc does not show the owner.
pub fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self").context("cannot read /proc/self")?.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_that_nobody_made_is_not_installed() {
        assert!(!is_installed("syscallmon-no-such-package"));
    }
}
