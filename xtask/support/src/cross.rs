//! Static binaries for both architectures, with Debian's compiler: what `dist` and `vm` share.
//!
//! The compiler can make code for either; what it lacks is the other architecture's standard library, which comes
//! from that architecture's package and is kept in the user's cache.

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

/// The package with Rust's standard library, and where it puts that.
const STD: &str = "libstd-rust-web-dev";
const RUSTLIB: &str = "lib/rustlib";

/// Where static binaries are built: apart from those of `cargo build`, which have another compiler.
#[must_use]
pub fn build_dirs(root: &Path) -> BuildDirs {
    BuildDirs::new(root, workspace::target_dir(root).join("cross"))
}

/// Cargo, set up to make static binaries, the same bytes in any directory.
///
/// The caller adds the verb, the target, the profile and what to build.
///
/// # Errors
///
/// If the standard library cannot be had.
pub fn cargo(dirs: &BuildDirs) -> Result<Command> {
    let mut flags = vec![OsString::from("-Ctarget-feature=+crt-static")];
    flags.extend(dirs.rustc_flags());
    let mut command = dirs.cargo();
    command.env("RUSTC", compiler()?).env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
    // Always for both architectures: what is built for this machine depends on one of them, and is not to be built
    // again when it is the other's turn.
    for arch in Arch::ALL {
        let variable = arch.target().replace('-', "_");
        command
            .env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), arch.gcc())
            .env(format!("CC_{variable}"), arch.gcc())
            .env(format!("CFLAGS_{variable}"), dirs.gcc_flags().join(OsStr::new(" ")));
    }
    Ok(command)
}

/// Where cargo puts what it builds for an architecture, by profile.
#[must_use]
pub fn output_dir(dirs: &BuildDirs, arch: Arch, profile: &str) -> PathBuf {
    dirs.target_dir.join(arch.target()).join(profile)
}

/// A compiler that has the standard libraries of both architectures: a script around the machine's own.
///
/// `--sysroot` among cargo's own flags would put the path into the hash of every crate, and so into the binary. Both
/// architectures have the same compiler, so that they share what is built for this machine.
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

/// The version of this machine's own standard library, which the other's must have, too.
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
