//! `cargo xtask image`: the container image, from scratch, with only the static binary.
//!
//! Making it requires no tool, and its bytes depend only on the binary and the version.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use xtask_support::{
    arch::Arch,
    image::{default_name, docker, labels, oci, of_binary},
    workspace,
};

use crate::verbs::dist;

/// Maximum size of a file.
const MAX_BYTES: usize = 20_000_000;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub struct Args {
    /// Where to write it [default: target/image/syscallmon-VERSION.FORMAT.tar]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_name = "FORMAT", default_value_t = Format::Oci)]
    format: Format,
    /// What to call it
    #[arg(long, value_name = "NAME:TAG", default_value_t = default_name())]
    name: String,
}

/// How an image is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The OCI's, for both architectures: for registries
    Oci,
    /// That of `docker save`, for this machine's architecture: for `docker load`
    Docker,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oci => "oci",
            Self::Docker => "docker",
        })
    }
}

/// Runs the verb.
///
/// # Errors
///
/// If the binary cannot be built, or the image fails a check.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    let path = args.output.clone().unwrap_or_else(|| default_output(root, args.format));
    let image = make(root, args.format, &args.name)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(&path, &image).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: {}, {} bytes", path.display(), args.name, image.len());
    Ok(())
}

fn default_output(root: &Path, format: Format) -> PathBuf {
    workspace::target_dir(root).join("image").join(format!("syscallmon-{VERSION}.{format}.tar"))
}

fn make(root: &Path, format: Format, name: &str) -> Result<Vec<u8>> {
    let archs: Vec<Arch> = Arch::ALL.into_iter().filter(|arch| format == Format::Oci || arch.is_native()).collect();
    let binaries = dist::binaries(root, &archs)?;
    of_binaries(root, format, name, &archs, &binaries)
}

/// Returns the image for both architectures, in the OCI's format, with the binaries that `dist` made.
pub(crate) fn of_release(root: &Path) -> Result<Vec<u8>> {
    let binaries: Vec<PathBuf> = Arch::ALL.iter().map(|&arch| dist::released(root, arch)).collect::<Result<_>>()?;
    of_binaries(root, Format::Oci, &default_name(), &Arch::ALL, &binaries)
}

fn of_binaries(root: &Path, format: Format, name: &str, archs: &[Arch], binaries: &[PathBuf]) -> Result<Vec<u8>> {
    let labels = labels(root)?;
    let mut images = Vec::new();
    for (&arch, path) in archs.iter().zip(binaries) {
        eprintln!("for {arch}: {}", path.display());
        let binary = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        images.push(of_binary(arch, &binary, &labels)?);
    }
    let bytes = match (format, images.as_slice()) {
        (Format::Docker, [image]) => docker::archive(image, name)?,
        _ => oci::archive(&images, name)?,
    };
    ensure!(bytes.len() < MAX_BYTES, "the image has {} bytes, not less than {MAX_BYTES}", bytes.len());
    Ok(bytes)
}
