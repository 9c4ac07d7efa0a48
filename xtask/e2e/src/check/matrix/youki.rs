//! youki, an OCI runtime that no Debian suite has. It is built from crates.io, which takes some minutes once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use xtask_support::cargo_tool::CargoTool;

/// Its name, and its path inside.
pub(super) const RUNTIME: (&str, &str) = ("youki", "/usr/local/bin/youki");

const YOUKI: CargoTool = CargoTool {
    name: RUNTIME.0,
    version: "0.7.0",
    version_args: &["--version"],
    // Without libraries that the suites have in different versions.
    features: &["--no-default-features", "--features", "v2"],
    why: "starts containers, as runc and crun do",
};

/// Returns its path on this machine. Builds it if it is missing.
pub(super) fn ensure(root: &Path) -> Result<PathBuf> {
    YOUKI.ensure(root)
}

/// Copies it into a file system.
pub(super) fn install(program: &Path, tree: &Path) -> Result<()> {
    let to = tree.join("usr/bin").join(RUNTIME.0);
    fs::copy(program, &to).with_context(|| format!("cannot copy {}", program.display())).map(drop)
}

/// Returns its name and version.
pub(super) fn version() -> String {
    format!("{} {}", YOUKI.name, YOUKI.version)
}
