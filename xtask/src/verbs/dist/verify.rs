//! Checks that a build from a copy of the sources, in another directory and another environment, gives the same binary.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use walkdir::{DirEntry, WalkDir};
use xtask_support::{
    arch::Arch,
    hash::sha256,
    reproducible::{BuildDirs, refuse_paths},
};

use super::{build, cargo_build};

/// Directories that are not sources: build output, git's data, and recorded inputs.
const NOT_SOURCES: [&str; 3] = ["target", ".git", "corpus"];

/// Fails unless a build elsewhere gives the same bytes.
pub(super) fn same_elsewhere(dirs: &BuildDirs, arch: Arch, binary: &[u8]) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("elsewhere-").tempdir().context("cannot make a directory")?;
    let elsewhere = copy_sources(dirs, dir.path())?;
    let mut command = cargo_build(&elsewhere, arch)?;
    command.env("HOME", dir.path());
    let other = build(&mut command, &elsewhere, arch)?;
    refuse_paths(&elsewhere, "the second build", &other)?;
    ensure!(
        binary == other,
        "two builds for {arch} differ ({} and {}): look for a path or a time in them, with diffoscope",
        keep(dirs, arch, "first", binary)?.display(),
        keep(dirs, arch, "second", &other)?.display()
    );
    eprintln!("built for {arch} again, elsewhere: the same bytes, {}", sha256(binary));
    Ok(())
}

/// Copies the sources. Makes a `CARGO_HOME` with another name in which the downloaded crates exist.
pub(crate) fn copy_sources(dirs: &BuildDirs, dir: &Path) -> Result<BuildDirs> {
    let root = dir.join("sources");
    let is_source = |entry: &DirEntry| entry.depth() != 1 || !NOT_SOURCES.iter().any(|name| entry.file_name() == *name);
    for entry in WalkDir::new(&dirs.root).into_iter().filter_entry(is_source) {
        let entry = entry.with_context(|| format!("cannot list {}", dirs.root.display()))?;
        let to = root.join(entry.path().strip_prefix(&dirs.root).context("what is listed is below the root")?);
        let kind = entry.file_type();
        let copied = if kind.is_dir() {
            fs::create_dir_all(&to)
        } else if kind.is_symlink() {
            // They are relative, and lead to other sources.
            fs::read_link(entry.path()).and_then(|target| symlink(target, &to))
        } else {
            fs::copy(entry.path(), &to).map(drop)
        };
        copied.with_context(|| format!("cannot copy {} to {}", entry.path().display(), to.display()))?;
    }
    let cargo_home = dirs.cargo_home.as_ref().map(|real| linked(real, dir)).transpose()?;
    Ok(BuildDirs { root, target_dir: dir.join("built"), cargo_home })
}

fn linked(real: &Path, dir: &Path) -> Result<PathBuf> {
    let home = dir.join("cargo");
    let make = || {
        fs::create_dir(&home)?;
        symlink(env::current_dir()?.join(real).join("registry"), home.join("registry"))
    };
    make().with_context(|| format!("cannot make {}", home.display()))?;
    Ok(home)
}

/// Writes a binary to a file, for the inspection of differences.
fn keep(dirs: &BuildDirs, arch: Arch, which: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = dirs.target_dir.join(format!("{which}-{arch}"));
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_has_the_sources_and_nothing_else() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in ["target", "a/target", "home/registry"] {
            fs::create_dir_all(from.path().join(dir)).unwrap();
        }
        fs::write(from.path().join("target/binary"), "").unwrap();
        fs::write(from.path().join("a/target/mod.rs"), "mod x;").unwrap();
        symlink("a/target", from.path().join("link")).unwrap();
        let dirs = BuildDirs {
            root: from.path().into(),
            target_dir: from.path().join("target"),
            cargo_home: Some(from.path().join("home")),
        };
        let copied = copy_sources(&dirs, to.path()).unwrap();
        assert_eq!(fs::read_to_string(copied.root.join("a/target/mod.rs")).unwrap(), "mod x;");
        assert_eq!(fs::read_to_string(copied.root.join("link/mod.rs")).unwrap(), "mod x;");
        assert!(!copied.root.join("target").exists());
        assert!(copied.cargo_home.unwrap().join("registry").is_dir());
    }
}
