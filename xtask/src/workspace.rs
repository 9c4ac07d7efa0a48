//! Where things are: the checkout, cargo's target directory, and the tools that `setup` keeps in it.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The checkout that this program was built from.
///
/// # Panics
///
/// Never: this crate is one directory below the root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is one directory below the root").to_path_buf()
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
