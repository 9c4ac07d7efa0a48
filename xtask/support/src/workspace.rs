//! Where things are: the checkout, cargo's target directory, and the tools that `setup` keeps in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The object with the empty programs that benchmarks compare with, relative to the root.
pub const BENCH_BASELINE_OBJECT: &str = "xtask/bpf/bench_baseline.bpf.o";

/// The checkout that this program was built from.
///
/// # Panics
///
/// Never: this crate is two directories below the root.
#[must_use]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this crate is two directories below the root").to_path_buf()
}

/// Cargo's target directory.
#[must_use]
pub fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Where `cargo xtask setup` puts programs that it must not install for the whole machine: `bin/` in it.
#[must_use]
pub fn tools_dir(root: &Path) -> PathBuf {
    target_dir(root).join("tools")
}

/// What was downloaded and is the same for every checkout: `syscallmon/` in the user's cache.
///
/// # Errors
///
/// If the environment does not say where that is.
pub fn cache_dir() -> Result<PathBuf> {
    let given = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let usual = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = given.or_else(usual).context("nowhere to keep downloads: set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join("syscallmon"))
}

/// A directory to prepare something in that then moves into the cache as a whole.
///
/// # Errors
///
/// If it cannot be made.
pub fn cache_work_dir() -> Result<tempfile::TempDir> {
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    tempfile::tempdir_in(&cache).with_context(|| format!("cannot make a directory in {}", cache.display()))
}

/// Moves a prepared directory into the cache as `dir`, unless another process was faster.
///
/// # Errors
///
/// If it cannot be moved there, and no other process did it.
pub fn move_into_cache(prepared: &Path, dir: &Path) -> Result<()> {
    let cannot = || format!("cannot move {} to {}", prepared.display(), dir.display());
    fs::create_dir_all(dir.parent().with_context(cannot)?).with_context(cannot)?;
    match fs::rename(prepared, dir) {
        Err(_) if dir.exists() => Ok(()),
        other => other.with_context(cannot),
    }
}

/// Looks for a program among the private tools, on PATH, and where PATH may not lead a plain user.
#[must_use]
pub fn find_program(root: &Path, name: &str) -> Option<PathBuf> {
    programs(root, name).next()
}

/// All programs of that name, best first.
pub fn programs(root: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![tools_dir(root).join("bin")];
    dirs.extend(env::split_paths(&path));
    dirs.extend(cargo_home().map(|home| home.join("bin")));
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.into_iter().map(move |dir| dir.join(name)).filter(|file| file.is_file())
}

/// `CARGO_HOME`, or what cargo takes for it.
#[must_use]
pub fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
}

/// The cargo that runs this program, or the one on PATH.
#[must_use]
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
