//! `cargo xtask release`: all files of a release in one directory. docs/releasing.md has the other steps.

mod chart;
mod check;
mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use xtask_support::{
    arch::Arch,
    hash::sha256,
    setup::{self, Purpose},
    workspace,
};

use crate::verbs::{dist, image, packages};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The file with the hash of each other file.
const SUMS: &str = "SHA256SUMS";

/// Arguments of `cargo xtask release`.
#[derive(clap::Args)]
pub struct Args {
    /// Make everything a second time, the binaries elsewhere, and fail unless every byte is the same
    #[arg(long)]
    verify: bool,
}

/// Runs the verb.
///
/// # Errors
///
/// If a file cannot be made, or fails a check.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    setup::ensure(root, Purpose::Release)?;
    dist::make(root, &Arch::ALL, args.verify)?;
    let dir = workspace::target_dir(root).join(format!("syscallmon-{VERSION}"));
    make(root, &dir)?;
    check::all(root, &dir)?;
    if args.verify {
        let again = tempfile::tempdir().context("cannot make a temporary directory")?;
        make(root, again.path())?;
        same(&dir, again.path())?;
    }
    print!("{}", read_text(&dir.join(SUMS))?);
    eprintln!("wrote them to {}", dir.display());
    Ok(())
}

/// Makes all files, from the binaries that `dist` made. Removes what the directory had before.
fn make(root: &Path, dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for arch in Arch::ALL {
        let binary = dist::released(root, arch)?;
        let name = dist::name(arch);
        for (from, to) in [
            (binary.clone(), name.clone()),
            (binary.with_file_name(format!("{name}.tar.gz")), format!("{name}.tar.gz")),
        ] {
            fs::copy(&from, dir.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        write(&dir.join(format!("{name}.cdx.json")), sbom::make(root, arch)?.as_bytes())?;
    }
    packages::of_release(root, dir)?;
    write(&image_file(dir), &image::of_release(root)?)?;
    write(&chart_file(dir), &chart::archive(root)?)?;
    write(&dir.join(SUMS), sums(dir)?.as_bytes())
}

fn image_file(dir: &Path) -> PathBuf {
    dir.join(format!("syscallmon-{VERSION}.oci.tar"))
}

fn chart_file(dir: &Path) -> PathBuf {
    dir.join(format!("syscallmon-chart-{VERSION}.tgz"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns the names of the files in a directory, in order.
fn names(dir: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot list {}", dir.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(cannot)? {
        names.push(entry.with_context(cannot)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Returns the hashes of all files, in the format of sha256sum.
fn sums(dir: &Path) -> Result<String> {
    let line = |name: &String| Ok(format!("{}  {name}\n", sha256(&read(&dir.join(name))?)));
    names(dir)?.iter().filter(|name| *name != SUMS).map(line).collect()
}

/// Fails unless both directories have the same files with the same bytes.
fn same(first: &Path, second: &Path) -> Result<()> {
    ensure!(names(first)? == names(second)?, "a second run makes other files: {:?}", names(second)?);
    let differs = |name: &&String| fs::read(first.join(name)).ok() != fs::read(second.join(name)).ok();
    let names = names(first)?;
    let differing: Vec<&String> = names.iter().filter(differs).collect();
    ensure!(differing.is_empty(), "a second run makes other bytes of {differing:?}: look for a time or a path in them");
    eprintln!("made all again: the same bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_name_every_file_but_themselves() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", SUMS] {
            write(&dir.path().join(name), name.as_bytes()).unwrap();
        }
        let expected = format!("{}  a\n{}  b\n", sha256(b"a"), sha256(b"b"));
        assert_eq!(sums(dir.path()).unwrap(), expected);
    }

    #[test]
    fn other_bytes_and_other_files_are_noticed() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |dir: &tempfile::TempDir, name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write(&first, "a", "1");
        assert!(same(first.path(), second.path()).unwrap_err().to_string().contains("other files"));
        write(&second, "a", "2");
        assert!(same(first.path(), second.path()).unwrap_err().to_string().contains("other bytes of [\"a\"]"));
        write(&second, "a", "1");
        same(first.path(), second.path()).unwrap();
    }
}
