//! File systems of Debian in which packages are tested. The user's cache keeps them, and no test changes them.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use xtask_support::{apt, shell, workspace};

const MIRROR: &str = "check the network and the mirror in /etc/apt, or remove the cached file system";
/// Not needed, and a third of the size.
const UNUSED: [&str; 2] = ["var/cache/apt", "var/lib/apt/lists"];

/// A file system.
pub(super) struct DebianRoot {
    pub(super) release: &'static str,
    /// Packages beside the required ones.
    with: &'static str,
}

/// Debian 12, as small as it can be.
pub(super) const BOOKWORM: DebianRoot = DebianRoot { release: "bookworm", with: "" };
/// Debian 13, as small as it can be.
pub(super) const TRIXIE: DebianRoot = DebianRoot { release: "trixie", with: "" };
/// Debian 13 with lintian and rpm. debootstrap does not know that lintian needs the third package, a virtual one.
pub(super) const TOOLS: DebianRoot = DebianRoot { release: "trixie", with: "lintian,rpm,perl-openssl-defaults" };

impl DebianRoot {
    /// Returns its directory. Makes it once.
    pub(super) fn fetch(&self) -> Result<PathBuf> {
        let name = if self.with.is_empty() { self.release } else { "tools" };
        let dir = workspace::cache_dir()?.join("packages").join(name);
        if !dir.exists() {
            eprintln!("fetching Debian {} {}, once", self.release, self.with);
            let work = workspace::cache_work_dir()?;
            let system = work.path().join("root");
            let mut debootstrap = Command::new("debootstrap");
            debootstrap.arg("--variant=minbase");
            if !self.with.is_empty() {
                debootstrap.arg(format!("--include={}", self.with));
            }
            shell::query(debootstrap.arg(self.release).arg(&system).arg(apt::mirror()?), MIRROR)?;
            for unused in UNUSED {
                fs::remove_dir_all(system.join(unused)).with_context(|| format!("cannot remove {unused}"))?;
            }
            workspace::move_into_cache(&system, &dir)?;
        }
        Ok(dir)
    }
}
