//! `cargo xtask packages`: packages for Debian and for distributions with rpm, with the static binary.
//!
//! cargo-deb and cargo-generate-rpm make them from `deploy/packages/manifest.toml`.

mod roots;
mod stage;
mod test;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use xtask_support::{arch::Arch, cargo_tool::CargoTool, hash::sha256, reproducible, shell, static_build, workspace};

use crate::verbs::dist;

/// Makes Debian's packages.
const CARGO_DEB: CargoTool = CargoTool {
    name: "cargo-deb",
    version: "3.8.0",
    version_args: &["--version"],
    // Otherwise, the bytes of a package depend on this machine's liblzma.
    features: &["--features", "static-lzma"],
    why: "makes packages for Debian",
};
/// Makes packages for rpm.
const CARGO_GENERATE_RPM: CargoTool = CargoTool {
    name: "cargo-generate-rpm",
    version: "0.21.1",
    version_args: &["--version"],
    features: &[],
    why: "makes packages for rpm",
};
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the packages that tests upgrade. Any older version than the first release.
const OLD_VERSION: &str = "0.0.1";
const REMEDY: &str = "see its message, and deploy/packages/manifest.toml";

/// Arguments of `cargo xtask packages`.
#[derive(clap::Args)]
pub struct Args {
    /// Make packages of a binary that is quicker to build, for this machine's architecture, and test them in file
    /// systems of Debian 12 and 13: lintian, install, upgrade, remove, purge
    #[arg(long)]
    test: bool,
    /// Test packages of the binary that `cargo xtask dist` made instead
    #[arg(long, requires = "test")]
    dist: bool,
}

/// How Debian's package is compressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    /// In seconds, for tests.
    Fast,
    /// As small as xz makes it.
    Best,
}

/// The packages with one binary.
#[derive(Debug)]
pub(crate) struct Packages {
    pub(crate) deb: PathBuf,
    pub(crate) rpm: PathBuf,
}

/// Runs the verb.
///
/// # Errors
///
/// If a package cannot be made, or a test fails.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if args.test {
        return test::run(root, args.dist);
    }
    dist::binaries(root, &Arch::ALL)?;
    let dir = workspace::target_dir(root).join("packages");
    for package in of_release(root, &dir)? {
        let bytes = fs::read(&package).with_context(|| format!("cannot read {}", package.display()))?;
        println!("{}  {}", sha256(&bytes), package.display());
    }
    Ok(())
}

/// Makes the packages of the binaries that `dist` made. Returns their paths in `dir`.
pub(crate) fn of_release(root: &Path, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for arch in Arch::ALL {
        let made = make(root, arch, &dist::released(root, arch)?, VERSION, Compression::Best, dir)?;
        paths.extend([made.deb, made.rpm]);
    }
    Ok(paths)
}

/// Makes packages for tests, of an older version and of this one: with the binary that `dist` made, or with one that is
/// quicker to build.
pub(crate) fn for_tests(root: &Path, dir: &Path, is_dist: bool) -> Result<[Packages; 2]> {
    let arch = Arch::native();
    let binary = if is_dist { dist::released(root, arch)? } else { static_build::build(root, arch, None)?.daemon };
    let of_version = |version| make(root, arch, &binary, version, Compression::Fast, dir);
    Ok([of_version(OLD_VERSION)?, of_version(VERSION)?])
}

/// Makes the packages with this binary in `dir`.
fn make(
    root: &Path,
    arch: Arch,
    binary: &Path,
    version: &str,
    compression: Compression,
    dir: &Path,
) -> Result<Packages> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let epoch = reproducible::source_date(root)?;
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    stage::fill(root, work.path(), (arch, binary), version, epoch)?;
    let packages = Packages {
        deb: dir.join(format!("syscallmon_{version}-1_{}.deb", arch.debian())),
        rpm: dir.join(format!("syscallmon-{version}-1.{}.rpm", arch.rust())),
    };
    let command = |program: PathBuf| {
        let mut command = Command::new(program);
        command.current_dir(work.path()).env("SOURCE_DATE_EPOCH", epoch.to_string());
        command.env("CARGO_TARGET_DIR", work.path().join("target"));
        command
    };
    let mut deb = command(CARGO_DEB.ensure(root)?);
    deb.args(["--quiet", "--no-build", "--no-strip", "--compress-type", "xz", "--target", &arch.target()]);
    deb.args((compression == Compression::Fast).then_some("--fast")).arg("--output");
    shell::query(deb.arg(&packages.deb), REMEDY)?;
    let mut rpm = command(CARGO_GENERATE_RPM.ensure(root)?);
    rpm.args(["--payload-compress", "gzip", "--target", &arch.target(), "--output"]);
    shell::query(rpm.arg(&packages.rpm), REMEDY)?;
    for path in [&packages.deb, &packages.rpm] {
        ensure!(path.is_file(), "no {}: {REMEDY}", path.display());
    }
    Ok(packages)
}
