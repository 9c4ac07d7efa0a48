//! `cargo xtask dist`: static release binaries for both architectures, packed like those of Prometheus' exporters.

pub(crate) mod archive;
pub(crate) mod notices;
pub(crate) mod verify;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use xtask_support::{
    arch::Arch,
    cross,
    elf::{self, Elf},
    hash::sha256,
    reproducible::{self, BuildDirs},
    setup::{self, Purpose},
    shell, workspace,
};

/// Maximum size of a binary.
const MAX_BYTES: usize = 19_000_000;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub struct Args {
    /// Only for this architecture; repeatable
    #[arg(long, value_name = "ARCH")]
    arch: Vec<Arch>,
    /// Build a second time elsewhere, and fail unless every byte is the same
    #[arg(long)]
    verify: bool,
}

/// Runs the verb.
///
/// # Errors
///
/// If a build or a check fails. The message says which.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    make(root, if args.arch.is_empty() { &Arch::ALL } else { &args.arch }, args.verify)
}

/// Builds the release files for these architectures, if asked twice, and prints their hashes.
pub(crate) fn make(root: &Path, archs: &[Arch], verify: bool) -> Result<()> {
    setup::ensure(root, Purpose::Dist)?;
    let dist = workspace::target_dir(root).join("dist");
    start_anew(&dist)?;
    let dirs = cross::build_dirs(root);
    let mut sums = Vec::new();
    for &arch in archs {
        let binary = build(&mut cargo_build(&dirs, arch)?, &dirs, arch)?;
        check(&dirs, arch, &binary)?;
        if verify {
            verify::same_elsewhere(&dirs, arch, &binary)?;
        }
        let name = name(arch);
        let archive = archive::pack(root, &name, &binary, &notices::text(root, arch)?)?;
        for (file, bytes, mode) in [(name.clone(), &binary, 0o755), (format!("{name}.tar.gz"), &archive, 0o644)] {
            write(&dist.join(&file), bytes, mode)?;
            sums.push(format!("{}  {file}\n", sha256(bytes)));
        }
    }
    let sums = sums.concat();
    write(&dist.join("sha256sums.txt"), sums.as_bytes(), 0o644)?;
    print!("{sums}");
    eprintln!("wrote them to {}", dist.display());
    Ok(())
}

/// Returns the binary that an earlier run of the verb made.
///
/// # Errors
///
/// If there is none.
pub(crate) fn released(root: &Path, arch: Arch) -> Result<PathBuf> {
    let path = workspace::target_dir(root).join("dist").join(name(arch));
    ensure!(path.is_file(), "no {}: run `cargo xtask dist`", path.display());
    Ok(path)
}

/// Builds the release files, and prints their paths.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn binaries(root: &Path, archs: &[Arch]) -> Result<Vec<PathBuf>> {
    make(root, archs, false)?;
    archs.iter().map(|&arch| released(root, arch)).collect()
}

/// Returns the name of files for an architecture.
pub(crate) fn name(arch: Arch) -> String {
    format!("syscallmon-{VERSION}.linux-{arch}")
}

/// Empties the directory, so that afterwards all of its files are from one run.
fn start_anew(dist: &Path) -> Result<()> {
    if dist.exists() {
        fs::remove_dir_all(dist).with_context(|| format!("cannot remove {}", dist.display()))?;
    }
    fs::create_dir_all(dist).with_context(|| format!("cannot create {}", dist.display()))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    fs::write(path, bytes).with_context(cannot)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(cannot)
}

/// Returns the command that builds the released binary.
///
/// It uses the caller's `SYSCALLMON_BPF_OBJECT`, like every build of the daemon.
fn cargo_build(dirs: &BuildDirs, arch: Arch) -> Result<Command> {
    let mut command = cross::cargo(dirs)?;
    command.args(["build", "--quiet", "--release", "--locked", "--package", "syscallmon", "--bin", "syscallmon"]);
    command.args(["--target", &arch.target()]);
    Ok(command)
}

fn build(command: &mut Command, dirs: &BuildDirs, arch: Arch) -> Result<Vec<u8>> {
    shell::run(command, "the compiler's message is above; `cargo xtask setup --for dist` installs what is missing")?;
    let path = binary(dirs, arch);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn binary(dirs: &BuildDirs, arch: Arch) -> PathBuf {
    cross::output_dir(dirs, arch, "release").join("syscallmon")
}

/// Checks the properties of a released binary on which users rely.
fn check(dirs: &BuildDirs, arch: Arch, bytes: &[u8]) -> Result<()> {
    let what = format!("the binary for {arch}");
    let elf = Elf::parse(bytes).with_context(|| format!("{what} is not understood"))?;
    ensure!(elf.machine == elf::machine(arch), "{what} is for ELF's machine {}", elf.machine);
    ensure!(!elf.has_interpreter, "{what} is not static: did a dependency add a shared library?");
    ensure!(!elf.has_symbols, "{what} is not stripped: see profile.release in Cargo.toml");
    ensure!(bytes.len() < MAX_BYTES, "{what} has {} bytes, not less than {MAX_BYTES}", bytes.len());
    reproducible::refuse_paths(dirs, &what, bytes)?;
    if arch.is_native() {
        let version = shell::query(Command::new(binary(dirs, arch)).arg("--version"), "the binary must run here")?;
        ensure!(version.trim() == format!("syscallmon {VERSION}"), "{what} calls itself {version:?}, not {VERSION}");
    }
    Ok(())
}
