//! Static binaries for both architectures, with Debian's compiler. `dist` and `vm` use this module.
//!
//! The compiler can generate code for either architecture, but lacks the other architecture's standard library. The
//! library comes from a package of that architecture, and the user's cache keeps it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    apt::{self, Lists, Suite},
    arch::Arch,
    reproducible::BuildDirs,
    shell,
    toolchain::RUSTC,
    workspace,
};

/// The package with Rust's standard library, and the directory of the library in it.
const STD: &str = "libstd-rust-web-dev";
const RUSTLIB: &str = "lib/rustlib";

/// Returns the directories for static binaries, separate from those of `cargo build`, which uses another compiler.
#[must_use]
pub fn build_dirs(root: &Path) -> BuildDirs {
    BuildDirs::new(root, workspace::target_dir(root).join("cross"))
}

/// Returns a cargo command for static binaries, with the same bytes in any directory.
///
/// The caller adds the verb, the target, the profile and what to build.
///
/// # Errors
///
/// If the standard library is not available.
pub fn cargo(dirs: &BuildDirs) -> Result<Command> {
    let mut flags = vec![OsString::from("-Ctarget-feature=+crt-static")];
    flags.extend(dirs.rustc_flags());
    let mut command = dirs.cargo();
    command.env("RUSTC", compiler()?).env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
    // Always sets the variables of both architectures. Build output for this machine depends on one of them, and must
    // not be built again for the other architecture.
    for arch in Arch::ALL {
        let variable = arch.target().replace('-', "_");
        command
            .env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), arch.gcc())
            .env(format!("CC_{variable}"), arch.gcc())
            .env(format!("CFLAGS_{variable}"), dirs.gcc_flags().join(OsStr::new(" ")));
    }
    Ok(command)
}

/// Returns cargo's output directory for an architecture and a profile.
#[must_use]
pub fn output_dir(dirs: &BuildDirs, arch: Arch, profile: &str) -> PathBuf {
    dirs.target_dir.join(arch.target()).join(profile)
}

/// Returns a compiler with the standard libraries of both architectures: a script around the machine's compiler.
///
/// With `--sysroot` among cargo's flags, the path would affect the hash of every crate, and so the binary. Both
/// architectures have the same compiler, so they share build output for this machine.
fn compiler() -> Result<PathBuf> {
    let version = installed_version()?;
    let dir = workspace::cache_dir()?.join("sysroot").join(version.replace(['/', ':'], "-"));
    if !dir.exists() {
        let work = workspace::cache_work_dir()?;
        fill_sysroot(&version, work.path())?;
        workspace::move_into_cache(&work.path().join("sysroot"), &dir)?;
    }
    Ok(dir.join("rustc"))
}

/// Returns the version of this machine's standard library. The other architecture's library must have the same version.
fn installed_version() -> Result<String> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Version}", STD]);
    shell::query(&mut query, "run `cargo xtask setup --for dist`")
}

/// Makes `sysroot/` in `work`: the other architecture's library, a link to this machine's, and the script.
fn fill_sysroot(version: &str, work: &Path) -> Result<()> {
    let sysroot = work.join("sysroot");
    let rustlib = sysroot.join(RUSTLIB);
    let in_sysroot = || format!("cannot fill {}", sysroot.display());
    fs::create_dir_all(&rustlib).with_context(in_sysroot)?;
    for arch in Arch::ALL {
        let (library, target) = (rustlib.join(arch.target()), arch.target());
        if arch.is_native() {
            symlink(Path::new("/usr").join(RUSTLIB).join(target), library).with_context(in_sysroot)?;
        } else {
            eprintln!("fetching Rust's standard library for {arch}");
            let deb = Lists::fetch(Suite::Bookworm, arch.debian())?.download(&format!("{STD}={version}"), work)?;
            let unpacked = apt::unpack(&deb, &work.join("unpacked"))?.join("usr").join(RUSTLIB);
            fs::rename(unpacked.join(target), library).with_context(in_sysroot)?;
        }
    }
    let script = sysroot.join("rustc");
    fs::write(&script, format!("#!/bin/sh\nexec {RUSTC} --sysroot=\"${{0%/*}}\" \"$@\"\n")).with_context(in_sysroot)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).with_context(in_sysroot)
}
