//! The list of the crates in the released binary (SBOM), in the format of `CycloneDX`, by cargo-cyclonedx.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use xtask_support::{arch::Arch, cargo_tool::CargoTool, cross, reproducible, shell};

use crate::verbs::dist::verify;

/// The tool of the project that defines the format.
const CARGO_CYCLONEDX: CargoTool = CargoTool {
    name: "cargo-cyclonedx",
    version: "0.5.9",
    version_args: &["cyclonedx", "--version"],
    features: &[],
    why: "lists the crates in a binary",
};
/// The file that it writes, for the binary of the package.
const WRITTEN: &str = "syscallmon/syscallmon_bin.cdx.json";

/// Returns the list for the binary of this architecture: without crates that only tests and build scripts use.
pub(super) fn make(root: &Path, arch: Arch) -> Result<String> {
    let program = CARGO_CYCLONEDX.ensure(root)?;
    // It writes a file beside each manifest of the workspace, so it gets a copy.
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let copy = verify::copy_sources(&cross::build_dirs(root), work.path())?;
    let mut command = Command::new(program);
    command.current_dir(&copy.root).env("SOURCE_DATE_EPOCH", reproducible::source_date(root)?.to_string());
    command.args(["cyclonedx", "--quiet", "--manifest-path", "syscallmon/Cargo.toml", "--format", "json", "--all"]);
    command.args(["--spec-version", "1.5", "--describe", "binaries", "--no-build-deps", "--target", &arch.target()]);
    shell::query(&mut command, "see its message")?;
    let written = copy.root.join(WRITTEN);
    let text = fs::read_to_string(&written).with_context(|| format!("cannot read {}", written.display()))?;
    // Crates of the workspace are named by their paths.
    Ok(text.replace(&*copy.root.to_string_lossy(), ""))
}
