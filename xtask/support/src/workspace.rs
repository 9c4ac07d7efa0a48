//! Paths: the checkout, cargo's target directory, and the directory of the tools that `setup` keeps there.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The object with the empty programs that benchmarks compare with, relative to the root.
pub const BENCH_BASELINE_OBJECT: &str = "xtask/bpf/bench_baseline.bpf.o";

/// Returns the checkout from which this program was built.
///
/// # Panics
///
/// Never: this crate is two directories below the root.
#[must_use]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this crate is two directories below the root").to_path_buf()
}

/// Returns cargo's target directory.
#[must_use]
pub fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Returns the directory of programs that `cargo xtask setup` must not install for the whole machine. They are in its
/// `bin/`.
#[must_use]
pub fn tools_dir(root: &Path) -> PathBuf {
    target_dir(root).join("tools")
}

/// Returns the directory of downloads that are the same for every checkout: `syscallmon/` in the user's cache.
///
/// # Errors
///
/// If the environment does not contain its path.
pub fn cache_dir() -> Result<PathBuf> {
    let given = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let usual = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = given.or_else(usual).context("nowhere to keep downloads: set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join("syscallmon"))
}

/// Returns a directory in which to prepare something that then moves into the cache as a whole.
///
/// # Errors
///
/// If it cannot be created.
pub fn cache_work_dir() -> Result<tempfile::TempDir> {
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    tempfile::tempdir_in(&cache).with_context(|| format!("cannot make a directory in {}", cache.display()))
}

/// Moves a prepared directory into the cache as `dir`, unless another process has already done so.
///
/// # Errors
///
/// If it cannot be moved there, and no other process did so.
pub fn move_into_cache(prepared: &Path, dir: &Path) -> Result<()> {
    let cannot = || format!("cannot move {} to {}", prepared.display(), dir.display());
    fs::create_dir_all(dir.parent().with_context(cannot)?).with_context(cannot)?;
    match fs::rename(prepared, dir) {
        Err(_) if dir.exists() => Ok(()),
        other => other.with_context(cannot),
    }
}

/// Returns a program from the private tools, from PATH, or from directories that a user's PATH may lack.
#[must_use]
pub fn find_program(root: &Path, name: &str) -> Option<PathBuf> {
    programs(root, name).next()
}

/// Returns all programs with this name, in descending order of preference.
pub fn programs(root: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![tools_dir(root).join("bin")];
    dirs.extend(env::split_paths(&path));
    dirs.extend(cargo_home().map(|home| home.join("bin")));
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.into_iter().map(move |dir| dir.join(name)).filter(|file| file.is_file())
}

/// Returns `CARGO_HOME`, or cargo's default for it.
#[must_use]
pub fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
}

/// Returns the cargo that runs this program, or the one on PATH.
#[must_use]
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
